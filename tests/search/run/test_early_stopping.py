"""A trial whose own patience is over is complete: told apart from pruned, its rest not billed."""

from pathlib import Path
from typing import Any

import pytest
from driven import drive, job, told

from search.journal.replay import TrialState
from trainables.worker.messages import TrialAssignment

PATIENT = {"patience": 3, "max_epochs": 12}


def flat(work: TrialAssignment, epoch: int) -> float:
    """Return values that rise for some epochs, by the seed, and no more."""
    return 0.5 + min(epoch, 1 + work.seed % 4) / 100


def best_of(trial: TrialState) -> int:
    return 1 + trial.seed % 4


@pytest.mark.parametrize(
    "search",
    [
        {"pruner": "none"},
        {"pruner": {"kind": "successive-halving", "min_epochs": 2, "reduction": 2}},
        {"pruner": {"kind": "successive-halving", "mode": "promotion", "min_epochs": 2}},
        {"sampler": "freeze-thaw"},
    ],
    ids=["unpruned", "stopping", "promotion", "freeze-thaw"],
)
def test_what_stops_early_is_complete_and_says_so(search: dict[str, Any], tmp_path: Path) -> None:
    spec = job(tmp_path, training=PATIENT, search={"trials": 8, **search})
    state = drive(spec, tmp_path, value=flat)
    early = [trial for trial in state.trials.values() if trial.state == "complete"]
    assert early
    for trial in early:
        assert trial.epoch == best_of(trial) + 3 < 12
        assert trial.reason is not None and trial.reason.startswith("stopped early")
    for trial in state.trials.values():
        assert trial.state in ("complete", "pruned")
        if trial.state == "pruned":  # the search stopped it, before its patience was over
            assert trial.epoch < best_of(trial) + 3
    replicates = [trial for trial in early if trial.phase == "confirm"]
    assert len(replicates) == 6
    assert all(trial.test is not None for trial in replicates)


def test_epochs_that_patience_spares_are_not_billed(tmp_path: Path) -> None:
    search = {"trials": None, "epochs": 60, "pruner": "none"}
    spec = job(tmp_path, arms=["gru"], training=PATIENT, search=search)
    state = drive(spec, tmp_path, value=flat)
    trials = [trial for trial in state.trials.values() if trial.phase == "search"]
    assert sum(trial.epoch for trial in trials) >= 60
    assert len(trials) > 60 / 7  # none had more than 4 + 3 epochs; 12 each would be five trials


def test_a_killed_job_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    spec = job(tmp_path, training=PATIENT)
    folders = tmp_path / "whole", tmp_path / "cut"
    for folder in folders:
        folder.mkdir()
    drive(spec, folders[0], value=flat)
    while not (folders[1] / "job.journal").exists() or told(folders[1]).phase != "report":
        drive(spec, folders[1], value=flat, most_reports=3)
    whole, cut = (
        {
            key: (trial.state, trial.epoch, trial.reason)
            for key, trial in told(folder).trials.items()
        }
        for folder in folders
    )
    assert cut == whole


def test_without_patience_a_trial_is_complete_at_its_last_epoch_alone(tmp_path: Path) -> None:
    state = drive(job(tmp_path), tmp_path, value=flat)
    complete = [trial for trial in state.trials.values() if trial.state == "complete"]
    assert {(trial.epoch, trial.reason) for trial in complete} == {(9, None)}
