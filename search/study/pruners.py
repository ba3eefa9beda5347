"""Which trial the pruner stops: Optuna's rules, at a cost that does not grow with the trials.

Optuna's successive halving, hyperband and median pruners read every trial of the study at each
decision. The pruners here keep sorted tables instead. A test compares their decisions with
Optuna's, ties included. The tables are rebuilt from the studies when a job is opened: the values at
rungs are stored where Optuna stores them, so that its own tools and a resumed job see the same
rungs.

A pruner works on one arm: trials of different arms never compete. ArmStudy.report_value says which
trials are exempt.
"""

import math
import warnings
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.job.pruner_sections import (
    HyperbandSection,
    MedianSection,
    PatientSection,
    SlicesSection,
    SuccessiveHalvingSection,
    UnprunedSection,
)
from search.job.spec import JobSpec
from search.study.decisions import Attributes, Decision, Pruner
from search.study.optuna_compat import completed_rung
from search.study.promotion import Promotion
from search.study.rungs import Rungs
from search.study.slices import Slices

_MEDIAN_STARTUP = 5  #: complete trials before the median pruner stops any, as in Optuna


class NoPruner(Pruner):
    """Stops nothing."""

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Return that the trial goes on."""
        return Decision.CONTINUE, {}

    def report_epochs(self, last: int) -> list[int]:
        """Return no epoch."""
        return []


class SuccessiveHalving(Pruner):
    """Asynchronous successive halving (Li et al., 2020), in one bracket or in several.

    A trial that reaches a rung of its bracket goes on if it is among the best 1/reduction of those
    that have reached the rung so far. Bracket b begins at rung b.
    """

    def __init__(
        self,
        rungs: Rungs,
        *,
        maximize: bool,
        bracket: Callable[[int], int] = lambda number: 0,
    ) -> None:
        """bracket: the bracket of a trial by its number."""
        self._rungs = rungs
        self._maximize = maximize
        self._bracket = bracket
        self._tables: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
        self._passed: Counter[int] = Counter()  # rungs passed, by number of a running trial

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Decide at every rung that the trial has reached since; between rungs it goes on."""
        step = trial.last_step
        assert step is not None
        value = trial.intermediate_values[step]
        bracket = self._bracket(trial.number)
        stored: Attributes = {}
        while True:
            rung = self._passed[trial.number]
            if step < self._rungs.epoch(bracket + rung):
                return Decision.CONTINUE, stored
            if math.isnan(value):
                return Decision.STOP, stored
            stored[completed_rung(rung)] = value
            self._passed[trial.number] += 1
            if not self._promotes(self._tables[bracket, rung], value):
                return Decision.STOP, stored

    def report_epochs(self, last: int) -> list[int]:
        """Return the rungs; trials of every bracket report at all of them."""
        return self._rungs.before(last)

    def _promotes(self, table: list[float], value: float) -> bool:
        """Add a value to a rung's table and return whether it is among the best there."""
        insort(table, value)
        # Below `reduction` values only the best one goes on.
        place = max(len(table) // self._rungs.reduction, 1)
        return value >= table[-place] if self._maximize else value <= table[place - 1]

    def restore(self, trials: Iterable[FrozenTrial]) -> None:
        """Take stored trials' values at rungs into the tables."""
        for trial in trials:
            self._restore(trial)

    def _restore(self, trial: FrozenTrial) -> None:
        bracket = self._bracket(trial.number)
        rung = 0
        while (value := trial.system_attrs.get(completed_rung(rung))) is not None:
            insort(self._tables[bracket, rung], value)
            rung += 1
        if not trial.state.is_finished():
            self._passed[trial.number] = rung

    def ended(self, trial: FrozenTrial) -> None:
        """Forget which rungs a trial has passed; its values stay in the tables."""
        self._passed.pop(trial.number, None)


def hyperband(rungs: Rungs, last: int, *, maximize: bool, study_name: str) -> SuccessiveHalving:
    """Return the pruner of Optuna's Hyperband (Li et al., 2018; brackets after ASHA's paper).

    Each trial belongs to one bracket by a hash of the study's name and its number, in proportion
    to the trials that Hyperband starts in each. last: the epochs of a trial that is never stopped.
    """
    brackets = rungs.brackets(last)
    shares = [
        math.ceil(brackets * rungs.reduction ** (brackets - 1 - bracket) / (brackets - bracket))
        for bracket in range(brackets)
    ]

    def bracket(number: int) -> int:
        left = crc32(f"{study_name}_{number}".encode()) % sum(shares)
        for chosen, share in enumerate(shares):
            left -= share
            if left < 0:
                return chosen
        raise AssertionError("a remainder is below the sum")

    return SuccessiveHalving(rungs, maximize=maximize, bracket=bracket)


class MedianPruner(Pruner):
    """Stops a trial whose best value so far is worse than the median of the complete ones there."""

    def __init__(self, first: int, *, maximize: bool) -> None:
        """first: the first epoch at which a trial may be stopped."""
        self._first = first
        self._maximize = maximize
        self._complete = 0
        self._tables: defaultdict[int, list[float]] = defaultdict(list)  # by epoch

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Compare the trial's best value with the median of complete trials at its latest epoch."""
        step = trial.last_step
        assert step is not None
        if self._complete < _MEDIAN_STARTUP or step < self._first - 1:
            return Decision.CONTINUE, {}
        values = np.asarray(list(trial.intermediate_values.values()), dtype=float)
        if np.isnan(values).all():
            return Decision.STOP, {}
        table = self._tables.get(step)
        if not table:
            return Decision.CONTINUE, {}
        middle = table[(len(table) - 1) // 2 : len(table) // 2 + 1]
        median = float(np.percentile(np.asarray(middle), 50))
        if self._maximize:
            return _stop_if(np.nanmax(values) < median), {}
        return _stop_if(np.nanmin(values) > median), {}

    def report_epochs(self, last: int) -> None:
        """Return None, for every epoch."""

    def ended(self, trial: FrozenTrial) -> None:
        """Add a complete trial's curve to the tables."""
        if trial.state == TrialState.COMPLETE:
            self._complete += 1
            for step, value in trial.intermediate_values.items():
                if not math.isnan(value):
                    insort(self._tables[step], value)


class PatientPruner(Pruner):
    """Stops a trial that has not improved for some epochs; only its own values count."""

    def __init__(self, patience: int, study: Study) -> None:
        self._study = study
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._pruner = optuna.pruners.PatientPruner(None, patience=patience)

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Ask Optuna's pruner, which reads this trial alone."""
        return _stop_if(self._pruner.prune(self._study, trial)), {}

    def report_epochs(self, last: int) -> None:
        """Return None, for every epoch."""


def _stop_if(worse: Any) -> Decision:
    return Decision.STOP if worse else Decision.CONTINUE


def make_pruner(job: JobSpec, study: Study) -> Pruner:
    """Return the job's pruner for one arm's study, with nothing in its tables yet."""
    maximize = study.direction.name == "MAXIMIZE"
    match job.search.pruner:
        case SuccessiveHalvingSection(mode="promotion", min_epochs=first, reduction=reduction):
            last = job.training.max_epochs
            return Promotion(first, reduction, last, maximize=maximize)
        case SuccessiveHalvingSection(min_epochs=first, reduction=reduction):
            assert first != "auto"
            return SuccessiveHalving(Rungs(first, reduction), maximize=maximize)
        case HyperbandSection(min_epochs=first, reduction=reduction):
            rungs, last = Rungs(first, reduction), job.training.max_epochs
            return hyperband(rungs, last, maximize=maximize, study_name=study.study_name)
        case MedianSection(min_epochs=first):
            return MedianPruner(first, maximize=maximize)
        case PatientSection(patience=patience):
            return PatientPruner(patience, study)
        case SlicesSection():
            return Slices(job.training.max_epochs)
        case UnprunedSection():
            return NoPruner()
