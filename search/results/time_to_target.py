"""Time to target: how long an arm's configuration trains until its validation value is good enough.

The epochs come from the curves of its replicates, the seconds of an epoch from a measurement alone
after all training: what else a worker did meanwhile is not in it. A replicate that never reaches
the target takes for ever; a median over replicates exists where more than half of them do.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.journal.trial import TrialResult
from search.results.evidence.median import median_interval
from spaces.kinds import Metric


@dataclass(frozen=True)
class TimeToTarget:
    """How long one configuration trains until it reaches a validation value."""

    target: float
    reached: int  #: replicates whose curve reaches it
    replicates: int  #: that were trained, diverged ones included
    epochs: float | None  #: median; None where half of them or fewer reach it
    epoch_seconds: float | None  #: measured alone; None where it was not
    #: Bounds of that median from order statistics; the upper one is None where there is none, and
    #: both are where there are too few replicates for an interval.
    epochs_interval: tuple[float | None, float | None]
    seconds: float | None  #: the same in seconds
    seconds_interval: tuple[float | None, float | None]


def common_target(
    metric: Metric, replicates: Iterable[Sequence[TrialResult]], floor: float | None
) -> float | None:
    """Return the best validation value that more than half of each arm's replicates reach.

    replicates: of each arm, those of the configuration that leads it.
    floor: the best validation value without a model. Arms that are no better, or whose replicates
        mostly diverge, learned nothing, and set no target.
    """
    least = math.inf if floor is None else metric.cost(floor)
    typical = [
        statistics.median_high(min(costs, default=math.inf) for costs in curves)
        for own in replicates
        if (curves := _curves(metric, own))
    ]
    learned = [cost for cost in typical if cost < least]
    return metric.cost(max(learned)) if learned else None


def time_to_target(
    metric: Metric,
    replicates: Sequence[TrialResult],
    target: float,
    epoch_seconds: float | None,
    confidence: float = 0.95,
) -> TimeToTarget | None:
    """Return how long the replicates of a configuration train until they reach a target.

    None where no replicate was trained.
    """
    aim = metric.cost(target)
    needed = sorted(
        next((number for number, cost in enumerate(costs, 1) if cost <= aim), math.inf)
        for costs in _curves(metric, replicates)
    )
    if not needed:
        return None
    median = _finite(statistics.median(needed))
    interval = median_interval(needed, 1 - confidence)
    low, high = map(_finite, interval) if interval else (None, None)

    def seconds(epochs: float | None) -> float | None:
        return None if epochs is None or epoch_seconds is None else epochs * epoch_seconds

    return TimeToTarget(
        target,
        sum(map(math.isfinite, needed)),
        len(needed),
        median,
        epoch_seconds,
        (low, high),
        seconds(median),
        (seconds(low), seconds(high)),
    )


def _curves(metric: Metric, replicates: Sequence[TrialResult]) -> list[list[float]]:
    """Return the cost of each epoch of those that were trained to their end, or diverged."""
    return [
        [metric.cost(point.value) for point in replicate.curve]
        for replicate in replicates
        if replicate.state in ("complete", "diverged")
    ]


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
