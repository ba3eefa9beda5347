"""What holds of every way to search: each sampler, each pruner, each budget, on a formula's curves.

Real driver, studies and journal; workers are simulated, and diverge at high learning rates. A
sampler that is added to the product's table is held to it at once.
"""

import math
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from driven import curve_value, drive, job

from search.job.pruner_sections import KINDS
from search.job.samplers import SAMPLERS
from search.job.spec import JobSpec
from search.journal.file import FileReader
from search.journal.replay import JobState, TrialState
from trainables.worker.messages import TrialAssignment

ARMS, LAST = ("rnn", "gru"), 9
REAL = {
    "depth": 1,
    "hidden_size": {"low": 8, "high": 64},
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "forget_bias": "default",
}
FINITE = REAL | {"learning_rate": {"choices": [1e-3, 1e-2, 1e-1]}, "dropout": 0.1}
HALVING = {"kind": "successive-halving", "min_epochs": 1, "reduction": 3}
PRUNERS: dict[str, Any] = {
    "none": "none",
    "promotion": HALVING | {"mode": "promotion"},
    "auto": HALVING | {"mode": "promotion", "min_epochs": "auto"},
    "hyperband": "hyperband",
    "median": "median",
    "patient": {"kind": "patient", "patience": 2},
}
#: Samplers stop trials by successive halving, or by what is their own; tpe by everything else too.
METHODS: dict[str, dict[str, Any]] = {
    **{sampler: {"sampler": sampler} for sampler in SAMPLERS},
    **{f"tpe-{name}": {"sampler": "tpe", "pruner": pruner} for name, pruner in PRUNERS.items()},
}
#: Of an arm, in the unit that the name says.
BUDGETS = {"trials": 9.0, "epochs": 45.0, "worker_seconds": 8.0}
SECONDS = {"rnn": 0.1, "gru": 0.3}  # of an epoch

every_method = pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=[pytest.mark.slow] if m == "gp" else []) for m in METHODS],
)
every_budget = pytest.mark.parametrize("budget", BUDGETS)
every_number_of_slots = pytest.mark.parametrize("slots", [1, 3])


def wanted(method: str, budget: str, folder: Path, **search: Any) -> JobSpec:
    amount: float = BUDGETS[budget]
    section = {"trials": None, budget: amount if budget == "worker_seconds" else int(amount)}
    section |= {"control_fraction": 0, "seed": 3, "prior": "literature"}
    section |= {**METHODS[method], **search}
    space = FINITE if method == "brute-force" else REAL
    plain: dict[str, Any] = {"arms": list(ARMS), "space": space, "training": {"max_epochs": LAST}}
    return job(folder, **plain, search=section, confirm={"finalists": 2, "seeds": 1})


def diverges(work: TrialAssignment, epoch: int) -> bool:
    return work.config.learning_rate > 0.04 and epoch == 2


def run(spec: JobSpec, folder: Path, slots: int = 1) -> JobState:
    """Run or resume a job to its end; another configuration's curve never has the same value."""
    return drive(
        spec,
        folder,
        slots=slots,
        diverges=diverges,
        value=curve_value,
        seconds=lambda work: SECONDS[work.config.cell],
    )


@cache
def ran(method: str, budget: str, slots: int, **search: Any) -> JobState:
    with TemporaryDirectory() as folder:
        return run(wanted(method, budget, Path(folder), **search), Path(folder), slots)


def told_of(state: JobState) -> dict[str, dict[str, Any]]:
    """Return all of every trial but names of checkpoints, which carry the driver's generation."""
    return {
        key: vars(trial) | {"checkpoints": len(trial.checkpoints)}
        for key, trial in state.trials.items()
    }


def searched(state: JobState, arm: str) -> list[TrialState]:
    return state.arm(arm, "search")


def test_every_sampler_and_pruner_of_the_product_is_held_to_the_contract(tmp_path: Path) -> None:
    kinds = {wanted(method, "trials", tmp_path).search.pruner.kind for method in METHODS}
    assert kinds == set(KINDS)


@every_method
def test_the_same_seed_gives_the_same_trials_on_one_slot(method: str, tmp_path: Path) -> None:
    again = run(wanted(method, "epochs", tmp_path), tmp_path)
    assert told_of(again) == told_of(ran(method, "epochs", 1))


@every_method
def test_another_seed_gives_other_trials(method: str) -> None:
    ours, theirs = ran(method, "epochs", 1), ran(method, "epochs", 1, seed=4)
    assert told_of(ours) != told_of(theirs)


@every_method
def test_a_resumed_job_ends_as_an_undisturbed_one(method: str, tmp_path: Path) -> None:
    """Killed after a record, or in the middle of one."""
    spec = wanted(method, "epochs", tmp_path)
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    undisturbed = told_of(run(spec, whole))
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for kept in range(2, len(lines), max(1, len(lines) // 5)):
        (again / "job.journal").write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
        assert told_of(run(spec, again)) == undisturbed


@every_method
def test_a_kill_of_several_workers_loses_and_doubles_no_trial(method: str, tmp_path: Path) -> None:
    spec = wanted(method, "trials", tmp_path)
    run(spec, tmp_path, slots=3)
    lines = (tmp_path / "job.journal").read_bytes().splitlines(keepends=True)
    kept = lines[: len(lines) // 2]
    (tmp_path / "job.journal").write_bytes(b"".join(kept))
    state = run(spec, tmp_path, slots=3)
    begun = [
        record["key"]
        for group in FileReader(tmp_path / "job.journal").read()
        for record in group
        if record.get("record") == "trial"
    ]
    assert len(begun) == len(set(begun))
    assert sorted(begun) == sorted(ran(method, "trials", 3).trials)
    assert not any(trial.state == "running" for trial in state.trials.values())


@every_method
@every_budget
@every_number_of_slots
def test_every_arm_spends_its_budget_and_no_more_than_was_running(
    method: str, budget: str, slots: int
) -> None:
    """What is paused costs nothing; a trial that runs when the budget is spent is the last."""
    state = ran(method, budget, slots)
    for arm in ARMS:
        trials = searched(state, arm)
        epochs = sum(trial.epoch for trial in trials)
        spent = {
            "trials": len(trials),
            "epochs": epochs,
            "worker_seconds": math.fsum(trial.seconds for trial in trials),
        }[budget]
        training = {"trials": 1 / slots, "epochs": LAST, "worker_seconds": LAST * SECONDS[arm]}
        assert BUDGETS[budget] <= spent + 1e-9 < BUDGETS[budget] + slots * training[budget], arm


@every_method
@every_budget
@every_number_of_slots
def test_no_trial_is_trained_beyond_its_epochs_or_twice(
    method: str, budget: str, slots: int
) -> None:
    for trial in ran(method, budget, slots).trials.values():
        assert [point.epoch for point in trial.curve] == [*range(1, trial.epoch + 1)]
        assert trial.epoch <= LAST
        assert (trial.epoch == LAST) == (trial.state == "complete"), trial.key
        assert trial.state in ("complete", "pruned", "diverged")
        assert (trial.state == "diverged") <= (trial.config.learning_rate > 0.04)


@every_method
@every_budget
@every_number_of_slots
def test_finalists_are_an_arms_best_complete_trials(method: str, budget: str, slots: int) -> None:
    state = ran(method, budget, slots)
    for arm in ARMS:
        complete = [trial for trial in searched(state, arm) if trial.state == "complete"]
        best = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))[:2]
        assert best
        finalists = {trial.finalist for trial in state.arm(arm, "confirm")}
        assert finalists == {trial.number for trial in best}


@every_method
def test_controls_are_alike_in_every_arm_and_never_stopped(method: str) -> None:
    state = ran(method, "trials", 1, control_fraction=0.34)
    drawn = []
    for arm in ARMS:
        controls = [trial for trial in searched(state, arm) if trial.control]
        assert len(controls) == 3
        assert {trial.state for trial in controls} <= {"complete", "diverged"}
        drawn.append([trial.config.model_dump(exclude={"cell", "gates"}) for trial in controls])
    assert drawn[0] == drawn[1]
