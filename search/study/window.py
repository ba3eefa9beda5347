"""Which of an arm's trials a sampler is shown: the best, the latest and the running ones."""

from bisect import insort
from collections.abc import Callable, Container, Iterable
from statistics import median

from optuna.trial import FrozenTrial, TrialState

from search.job.objectives import dominates
from search.study.optuna_compat import with_outcome
from spaces.kinds import Metric

#: Trials that a window shows for their values. With 30, and 100 latest ones, searches stalled.
BEST = 50
LATEST = 150  #: trials that a window shows because they are the latest
RUNNING = 200  #: running trials that a window shows; the latest of them

#: Returns a trial's values in several objectives, less is better; None where it has none.
ObjectiveValues = Callable[[FrozenTrial], list[float] | None]


class TrialWindow:
    """An arm's trials in the order of their numbers.

    What it shows depends on the trials and their states alone, not on the order in which they were
    reported: a resumed job shows a sampler what an undisturbed one would have shown.
    """

    def __init__(
        self,
        metric: Metric,
        *,
        fetch: Callable[[int], FrozenTrial],
        objectives: ObjectiveValues | None = None,
        best: int = BEST,
        latest: int = LATEST,
    ) -> None:
        """metric: of the trials' values. best, latest: how many of these a window shows.

        fetch: returns a trial as it is now, by its number. objectives: where there are several.
        """
        self._metric = metric
        self._fetch = fetch
        self._objectives = objectives
        self._max_best = best
        self._max_latest = latest
        self._ended: dict[int, FrozenTrial] = {}
        self._numbers: list[int] = []  # of ended trials, ascending
        self._running: dict[int, None] = {}
        self._best: list[tuple[tuple[float, ...], int]] = []
        self._front: dict[int, list[float]] = {}  # trials that no other one dominates

    def started(self, number: int) -> None:
        """Take in a new trial."""
        self._running[number] = None

    def ended(self, trial: FrozenTrial) -> None:
        """Take in an ended trial. Failed ones say nothing about their configuration.

        One that was paused comes again when it is paused or ends later.
        """
        self._running.pop(trial.number, None)
        if (before := self._ended.pop(trial.number, None)) is not None:
            self._numbers.remove(trial.number)
            if (place := (self.rank(before), trial.number)) in self._best:
                self._best.remove(place)
            self._front.pop(trial.number, None)
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        self._ended[trial.number] = trial
        insort(self._numbers, trial.number)
        insort(self._best, (self.rank(trial), trial.number))
        del self._best[self._max_best :]
        values = self._objectives(trial) if self._objectives is not None else None
        if values is not None:
            self._join_front(trial.number, values)

    def _join_front(self, number: int, values: list[float]) -> None:
        if any(dominates(others, values) for others in self._front.values()):
            return
        undominated = {n: v for n, v in self._front.items() if not dominates(values, v)}
        self._front = dict(sorted([*undominated.items(), (number, values)])[-self._max_best :])

    def rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """Return the key that sorts ended trials, best first: as TPE splits good from bad.

        Complete trials come first, by value; then pruned ones, by their last epoch and their value
        there; then diverged ones, which are shown without epochs; then those over a limit, by their
        excess.
        """
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            return (0.0, self._metric.cost(trial.value))
        step = trial.last_step
        if step is None:
            return (2.0, violation(trial))
        return (1.0, -step, self._metric.cost(trial.intermediate_values[step]))

    @property
    def trials(self) -> list[FrozenTrial]:
        """All ended trials."""
        return [self._ended[number] for number in self._numbers]

    def window(self) -> list[FrozenTrial]:
        """Return the best, the latest and the running trials, in the order of their numbers.

        A sampler's cost grows with the trials that it sees. Beyond some hundred, more of the
        mediocre and old ones change little in what it suggests.
        """
        shown = {number for _, number in self._best} | self._front.keys()
        shown.update(self._numbers[-self._max_latest :])
        ended = [self._ended[number] for number in sorted(shown)]
        return self._with_running(ended, RUNNING)

    def whole(self) -> list[FrozenTrial]:
        """Return all trials but failed ones, in the order of their numbers."""
        return self._with_running(self.trials, len(self._running))

    def _with_running(self, ended: list[FrozenTrial], most: int) -> list[FrozenTrial]:
        numbers = sorted(self._running)
        running = [self._fetch(number) for number in numbers[max(0, len(numbers) - most) :]]
        return sorted([*ended, *running], key=lambda trial: trial.number)


def with_estimates(
    trials: Iterable[FrozenTrial], metric: Metric, diverged: Container[int] = frozenset()
) -> list[FrozenTrial]:
    """Return trials with pruned ones as complete ones, for models that learn from no others.

    Where most trials are pruned, such a model would learn from few. The estimate of a pruned trial
    is its last value, but no better than the median of the complete ones: it was not among the
    best. A trial over a limit has no value; its estimate is the median, since its excess is what
    samplers learn from. That of a diverged trial is the worst of the values that others have.

    diverged: numbers of the trials that diverged.
    """
    shown = list(trials)
    known = [t.values for t in shown if t.state == TrialState.COMPLETE]
    if not known:
        return shown
    medians = [median(values) for values in zip(*known, strict=True)]

    def estimate(trial: FrozenTrial) -> list[float] | None:
        if trial.state != TrialState.PRUNED or trial.number in diverged:
            return None
        if violation(trial):
            return medians
        step = trial.last_step
        if step is None:
            return None
        return [max(trial.intermediate_values[step], medians[0], key=metric.cost)]

    estimates = [estimate(trial) for trial in shown]
    others = [values for values in estimates if values is not None]
    # Several objectives are shown with signs by which less is better.
    cost = metric.cost if len(medians) == 1 else float
    worst = [max(column, key=cost) for column in zip(*known, *others, strict=True)]
    estimates = [
        worst if trial.number in diverged else values
        for trial, values in zip(shown, estimates, strict=True)
    ]
    return [
        trial if values is None else with_outcome(trial, TrialState.COMPLETE, values)
        for trial, values in zip(shown, estimates, strict=True)
    ]


def violation(trial: FrozenTrial) -> float:
    """Return by how much a trial is over its limits, as Optuna ranks such trials."""
    return sum(excess for excess in trial.constraints.values() if excess > 0)
