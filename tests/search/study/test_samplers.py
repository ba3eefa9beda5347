"""Every sampler: resumable at any moment, per arm, within its space, without needless repeats."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from bowl import BOWL, bowl, distance, told_of
from driven import INFO, drive, job
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial
from stored_studies import stored_studies

from search.job.samplers import SAMPLERS
from search.job.spec import JobSpec
from search.journal.file import FileJournal, FileReader
from search.journal.replay import JobState
from search.run.session import begin
from search.study.arm_study import ArmStudy
from search.study.decisions import Decision
from search.study.journal_backend import JournalBackend
from search.study.optuna_compat import OPERATION
from search.study.samplers import choose
from search.study.seeds import derive_seed
from spaces.cells import find
from spaces.errors import InputError
from spaces.kinds import Metric

METRIC = Metric("accuracy", "maximize")

NUMBERS = {
    "depth": {"low": 1, "high": 3},
    "hidden_size": {"low": 8, "high": 400},
    "learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
}
MIXED = {**NUMBERS, "optimizer": {"choices": ["adam", "sgd"]}, "hidden_size": {"choices": [8, 16]}}
SMALL = {
    "depth": {"low": 1, "high": 3},
    "hidden_size": {"choices": [8, 16]},
    "learning_rate": {"choices": [1e-3, 1e-2]},
    "dropout": 0.0,
    "forget_bias": "default",
}
POOLED = {"name": "any", "cells": ["rnn", "lstm", "gru"]}

#: A space and arms for each; dotted names stand for samplers of the user's own.
TABLE: dict[str, dict[str, Any]] = {
    "tpe": {"space": MIXED, "arms": ["lstm", POOLED]},
    "random": {"space": MIXED, "arms": ["lstm", POOLED]},
    "gp": {"space": MIXED, "arms": [POOLED]},
    "cmaes": {"space": NUMBERS, "arms": ["lstm", "gru"]},
    "qmc": {"space": MIXED, "arms": ["lstm", POOLED]},
    "nsgaii": {"space": MIXED, "arms": ["lstm", POOLED]},
    "nsgaiii": {"space": MIXED, "arms": ["lstm", POOLED]},
    "brute-force": {"space": SMALL, "arms": ["lstm", POOLED]},
    "optuna.samplers.TPESampler": {"space": MIXED, "arms": ["lstm", POOLED]},
}
SLOW = {"gp": 7}  #: trials where a suggestion takes long; 16 elsewhere


def test_every_sampler_is_in_the_table() -> None:
    ours = {"freeze-thaw"}  # test_freeze_thaw.py
    assert {name for name in TABLE if "." not in name} == set(SAMPLERS) - ours


def made(folder: Path, sampler: str, **search: Any) -> JobSpec:
    trials = SLOW.get(sampler, 16)
    search = {"sampler": sampler, "trials": trials, "pruner": "none"} | search
    return job(folder, **TABLE[sampler], search=search, confirm={"seeds": 0})


@pytest.mark.parametrize("sampler", TABLE)
def test_a_resumed_search_suggests_what_an_undisturbed_one_does(
    tmp_path: Path, sampler: str
) -> None:
    wanted = made(tmp_path, sampler)
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    undisturbed = told_of(drive(wanted, whole))
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for length in range(3, len(lines), len(lines) // 4):
        (again / "job.journal").write_bytes(b"".join(lines[:length]))
        assert told_of(drive(wanted, again)) == undisturbed


@pytest.mark.parametrize("sampler", TABLE)
def test_suggestions_stay_in_the_space_and_are_not_repeated(tmp_path: Path, sampler: str) -> None:
    wanted = made(tmp_path, sampler, control_fraction=0.0)
    job_state = drive(wanted, tmp_path, slots=3)
    for arm in wanted.arms:
        trials = job_state.arm(arm.name, "search")
        for trial in trials:
            cell = find(trial.config.cell, trial.config.gates)
            for name, domain in arm.space.items():
                if cell.reads(name):
                    assert getattr(trial.config, name) in domain, (name, trial.config)
        repeats = len(trials) - len({str(trial.config) for trial in trials})
        # Twelve configurations are in the small space of one cell.
        assert repeats == (4 if sampler == "brute-force" and arm.name == "lstm" else 0)


@pytest.mark.parametrize("pruner", ["none", "successive-halving"])
@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_a_sampler_that_learns_is_better_than_chance(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    """The later half of the suggestions is nearer to the optimum than draws at random are."""
    budget = 24 if sampler == "gp" else 60
    total = {}
    for name in (sampler, "random"):
        folder = tmp_path / name
        folder.mkdir()
        search = {"sampler": name, "trials": budget, "control_fraction": 0, "pruner": pruner}
        wanted = job(folder, arms=["lstm"], space=BOWL, search=search, confirm={"seeds": 0})
        trials = list(drive(wanted, folder, value=bowl).trials.values())
        total[name] = sum(distance(trial.config) for trial in trials[budget // 2 :])
    assert total[sampler] < 0.8 * total["random"]


def test_a_search_beyond_the_window_is_resumed_as_well(tmp_path: Path) -> None:
    wanted = job(
        tmp_path,
        arms=["lstm"],
        space=MIXED,
        training={"max_epochs": 3},
        search={"trials": 230, "control_fraction": 0.1},
        confirm={"seeds": 0},
    )
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    undisturbed = told_of(drive(wanted, whole))
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for left in (80, 31, 2):
        (again / "job.journal").write_bytes(b"".join(lines[:-left]))
        assert told_of(drive(wanted, again)) == undisturbed


def test_up_to_a_windows_size_suggestions_are_the_stock_samplers(tmp_path: Path) -> None:
    """TPE on everything and TPE on the window are the same as long as both see the same."""
    wanted = job(
        tmp_path,
        arms=["lstm"],
        space=MIXED,
        search={"trials": 60, "control_fraction": 0.0},
        confirm={"seeds": 0},
    )
    drive(wanted, tmp_path)
    stock = optuna.create_study(direction="maximize")
    (trials,) = stored_studies(tmp_path).values()
    for trial in trials:
        stock.sampler = choose(wanted, "lstm", derive_seed(0, "lstm", trial.number)).sampler
        asked = stock.ask(trial.distributions)
        assert asked.params == trial.params
        for epoch, value in trial.intermediate_values.items():
            asked.report(value, epoch)
        stock.tell(asked, trial.value, trial.state)


CREATE_TRIAL, SET_TRIAL_PARAM = 4, 5  #: operations of Optuna's journal


def test_a_new_trial_is_one_record_of_the_study(tmp_path: Path) -> None:
    """Not one a parameter, each of which Optuna would check against the trials before it."""
    drive(made(tmp_path, "tpe"), tmp_path)
    groups = FileReader(tmp_path / "job.journal").groups()
    operations = Counter(record.get(OPERATION) for group in groups for record in group)
    assert operations[CREATE_TRIAL] == 32
    assert operations[SET_TRIAL_PARAM] == 0


class Counting(JournalStorage):
    """Counts how often all trials are gone through."""

    scans = 0

    def get_all_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        self.scans += 1
        return super().get_all_trials(*args, **options)


@pytest.mark.parametrize("pruner", ["successive-halving", "hyperband", "median", "patient", "none"])
def test_neither_a_suggestion_nor_a_report_goes_through_all_trials(
    tmp_path: Path, pruner: str
) -> None:
    wanted = job(tmp_path, arms=["lstm"], space=MIXED, search={"pruner": pruner})
    with FileJournal(tmp_path / "job.journal") as journal:
        storage = Counting(JournalBackend(journal, []))
        job_state = JobState()
        job_state.info = INFO
        study = ArmStudy(wanted, wanted.arms[0], job_state, storage)
        opened = storage.scans
        for number in range(30):
            study.start_trial(number, study.prepare_suggestion(number, control=number % 4 == 3)())
            stopped = any(
                study.report_value(number, epoch, number % 7 / epoch) is Decision.STOP
                for epoch in range(1, 9)
            )
            study.end_trial(number, "pruned" if stopped else "complete", number % 7)
        assert storage.scans == opened


def test_a_small_space_is_tried_whole_before_anything_is_repeated(tmp_path: Path) -> None:
    wanted = job(
        tmp_path,
        arms=["lstm", POOLED],
        space=SMALL,
        search={"trials": 40, "control_fraction": 0.0},
        confirm={"seeds": 0},
    )
    job_state = drive(wanted, tmp_path, slots=2)
    for arm, size in (("lstm", 12), ("any", 36)):
        configs = [str(trial.config) for trial in job_state.arm(arm, "search")]
        assert len(set(configs[:size])) == size
        assert len(configs) == 40  # and then it goes on: another seed is another measurement
    seeds = {trial.seed for trial in job_state.arm("lstm", "search")}
    assert len(seeds) == 40


def test_control_trials_are_independent_draws_even_if_they_repeat(tmp_path: Path) -> None:
    wanted = job(
        tmp_path,
        arms=["lstm"],
        space=SMALL,
        search={"trials": 12, "control_fraction": 1.0},
        confirm={"seeds": 0},
    )
    trials = drive(wanted, tmp_path).arm("lstm", "search")
    assert Counter(str(trial.config) for trial in trials).most_common(1)[0][1] > 1


REFUSED = [
    ("cmaes", {"space": MIXED, "arms": ["lstm"]}, "has choices of hidden_size and optimizer"),
    ("cmaes", {"space": NUMBERS, "arms": [POOLED]}, "an arm must have one cell for cmaes"),
    (
        "cmaes",
        {"space": {**SMALL, "hidden_size": 8, "learning_rate": 0.01}, "arms": ["lstm"]},
        "must have two ranges or more for cmaes; arm lstm has 1",
    ),
    ("brute-force", {"space": NUMBERS, "arms": ["lstm"]}, "has others: learning_rate and dropout"),
]


@pytest.mark.parametrize(("sampler", "parts", "rule"), REFUSED)
def test_a_sampler_that_cannot_search_the_space_is_refused_at_once(
    tmp_path: Path, sampler: str, parts: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InputError, match=rule) as refused:
        job(tmp_path, **parts, search={"sampler": sampler})
    (problem,) = refused.value.problems
    assert "search.sampler" in problem.place
    assert problem.remedy


OWN = [
    ("optuna.samplers.GridSampler", "must need no argument but seed"),
    ("optuna.samplers.NoSuchSampler", "must exist"),
    ("no_such_package.Sampler", "must exist"),
    ("collections.Counter", "must be a sampler of Optuna's kind"),
    (
        "optuna.samplers.BruteForceSampler",
        "must suggest configurations for arm lstm, but raised ValueError",
    ),
]


@pytest.mark.parametrize(("sampler", "rule"), OWN)
def test_a_sampler_of_the_users_own_is_tried_before_anything_is_made(
    tmp_path: Path, sampler: str, rule: str
) -> None:
    wanted = job(tmp_path, arms=["lstm"], search={"sampler": sampler})
    root = tmp_path / "runs"
    with pytest.raises(InputError, match=rule) as refused:
        begin(wanted, INFO, tmp_path / "job.yaml", root)
    assert [problem.place for problem in refused.value.problems] == ["search.sampler"]
    assert not root.exists()


def test_cma_es_may_be_written_as_people_write_it(tmp_path: Path) -> None:
    assert made(tmp_path, "cmaes").dump() == made_as(tmp_path, "cma-es").dump()


def made_as(folder: Path, sampler: str) -> JobSpec:
    search = {"sampler": sampler, "trials": 16, "pruner": "none"}
    return job(folder, **TABLE["cmaes"], search=search, confirm={"seeds": 0})
