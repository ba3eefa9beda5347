"""What stops a trial: Optuna's pruners over stored values, at a cost that does not grow.

Optuna's successive halving, hyperband and median pruners look through every trial of the study at
each decision. These keep sorted tables instead and decide the same (a test holds them to it, ties
included). The tables are rebuilt from the studies when a job is opened: the values at rungs are
stored where Optuna stores them (the system attribute completed_rung_<k>), so that its own tools
and a resumed job see the same rungs.

All of them work on one arm: trials of different arms never compete.
"""

import math
import warnings
from abc import ABC, abstractmethod
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable
from zlib import crc32

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import PatientPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.job.pruner_sections import (
    HyperbandSection,
    MedianSection,
    PatientSection,
    SuccessiveHalvingSection,
    UnprunedSection,
)
from search.job.spec import JobSpec

Attributes = dict[str, float]

_RUNG = "completed_rung_"  #: Optuna's name for a rung's value, without the rung's number
_MEDIAN_STARTUP = 5  #: complete trials before the median pruner stops any, as in Optuna


class Pruner(ABC):
    """Decides for one arm whether a trial goes on."""

    @abstractmethod
    def judge(self, trial: FrozenTrial) -> tuple[bool, Attributes]:
        """Return whether to stop a trial after its latest value, and attributes to store on it."""

    def restore(self, trial: FrozenTrial) -> None:
        """Take in a trial of a journal that is opened again."""
        if trial.state.is_finished():
            self.ended(trial)

    def ended(self, trial: FrozenTrial) -> None:  # noqa: B027 (most have nothing to do)
        """Take in that a trial has ended."""


class Never(Pruner):
    """Stops nothing."""

    def judge(self, trial: FrozenTrial) -> tuple[bool, Attributes]:
        """Return that the trial goes on."""
        return False, {}


class Halving(Pruner):
    """Asynchronous successive halving (Li et al., 2020), in one bracket or in several.

    A trial that reaches rung k of its bracket (epoch first * reduction ** (bracket + k)) goes on
    if it is among the best 1/reduction of those that have reached it so far.
    """

    def __init__(
        self,
        first: int,
        reduction: int,
        *,
        maximize: bool,
        bracket: Callable[[int], int] = lambda number: 0,
    ) -> None:
        """bracket: the bracket of a trial by its number."""
        self._first = first
        self._reduction = reduction
        self._maximize = maximize
        self._bracket = bracket
        self._tables: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
        self._passed: Counter[int] = Counter()  # rungs passed, by number of a running trial

    def judge(self, trial: FrozenTrial) -> tuple[bool, Attributes]:
        """Decide at every rung that the trial has newly reached; between rungs it goes on."""
        step = trial.last_step
        assert step is not None
        value = trial.intermediate_values[step]
        bracket = self._bracket(trial.number)
        stored: Attributes = {}
        while True:
            rung = self._passed[trial.number]
            if step < self._first * self._reduction ** (bracket + rung):
                return False, stored
            if math.isnan(value):
                return True, stored
            stored[f"{_RUNG}{rung}"] = value
            self._passed[trial.number] += 1
            if not self._promotes(self._tables[bracket, rung], value):
                return True, stored

    def _promotes(self, table: list[float], value: float) -> bool:
        """Add a value to a rung's table and return whether it is among the best there."""
        insort(table, value)
        place = max(len(table) // self._reduction, 1)  # the first few only have to be the best
        return value >= table[-place] if self._maximize else value <= table[place - 1]

    def restore(self, trial: FrozenTrial) -> None:
        """Take a stored trial's values at rungs into the tables."""
        bracket = self._bracket(trial.number)
        rung = 0
        while (value := trial.system_attrs.get(f"{_RUNG}{rung}")) is not None:
            insort(self._tables[bracket, rung], value)
            rung += 1
        if not trial.state.is_finished():
            self._passed[trial.number] = rung

    def ended(self, trial: FrozenTrial) -> None:
        """Forget a trial's place; its values stay."""
        self._passed.pop(trial.number, None)


def hyperband(first: int, last: int, reduction: int, *, maximize: bool, study_name: str) -> Halving:
    """Return the pruner of Optuna's Hyperband (Li et al., 2018; brackets after ASHA's paper).

    Each trial belongs to one bracket by a hash of the study's name and its number, in proportion
    to the trials that Hyperband starts in each.
    """
    brackets = math.floor(math.log(last / first, reduction)) + 1
    shares = [
        math.ceil(brackets * reduction ** (brackets - 1 - bracket) / (brackets - bracket))
        for bracket in range(brackets)
    ]

    def bracket(number: int) -> int:
        left = crc32(f"{study_name}_{number}".encode()) % sum(shares)
        for chosen, share in enumerate(shares):
            left -= share
            if left < 0:
                return chosen
        raise AssertionError("a remainder is below the sum")

    return Halving(first, reduction, maximize=maximize, bracket=bracket)


class Median(Pruner):
    """Stops a trial whose best value so far is worse than the median of the complete ones there."""

    def __init__(self, first: int, *, maximize: bool) -> None:
        """first: the first epoch at which a trial may be stopped."""
        self._first = first
        self._maximize = maximize
        self._complete = 0
        self._tables: defaultdict[int, list[float]] = defaultdict(list)  # by epoch

    def judge(self, trial: FrozenTrial) -> tuple[bool, Attributes]:
        """Compare the trial's best value with the median of complete trials at its latest epoch."""
        step = trial.last_step
        assert step is not None
        if self._complete < _MEDIAN_STARTUP or step < self._first - 1:
            return False, {}
        values = np.asarray(list(trial.intermediate_values.values()), dtype=float)
        if np.isnan(values).all():
            return True, {}
        table = self._tables.get(step)
        if not table:
            return False, {}
        middle = table[(len(table) - 1) // 2 : len(table) // 2 + 1]
        median = float(np.percentile(np.asarray(middle), 50))
        if self._maximize:
            return bool(np.nanmax(values) < median), {}
        return bool(np.nanmin(values) > median), {}

    def ended(self, trial: FrozenTrial) -> None:
        """Add a complete trial's curve to the tables."""
        if trial.state == TrialState.COMPLETE:
            self._complete += 1
            for step, value in trial.intermediate_values.items():
                if not math.isnan(value):
                    insort(self._tables[step], value)


class Patience(Pruner):
    """Stops a trial that has not become better for some epochs; only its own values count."""

    def __init__(self, patience: int, study: Study) -> None:
        self._study = study
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._pruner = PatientPruner(None, patience=patience)

    def judge(self, trial: FrozenTrial) -> tuple[bool, Attributes]:
        """Ask Optuna's pruner, which reads this trial alone."""
        return bool(self._pruner.prune(self._study, trial)), {}


def make_pruner(job: JobSpec, study: Study) -> Pruner:
    """Return the job's pruner for one arm's study, with nothing in its tables yet."""
    maximize = study.direction.name == "MAXIMIZE"
    match job.search.pruner:
        case SuccessiveHalvingSection(min_epochs=first, reduction=reduction):
            return Halving(first, reduction, maximize=maximize)
        case HyperbandSection(min_epochs=first, reduction=reduction):
            last, name = job.training.max_epochs, study.study_name
            return hyperband(first, last, reduction, maximize=maximize, study_name=name)
        case MedianSection(min_epochs=first):
            return Median(first, maximize=maximize)
        case PatientSection(patience=patience):
            return Patience(patience, study)
        case UnprunedSection():
            return Never()


def rungs(job: JobSpec) -> list[int] | None:
    """Return the epochs at which the pruner may stop a trial; None means after every one."""
    match job.search.pruner:
        case (
            SuccessiveHalvingSection(min_epochs=rung, reduction=reduction)
            | HyperbandSection(min_epochs=rung, reduction=reduction)
        ):
            epochs = []
            while rung < job.training.max_epochs:
                epochs.append(rung)
                rung *= reduction
            return epochs
        case UnprunedSection():
            return []
    return None
