"""What is known of an arm's trials, ready for samplers: the best, the latest, the running ones."""

from bisect import insort
from collections.abc import Callable, Iterable
from statistics import median

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.job.objectives import dominates

BEST = 50  #: trials that a window keeps for their values; 30 with 100 others stalled in trials
LATEST = 150  #: trials that a window keeps because they are the latest
RUNNING = 200  #: running trials that a window shows; the latest

#: A trial's values in several objectives, less is better; None as long as it has none.
Objectives = Callable[[FrozenTrial], list[float] | None]


class TrialWindow:
    """An arm's trials in the order of their numbers.

    What it shows depends on the trials and their states alone, not on the order of what was told:
    a resumed job shows a sampler what an undisturbed one would have shown.
    """

    def __init__(
        self,
        *,
        maximize: bool,
        fetch: Callable[[int], FrozenTrial],
        objectives: Objectives | None = None,
        best: int = BEST,
        latest: int = LATEST,
    ) -> None:
        """fetch: returns a trial as it now is, by number. best, latest: a window's size.

        objectives: values to minimize, where there are several.
        """
        self._maximize = maximize
        self._fetch = fetch
        self._objectives = objectives
        self._best_room = best
        self._latest_room = latest
        self._ended: dict[int, FrozenTrial] = {}
        self._numbers: list[int] = []  # of ended trials, ascending
        self._running: dict[int, None] = {}
        self._best: list[tuple[tuple[float, ...], int]] = []
        self._front: dict[int, list[float]] = {}  # trials that no other one beats in everything

    def started(self, number: int) -> None:
        """Take in a new trial."""
        self._running[number] = None

    def ended(self, trial: FrozenTrial) -> None:
        """Take in a trial's end. Failed ones say nothing about their configuration."""
        self._running.pop(trial.number, None)
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        self._ended[trial.number] = trial
        insort(self._numbers, trial.number)
        insort(self._best, (self.rank(trial), trial.number))
        del self._best[self._best_room :]
        values = self._objectives(trial) if self._objectives is not None else None
        if values is not None:
            self._join_front(trial.number, values)

    def _join_front(self, number: int, values: list[float]) -> None:
        if any(dominates(others, values) for others in self._front.values()):
            return
        kept = {n: v for n, v in self._front.items() if not dominates(values, v)}
        self._front = dict(sorted([*kept.items(), (number, values)])[-self._best_room :])

    def rank(self, trial: FrozenTrial) -> tuple[float, ...]:
        """Return what an ended trial is sorted by, best first: as TPE splits good from bad.

        Complete ones by value, then pruned ones by how far they got and their value there, then
        those that were over a limit, the least first.
        """
        sign = -1.0 if self._maximize else 1.0
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            return (0.0, sign * trial.value)
        step = trial.last_step
        if step is None:
            return (2.0, violation(trial))
        return (1.0, -step, sign * trial.intermediate_values[step])

    @property
    def trials(self) -> list[FrozenTrial]:
        """All ended trials."""
        return [self._ended[number] for number in self._numbers]

    def window(self) -> list[FrozenTrial]:
        """Return the best, the latest and the running trials, in the order of their numbers.

        A sampler's cost grows with the trials that it sees; beyond some hundred, more of the
        middling and old ones change little in what it suggests.
        """
        shown = {number for _, number in self._best} | self._front.keys()
        shown.update(self._numbers[-self._latest_room :])
        ended = [self._ended[number] for number in sorted(shown)]
        return self._with_running(ended, RUNNING)

    def whole(self) -> list[FrozenTrial]:
        """Return all trials but failed ones, in the order of their numbers."""
        return self._with_running(self.trials, len(self._running))

    def _with_running(self, ended: list[FrozenTrial], most: int) -> list[FrozenTrial]:
        numbers = sorted(self._running)
        running = [self._fetch(number) for number in numbers[max(0, len(numbers) - most) :]]
        return sorted([*ended, *running], key=lambda trial: trial.number)


def with_estimates(trials: Iterable[FrozenTrial], *, maximize: bool) -> list[FrozenTrial]:
    """Return trials with pruned ones as complete ones, for models that know no others.

    Where most trials are pruned, such a model would learn from few. A pruned trial's value is its
    last one, but no better than the median of the complete ones': it was none of the best. One that
    was over a limit has no value: the median says nothing against it, the limit does.
    """
    shown = list(trials)
    known = [t.values for t in shown if t.state == TrialState.COMPLETE]
    if not known:
        return shown
    worse, middle = (
        (min if maximize else max),
        [median(values) for values in zip(*known, strict=True)],
    )

    def estimate(trial: FrozenTrial) -> list[float] | None:
        if trial.state != TrialState.PRUNED:
            return None
        if violation(trial):
            return middle
        step = trial.last_step
        return None if step is None else [worse(trial.intermediate_values[step], middle[0])]

    estimates = [(trial, estimate(trial)) for trial in shown]
    return [t if e is None else _copy(t, TrialState.COMPLETE, e) for t, e in estimates]


def violation(trial: FrozenTrial) -> float:
    """Return by how much a trial was over its limits, as Optuna ranks those that were."""
    return sum(excess for excess in trial.constraints.values() if excess > 0)


def with_objectives(trial: FrozenTrial, objectives: Objectives) -> FrozenTrial:
    """Return an ended trial as a study of several objectives has it.

    There, Optuna knows neither values nor a rank of pruned trials: they are the worst, all alike.
    """
    values = objectives(trial)
    return _copy(trial, TrialState.PRUNED if values is None else TrialState.COMPLETE, values)


def _copy(trial: FrozenTrial, state: TrialState, values: list[float] | None) -> FrozenTrial:
    copy = create_trial(
        state=state,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )
    copy.number, copy._trial_id = trial.number, trial._trial_id
    return copy
