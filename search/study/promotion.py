"""Successive halving that promotes: a trial waits at its rung until it is among the best there.

Asynchronous successive halving as its authors have it (Li et al., 2020, algorithm 2). Stopping
decides for good from the trials that came before. Promotion looks again whenever a worker is free:
a paused trial goes on when it is among the best 1/reduction of its rung, later trials included. The
one on the highest rung goes first; where none may go on, a new one begins.

With the first rung `auto`, a job's own curves say what it is (rungs.py). It is looked at again
whenever half as many trials again have passed the first rung, and stored with the trial after whose
value that was, so that a resumed job has the same rungs.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal

from optuna.trial import FrozenTrial

from search.study.decisions import Attributes, Decision, Pruner
from search.study.rungs import LEAST_CURVES, Rungs, fitted_first, safe_first

FIRST_RUNG = "first_rung"  #: trial attribute: the first rung from that trial's value on
LOOKED = "first_rung_of"  #: trial attribute: how many trials had passed it when it was looked at
_MORE = 1.5  #: times as many trials, from one look at the first rung to the next

_Place = tuple[float, int]  # cost and number of a trial


class Promotion(Pruner):
    """Pauses a trial at every rung where it is not among the best, and has it go on later."""

    def __init__(
        self, first: int | Literal["auto"], reduction: int, last: int, *, maximize: bool
    ) -> None:
        """first: the first rung. last: the epochs of a whole training."""
        self._auto = first == "auto"
        self._last = last
        self._rungs = Rungs(safe_first(reduction, last) if first == "auto" else first, reduction)
        self._sign = -1.0 if maximize else 1.0
        self._looked = 0  # trials that had passed the first rung at the latest look at it
        self._curves: dict[int, list[float]] = {}  # costs of every trial, by epoch
        self._tables: list[list[_Place]] = []  # by rung: the trials that have reached it, in order
        self._waiting: list[list[_Place]] = []  # by rung: those of them that are paused there
        self._where: dict[int, int] = {}  # rungs that a paused trial has reached, by its number
        self._sort()

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Pause a trial at a rung where it is not among the best."""
        step = trial.last_step
        assert step is not None
        number, cost = trial.number, self._sign * trial.intermediate_values[step]
        self._curves.setdefault(number, []).append(cost)
        epochs = self._rungs.before(self._last)
        if step not in epochs:
            return Decision.CONTINUE, {}
        rung = epochs.index(step)
        insort(self._tables[rung], (cost, number))
        promoted = self._promotable(rung, (cost, number))
        stored = self._look() if rung == 0 else {}
        return Decision.CONTINUE if promoted else Decision.PAUSE, stored

    def report_epochs(self, last: int) -> list[int]:
        """Return the rungs as they are now."""
        return self._rungs.before(last)

    def next_thaw(self) -> int | None:
        """Return the best trial of the highest rung that has one to promote."""
        for rung in range(len(self._tables) - 1, -1, -1):
            waiting = self._waiting[rung + 1]
            if waiting and self._promotable(rung, waiting[0]):
                return waiting[0][1]
        below = self._waiting[0]  # the first rung was lower when they were paused
        return below[0][1] if below else None

    def paused(self, number: int) -> None:
        """Have a trial wait at the last rung that it has reached."""
        passed = sum(epoch <= len(self._curves[number]) for epoch in self._epochs)
        self._where[number] = passed
        insort(self._waiting[passed], self._place(number, passed))

    def thawed(self, number: int) -> None:
        """Have a trial wait no longer."""
        passed = self._where.pop(number)
        waiting = self._waiting[passed]
        del waiting[bisect_left(waiting, self._place(number, passed))]

    def ended(self, trial: FrozenTrial) -> None:
        """Have a paused trial wait no longer; its values stay in the tables."""
        if trial.number in self._where:
            self.thawed(trial.number)

    def restore(self, trials: Iterable[FrozenTrial]) -> None:
        """Take in the values of stored trials, and the rungs that they led to."""
        first = self._rungs.first
        for trial in trials:
            values = trial.intermediate_values
            if values:
                self._curves[trial.number] = [self._sign * values[step] for step in sorted(values)]
            looked = trial.system_attrs.get(LOOKED, 0)
            if looked > self._looked:
                self._looked, first = int(looked), int(trial.system_attrs[FIRST_RUNG])
        self._rungs = Rungs(first, self._rungs.reduction)
        self._sort()

    @property
    def _epochs(self) -> list[int]:
        return self._rungs.before(self._last)

    def _place(self, number: int, passed: int) -> _Place:
        """Return the key of a trial among those that have passed so many rungs."""
        curve = self._curves[number]
        return (curve[self._epochs[passed - 1] - 1] if passed else curve[-1], number)

    def _promotable(self, rung: int, place: _Place) -> bool:
        table = self._tables[rung]
        return bisect_left(table, place) < len(table) // self._rungs.reduction

    def _sort(self) -> None:
        """Fill the tables of all rungs."""
        self._tables = [
            sorted(
                (curve[epoch - 1], number)
                for number, curve in self._curves.items()
                if len(curve) >= epoch
            )
            for epoch in self._epochs
        ]
        paused, self._where = list(self._where), {}
        self._waiting = [[] for _ in range(len(self._tables) + 1)]
        for number in paused:
            self.paused(number)

    def _look(self) -> Attributes:
        """Look at the first rung again if it is time; return what to store with the trial."""
        passed = len(self._tables[0])
        if not self._auto or passed < max(LEAST_CURVES, _MORE * self._looked):
            return {}
        first = fitted_first(self._curves.values(), self._rungs, self._last)
        self._looked = passed
        if first != self._rungs.first:
            self._rungs = Rungs(first, self._rungs.reduction)
            self._sort()
        return {FIRST_RUNG: first, LOOKED: passed}
