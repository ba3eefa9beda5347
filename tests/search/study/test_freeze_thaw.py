"""Claims about the search that decides after every slice what goes on."""

from collections import Counter
from pathlib import Path
from typing import Any

import driven
import numpy as np
import pytest
from driven import INFO, Workers, drive

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.run.driver import Driver
from search.study.encoding import Encoding
from search.study.learning_rates import NOT_KNOWN, LearningRates, literature, of_arm
from search.study.slices import slice_ends
from trainables.worker.messages import TrialAssignment

POOLED = {"name": "any", "cells": ["rnn", "lstm"]}
SPACE = {
    "depth": {"low": 1, "high": 3},
    "hidden_size": {"choices": [16, 32, 64]},
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
}
WIDE = {"low": 1e-8, "high": 10.0, "log": True}
BUDGETS: dict[str, dict[str, Any]] = {
    "trials": {"trials": 12},
    "epochs": {"trials": None, "epochs": 50},
    "seconds": {"trials": None, "worker_seconds": 50},
}


def job(folder: Path, arm: Any = "lstm", **search: Any) -> JobSpec:
    search = {"sampler": "freeze-thaw", "control_fraction": 0, **search}
    confirm = {"finalists": 1, "seeds": 1}
    return driven.job(folder, arms=[arm, "gru"], space=SPACE, search=search, confirm=confirm)


def value(work: TrialAssignment, epoch: int) -> float:
    """Return an accuracy that is best at a rate of 0.003, and grows with epochs."""
    away = (np.log10(work.config.learning_rate) + 2.5) ** 2
    return round(float(np.exp(-away / 2) * (1 - np.exp(-epoch / 3))), 6)


def diverges(work: TrialAssignment, epoch: int) -> bool:
    return work.config.learning_rate > 0.1 and epoch == 2


def comparable(state: JobState) -> dict[str, dict[str, Any]]:
    return {
        key: vars(trial) | {"checkpoints": len(trial.checkpoints)}
        for key, trial in state.trials.items()
    }


@pytest.mark.parametrize(("budget", "slots"), [("trials", 1), ("epochs", 3)])
def test_every_arm_spends_its_budget_and_ends_with_a_complete_trial(
    tmp_path: Path, budget: str, slots: int
) -> None:
    """In a pooled arm too, with cells that have settings of their own."""
    wanted = job(tmp_path, POOLED, **BUDGETS[budget])
    state = drive(wanted, tmp_path, slots=slots, value=value, diverges=diverges)
    for arm in ("any", "gru"):
        trials = state.arm(arm, "search")
        assert {trial.state for trial in trials} <= {"complete", "pruned", "diverged"}
        assert any(trial.state == "complete" for trial in trials)
        assert len({str(trial.config) for trial in trials}) == len(trials)
        if budget == "trials":
            assert len(trials) == 12
        else:
            assert 50 <= sum(trial.epoch for trial in trials) < 50 + 9 * slots
    assert state.phase == "report"


def seconds(work: TrialAssignment) -> float:
    """Return what an epoch takes: much more of large models."""
    return {16: 0.3, 32: 0.6, 64: 2.4}[work.config.hidden_size]


@pytest.mark.parametrize("budget", ["epochs", "seconds"])
def test_a_kill_at_any_moment_changes_no_result(tmp_path: Path, budget: str) -> None:
    wanted = job(tmp_path, **BUDGETS[budget])
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    work = {"value": value, "diverges": diverges, "seconds": seconds}
    undisturbed = comparable(drive(wanted, whole, **work))
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for kept in range(3, len(lines), 67):
        (again / "job.journal").write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
        assert comparable(drive(wanted, again, **work)) == undisturbed


def test_a_search_for_seconds_prefers_what_trains_fast_where_curves_are_alike(
    tmp_path: Path,
) -> None:
    shares = {}
    for budget in ({"epochs": 120}, {"worker_seconds": 120}):
        folder = tmp_path / next(iter(budget))
        folder.mkdir()
        wanted = job(folder, trials=None, **budget)
        trials = drive(wanted, folder, value=value, seconds=seconds).arm("lstm", "search")
        large = sum(trial.epoch for trial in trials if trial.config.hidden_size == 64)
        shares[folder.name] = large / sum(trial.epoch for trial in trials)
    assert shares["worker_seconds"] < shares["epochs"] / 2


def test_good_curves_get_the_epochs_and_what_diverges_is_left(tmp_path: Path) -> None:
    wanted = job(tmp_path, trials=None, epochs=150)
    state = drive(wanted, tmp_path, value=value, diverges=diverges)
    trials = state.arm("lstm", "search")
    away = [abs(np.log10(trial.config.learning_rate) + 2.5) for trial in trials]
    epochs = Counter[bool]()
    for distance, trial in zip(away, trials, strict=True):
        epochs[distance < 0.7] += trial.epoch
    assert epochs[True] > 2 * epochs[False]
    startup = 8
    assert np.median(away[startup:]) < np.median(away[:startup])
    late = [trial for trial in trials[startup:] if trial.config.learning_rate > 0.1]
    assert len(late) < len(trials[startup:]) / 4  # a quarter of the range diverges


def test_an_arm_with_one_configuration_is_tried_again_with_other_seeds(tmp_path: Path) -> None:
    fixed = {"depth": 1, "hidden_size": 16, "learning_rate": 0.01, "dropout": 0.0}
    search = {"sampler": "freeze-thaw", "control_fraction": 0, "trials": 12}
    space = {**fixed, "forget_bias": "one"}
    wanted = driven.job(tmp_path, arms=["lstm"], space=space, search=search)
    trials = drive(wanted, tmp_path).arm("lstm", "search")
    assert len(trials) == 12
    assert any(trial.state == "complete" for trial in trials)


def test_several_slots_are_not_given_the_same(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, trials=None, epochs=80), INFO, journal)
        workers = Workers(driver, value=value)
        workers.run(most_reports=30)
        taken = [work for _ in range(4) if (work := driver.next()) is not None]
    assert len({work.key for work in taken}) == 4
    assert len({str(work.config) for work in taken}) == 4


def test_slices_grow_and_end_before_the_last_epoch() -> None:
    assert slice_ends(27) == [3, 4, 6, 8, 11, 15, 21]
    assert slice_ends(9) == [1, 2, 3, 4, 6, 8]
    assert slice_ends(1) == []


def test_a_candidate_has_the_columns_of_its_configuration(tmp_path: Path) -> None:
    """Whole numbers apart, which candidates do not round."""
    arm = job(tmp_path, POOLED).arms[0]
    encoding = Encoding(arm)
    depth = encoding.setting("depth")
    assert depth is not None
    places = np.random.default_rng(0).random((50, encoding.settings))
    places[:, depth] = 0.5
    made = np.stack([encoding.columns(encoding.sample(row.tolist()).values) for row in places])
    assert encoding.columns_at(places) == pytest.approx(made)
    assert len({tuple(row) for row in made}) == 50


def test_candidates_have_learning_rates_that_are_thought_good(tmp_path: Path) -> None:
    """Within their range, and whatever it is; the other settings are drawn as before."""
    wide = driven.job(tmp_path, arms=["lstm"], space={"learning_rate": WIDE}).arms[0]
    encoding = Encoding(wide)
    uniform = np.random.default_rng(0).random((200, encoding.settings))
    place = encoding.setting("learning_rate")
    assert place is not None
    for rates in (LearningRates(-3.0, 0.5), LearningRates(-12.0, 0.5), NOT_KNOWN):
        places = encoding.favoured(uniform, rates)
        found = np.log10([encoding.sample(row.tolist()).values["learning_rate"] for row in places])
        assert ((found >= -8) & (found <= 1)).all()
        assert np.array_equal(np.delete(places, place, 1), np.delete(uniform, place, 1))
        away = encoding.away(encoding.columns_at(places), rates)
        assert away == pytest.approx(rates.away(found), abs=1e-6)
        if rates.mean == -3.0:
            assert abs(float(np.median(found)) + 3) < 0.1
            assert np.mean(away < 0.5) > 0.6
        else:  # nothing is known of rates that the range does not have
            assert np.array_equal(places, uniform)


def test_rates_of_an_arm_follow_from_its_cells_and_optimizers(tmp_path: Path) -> None:
    def rates(arm: Any, **space: Any) -> LearningRates:
        return of_arm(driven.job(tmp_path, arms=[arm], space=space).arms[0], {"rnn": 1.0})

    assert rates("lstm", hidden_size=64) == literature("lstm", 64, "adam")
    learned = literature("rnn", 64, "sgd").mean + 1
    assert rates("rnn", hidden_size=64, optimizer="sgd").mean == pytest.approx(learned)
    both = rates(POOLED, hidden_size={"low": 32, "high": 128})
    means = [literature(cell, 64, "adam").mean for cell in ("rnn", "lstm")]
    assert both.mean == pytest.approx(np.mean(means) + 0.5)
