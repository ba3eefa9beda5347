"""Pruners decide as Optuna's do, on histories of every kind, without reading every trial."""

import random
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
from search.study.decisions import Decision, Pruner
from search.study.optuna_compat import StoredStudy
from search.study.pruners import make_pruner
from spaces.kinds import Direction

LAST = 27  #: epochs of a trial in these histories that is not stopped
DIRECTIONS: list[Direction] = ["maximize", "minimize"]

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


#: Where a trial must report before its last epoch; None means after every epoch.
REPORT_EPOCHS = {
    "successive-halving": [1, 3, 9],
    "successive-halving, late and hard": [2, 8],
    "hyperband": [1, 3, 9],
    "hyperband, halves": [2, 4, 8, 16],
    "median": None,
    "median, late": None,
    "patient": None,
    "none": [],
}
RUNGS = {name: epochs for name, epochs in REPORT_EPOCHS.items() if epochs}


def decisions(name: str) -> set[bool]:
    """Return the decisions, to stop or not, that a long history must contain."""
    return {False} if name == "none" else {False, True}


def test_every_pruner_of_a_job_file_is_compared_with_optunas() -> None:
    tagged = PrunerSection.__origin__.__args__  # type: ignore[attr-defined]
    kinds = {option.__origin__.form.strip("<>") for option in tagged}
    ours = {"slices"}  # of freeze-thaw, which Optuna has not
    assert kinds - ours == {name.partition(",")[0] for name in STOCK}


class Both:
    """One study twice: Optuna's pruner decides in the first, ours in the second."""

    def __init__(self, folder: Path, name: str, direction: Direction) -> None:
        options, stock = STOCK[name]
        kind = name.partition(",")[0]
        self.job = job(
            folder, training={"max_epochs": LAST}, search={"pruner": {"kind": kind, **options}}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            pruner = stock()
        self.stock = optuna.create_study(study_name="job/arm", direction=direction, pruner=pruner)
        self.ours = StoredStudy(InMemoryStorage(), "job/arm", direction)
        self.pruner: Pruner = make_pruner(self.job, self.ours.study)
        self.trials: list[optuna.Trial] = []
        self.decisions: set[bool] = set()

    def start(self) -> int:
        self.trials.append(self.stock.ask())
        return self.ours.study.ask().number

    def report(self, number: int, epoch: int, value: float) -> bool:
        self.trials[number].report(value, epoch)
        expected = self.trials[number].should_prune()
        self.ours.set_value(number, epoch, value)
        decision, attributes = self.pruner.judge(self.ours.trial(number))
        stop = decision is Decision.STOP
        assert stop or decision is Decision.CONTINUE
        for key, stored in attributes.items():
            self.ours.set_trial_attribute(number, key, stored)
        assert stop == expected, (number, epoch, value)
        self.decisions.add(stop)
        return stop

    def end(self, number: int, state: TrialState, value: float | None) -> None:
        self.stock.tell(self.trials[number], value, state)
        self.ours.end(number, state, value)
        self.pruner.ended(self.ours.trial(number))

    def train(self, values: list[float]) -> None:
        """Train one trial to its end with these values, or until it is stopped."""
        number = self.start()
        for epoch, value in enumerate(values, 1):
            if self.report(number, epoch, value):
                self.end(number, TrialState.PRUNED, None)
                return
        self.end(number, TrialState.COMPLETE, values[-1])

    def reopen(self) -> None:
        """Forget the tables and make them again from what is stored."""
        self.pruner = make_pruner(self.job, self.ours.study)
        self.pruner.restore(self.ours.trials)

    def attributes_are_equal(self) -> bool:
        ours, stock = self.ours.trials, self.stock.get_trials()
        return [trial.system_attrs for trial in ours] == [trial.system_attrs for trial in stock]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", STOCK)
def test_decisions_are_optunas_on_any_history(
    tmp_path: Path, name: str, direction: Direction
) -> None:
    """Trials side by side, in slices of any length, with ties; some are never stopped."""
    taken: set[bool] = set()
    values = st.integers(0, 5).map(lambda n: n / 5)  # few, so that there are ties

    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def compare(data: st.DataObject) -> None:
        both = Both(tmp_path, name, direction)
        epochs: dict[int, int] = {}  # of running trials
        obeys: dict[int, bool] = {}
        for level in range(6):  # the median pruner stops nothing before
            number = both.start()
            for epoch in range(1, LAST + 1):
                both.report(number, epoch, level / 5)
            both.end(number, TrialState.COMPLETE, level / 5)
        for _ in range(data.draw(st.integers(10, 30))):
            if data.draw(st.integers(0, 19)) == 0:
                both.reopen()
            if not epochs or (len(epochs) < 4 and data.draw(st.booleans())):
                number = both.start()
                epochs[number], obeys[number] = 0, data.draw(st.integers(0, 3)) > 0
            number = data.draw(st.sampled_from(sorted(epochs)))
            if data.draw(st.integers(0, 29)) == 0:
                both.end(number, TrialState.FAIL, None)
                del epochs[number]
                continue
            for _ in range(data.draw(st.integers(1, LAST))):
                epochs[number] += 1
                value = data.draw(values)
                stop = both.report(number, epochs[number], value)
                if epochs[number] == LAST:
                    both.end(number, TrialState.COMPLETE, value)
                elif stop and obeys[number]:
                    both.end(number, TrialState.PRUNED, None)
                else:
                    continue
                del epochs[number]
                break
        assert both.attributes_are_equal()
        taken.update(both.decisions)

    compare()
    assert taken == decisions(name)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", STOCK)
def test_decisions_are_optunas_on_a_long_history(
    tmp_path: Path, name: str, direction: Direction
) -> None:
    """Enough trials for every rung and bracket to be crowded; curves improve, then get worse."""
    both = Both(tmp_path, name, direction)
    draws = random.Random(0)
    sign = 1 if direction == "maximize" else -1
    for _ in range(150):
        ceiling, turn = draws.random(), draws.randint(2, 2 * LAST)
        rise = [ceiling * (1 - 0.8**epoch) for epoch in range(1, LAST + 1)]
        fall = [max(0, epoch - turn) / LAST for epoch in range(1, LAST + 1)]
        both.train([sign * round(r - f, 2) for r, f in zip(rise, fall, strict=True)])
    ends = {trial.state for trial in both.ours.trials}
    assert both.decisions == decisions(name)
    assert TrialState.COMPLETE in ends
    assert both.attributes_are_equal()


def test_every_pruner_says_where_a_trial_must_report() -> None:
    assert set(REPORT_EPOCHS) == set(STOCK)


@pytest.mark.parametrize("name", REPORT_EPOCHS)
def test_a_trial_must_report_where_it_may_be_stopped(tmp_path: Path, name: str) -> None:
    both = Both(tmp_path, name, "maximize")
    assert both.pruner.report_epochs(LAST) == REPORT_EPOCHS[name]


@pytest.mark.parametrize("name", RUNGS)
def test_halving_stops_trials_only_at_its_rungs(tmp_path: Path, name: str) -> None:
    both = Both(tmp_path, name, "maximize")
    for number in range(60):
        both.train([(number * 31 % 7 - epoch) / 50 for epoch in range(1, LAST + 1)])
    pruned = [trial for trial in both.ours.trials if trial.state == TrialState.PRUNED]
    stopped_at = {trial.last_step for trial in pruned}
    assert len(stopped_at) > 1
    assert stopped_at <= set(RUNGS[name])
