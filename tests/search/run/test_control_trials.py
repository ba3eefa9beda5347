"""Claims about control trials: drawn alike in every arm, and never cut short."""

from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told
from hypothesis import given
from hypothesis import strategies as st

from search.job.spec import JobSpec
from search.journal.base import encode
from search.journal.file import FileJournal, FileReader
from search.journal.replay import JobState, TrialState
from search.run.driver import Driver
from search.study.sampling import draw_alike
from search.study.seeds import derive_seed

#: The last arm shares depth and dropout alone with the others, in the same ranges.
ARMS: list[Any] = [
    "rnn",
    "lstm",
    {"name": "gru", "cell": "gru", "space": {"zoneout": {"low": 0.0, "high": 0.3}}},
    {
        "name": "other",
        "cells": ["mgu", "rnn"],
        "space": {
            "hidden_size": {"choices": [8, 16]},
            "learning_rate": {"low": 1e-5, "high": 1e-4},
        },
    },
]
NAMES = ("rnn", "lstm", "gru", "other")
SHARED = ("depth", "dropout", "hidden_size", "learning_rate")


def wanted(folder: Path, **search: Any) -> JobSpec:
    return job(folder, arms=ARMS, search={"pruner": "successive-halving"} | search)


def controls(job_state: JobState, arm: str) -> list[TrialState]:
    return [trial for trial in job_state.arm(arm, "search") if trial.control]


def settings(trials: list[TrialState], *names: str) -> list[list[Any]]:
    return [[trial.seed, *(getattr(trial.config, name) for name in names)] for trial in trials]


@pytest.mark.parametrize("budget", [{"trials": 12}, {"trials": None, "epochs": 60}])
def test_controls_of_one_number_share_settings_and_seed_in_every_arm(
    budget: dict[str, Any], tmp_path: Path
) -> None:
    job_state = drive(wanted(tmp_path, **budget), tmp_path, slots=2)
    by_number = [{trial.number: trial for trial in controls(job_state, arm)} for arm in NAMES]
    common = sorted(set.intersection(*(set(found) for found in by_number)))
    assert len(common) >= 2
    rnn, lstm, gru, other = ([found[number] for number in common] for found in by_number)
    assert settings(rnn, *SHARED) == settings(lstm, *SHARED) == settings(gru, *SHARED)
    assert settings(rnn, *SHARED[:2]) == settings(other, *SHARED[:2])
    assert len({trial.seed for trial in rnn}) == len({t.config.dropout for t in rnn}) == len(rnn)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_every_setting_of_a_control_lies_in_its_domain(seed: int, number: int) -> None:
    for arm in job(Path(), arms=ARMS).arms:
        sample = draw_alike(arm, lambda name: derive_seed(seed, "control", number, name))
        for name, domain in arm.domains().items():
            if name in sample.values and hasattr(sample.config, name):
                assert getattr(sample.config, name) in domain


@pytest.mark.parametrize("reports", [3, 11, 30, 60])
def test_a_resumed_job_has_the_controls_of_an_undisturbed_one(reports: int, tmp_path: Path) -> None:
    plain = wanted(tmp_path)
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    drive(plain, tmp_path / "killed", slots=3, most_reports=reports)
    found = [drive(plain, tmp_path / name) for name in ("undisturbed", "killed")]
    for arm in NAMES:
        undisturbed, killed = (
            [(t.number, t.seed, t.config, t.value) for t in controls(job_state, arm)]
            for job_state in found
        )
        assert undisturbed == killed


@pytest.mark.parametrize("unit", ["worker_seconds", "epochs"])
def test_a_budget_ends_no_control_and_pays_for_it(unit: str, tmp_path: Path) -> None:
    """An epoch of a control takes more seconds than all that an arm may spend."""
    search = {"trials": None, unit: 20, "control_fraction": 0.5}
    plain = job(tmp_path, search=search, confirm={"seeds": 0})
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(plain, INFO, journal)
        trials = driver.job_state.trials
        slow = {True: 30.0, False: 1.0}
        Workers(driver, slots=3, seconds=lambda work: slow[trials[work.key].control]).run()
        billed = {arm: driver.budgets.spent(arm) for arm in ("rnn", "lstm", "gru")}
    job_state = told(tmp_path)
    for arm, spent in billed.items():
        assert {(t.state, t.epoch) for t in controls(job_state, arm)} == {("complete", 9)}
        ours = job_state.arm(arm, "search")
        assert spent == sum(t.seconds if unit == "worker_seconds" else t.epoch for t in ours) > 20


def test_the_wall_clock_ends_no_control_that_has_begun(tmp_path: Path) -> None:
    plain = job(tmp_path, search={"wall_clock": 1e-9, "control_fraction": 1.0})
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(plain, INFO, journal)
        workers = Workers(driver)
        work = driver.next()
        assert work is not None
        workers.live, workers.epoch = [work], {work.key: 0}
        driver.job_state.search_seconds = 1.0
        workers.run()
    (trial,) = (t for t in told(tmp_path).trials.values() if t.phase == "search")
    assert (trial.state, trial.epoch) == ("complete", 9)


def test_controls_of_a_job_of_before_are_drawn_as_they_were(tmp_path: Path) -> None:
    """Its record says nothing of them. Each arm has seeds of its own then."""
    drive(wanted(tmp_path), tmp_path, most_reports=1)
    file = tmp_path / "job.journal"
    groups = FileReader(file).read()
    for record in (record for group in groups for record in group):
        record.pop("common_controls", None)
    file.write_bytes(b"".join(map(encode, groups)))
    job_state = drive(wanted(tmp_path), tmp_path)
    rnn, lstm = controls(job_state, "rnn"), controls(job_state, "lstm")
    assert [t.seed for t in rnn] == [derive_seed(0, "rnn", t.number, "training") for t in rnn]
    assert settings(rnn, *SHARED) != settings(lstm, *SHARED)
