"""Pruners decide what Optuna's do, on histories of every kind, without looking at every trial."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from driven import job
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.exceptions import ExperimentalWarning
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from search.job.pruner_sections import PrunerSection
from search.study.pruners import Pruner, make_pruner

LAST = 27  #: epochs of an unpruned trial in these histories

#: What a job file may say, and Optuna's own pruner for it.
STOCK: dict[str, tuple[dict[str, Any], Callable[[], optuna.pruners.BasePruner]]] = {
    "successive-halving": (
        {"min_epochs": 1, "reduction": 3},
        lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    ),
    "successive-halving, late and hard": (
        {"min_epochs": 2, "reduction": 4},
        lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=4),
    ),
    "hyperband": (
        {"min_epochs": 1, "reduction": 3},
        lambda: optuna.pruners.HyperbandPruner(1, LAST, reduction_factor=3),
    ),
    "hyperband, halves": (
        {"min_epochs": 2, "reduction": 2},
        lambda: optuna.pruners.HyperbandPruner(2, LAST, reduction_factor=2),
    ),
    "median": ({"min_epochs": 1}, lambda: optuna.pruners.MedianPruner(n_warmup_steps=0)),
    "median, late": ({"min_epochs": 5}, lambda: optuna.pruners.MedianPruner(n_warmup_steps=4)),
    "patient": ({"patience": 2}, lambda: optuna.pruners.PatientPruner(None, patience=2)),
    "none": ({}, optuna.pruners.NopPruner),
}


def test_every_pruner_of_a_job_file_is_held_to_optunas() -> None:
    tagged = PrunerSection.__origin__.__args__  # type: ignore[attr-defined]
    kinds = {option.__origin__.form.strip("<>") for option in tagged}
    assert kinds == {name.partition(",")[0] for name in STOCK}


class Both:
    """One study twice: Optuna's pruner decides in the first, ours in the second."""

    def __init__(self, folder: Path, name: str, direction: str) -> None:
        options, stock = STOCK[name]
        kind = name.partition(",")[0]
        self.job = job(
            folder, training={"max_epochs": LAST}, search={"pruner": {"kind": kind, **options}}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            pruner = stock()
        self.stock = optuna.create_study(study_name="job/arm", direction=direction, pruner=pruner)
        self.storage = InMemoryStorage()
        self.study = optuna.create_study(
            study_name="job/arm", direction=direction, storage=self.storage
        )
        self.pruner: Pruner = make_pruner(self.job, self.study)
        self.trials: list[tuple[optuna.Trial, optuna.Trial]] = []

    def start(self) -> int:
        self.trials.append((self.stock.ask(), self.study.ask()))
        return len(self.trials) - 1

    def report(self, number: int, step: int, value: float) -> bool:
        stock, ours = self.trials[number]
        stock.report(value, step)
        expected = stock.should_prune()
        ours.report(value, step)
        frozen = self.storage.get_trial(ours._trial_id)
        stop, attributes = self.pruner.judge(frozen)
        for key, stored in attributes.items():
            self.storage.set_trial_system_attr(ours._trial_id, key, stored)
        assert stop == expected, (number, step, value)
        return stop

    def end(self, number: int, state: TrialState, value: float | None) -> None:
        stock, ours = self.trials[number]
        self.stock.tell(stock, value, state)
        self.study.tell(ours, value, state)
        self.pruner.ended(self.storage.get_trial(ours._trial_id))

    def reopen(self) -> None:
        """Forget the tables and make them again from what is stored."""
        self.pruner = make_pruner(self.job, self.study)
        for trial in self.storage.get_all_trials(self.study._study_id, deepcopy=False):
            self.pruner.restore(trial)

    def stored(self) -> list[dict[str, Any]]:
        return [trial.system_attrs for trial in self.study.get_trials()]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("name", STOCK)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_decisions_are_optunas_on_any_history(
    tmp_path_factory: pytest.TempPathFactory, name: str, direction: str, data: st.DataObject
) -> None:
    """Trials side by side, in slices of any length, with ties; some are never stopped."""
    both = Both(tmp_path_factory.getbasetemp(), name, direction)
    live: dict[int, int] = {}  # epochs of running trials
    obeys: dict[int, bool] = {}
    values = st.integers(0, 5).map(lambda n: n / 5)  # few, so that there are ties
    for _ in range(data.draw(st.integers(10, 40))):
        if data.draw(st.integers(0, 19)) == 0:
            both.reopen()
        if not live or (len(live) < 4 and data.draw(st.booleans())):
            number = both.start()
            live[number], obeys[number] = 0, data.draw(st.integers(0, 3)) > 0
        number = data.draw(st.sampled_from(sorted(live)))
        if data.draw(st.integers(0, 29)) == 0:
            both.end(number, TrialState.FAIL, None)
            del live[number]
            continue
        for _ in range(data.draw(st.integers(1, LAST))):
            live[number] += 1
            value = data.draw(values)
            stop = both.report(number, live[number], value)
            if live[number] == LAST:
                both.end(number, TrialState.COMPLETE, value)
            elif stop and obeys[number]:
                both.end(number, TrialState.PRUNED, None)
            else:
                continue
            del live[number]
            break
    assert both.stored() == [trial.system_attrs for trial in both.stock.get_trials()]


@pytest.mark.parametrize("name", STOCK)
def test_long_histories_are_decided_alike(tmp_path: Path, name: str) -> None:
    """Enough trials for every rung and bracket to be crowded."""
    both = Both(tmp_path, name, "maximize")
    stopped = 0
    for number in range(150):
        both.start()
        ceiling = (number * 7919 % 100) / 100
        for epoch in range(1, LAST + 1):
            value = round(ceiling * (1 - 0.8**epoch), 2)
            stop = both.report(number, epoch, value)
            if stop or epoch == LAST:
                if stop:
                    both.end(number, TrialState.PRUNED, None)
                else:
                    both.end(number, TrialState.COMPLETE, value)
                stopped += stop
                break
    assert stopped > 50 or name in ("none", "patient")


@pytest.mark.parametrize("name", STOCK)
def test_trials_are_stopped_only_where_they_report(tmp_path: Path, name: str) -> None:
    both = Both(tmp_path, name, "maximize")
    at = both.pruner.report_epochs(LAST)
    for number in range(40):
        both.start()
        for epoch in range(1, LAST):
            if both.report(number, epoch, (number * 31 % 7 - epoch) / 50):
                assert at is None or epoch in at
                break
