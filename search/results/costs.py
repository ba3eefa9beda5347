"""What an arm's finalists cost, and which of them no other one beats at a lower cost.

Values are means on test data, costs those of the finalist: of configurations, not of cells.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from search.job.objectives import dominates
from search.results.figures import ArmSummary, CostFront, CostPoint, Finalist
from spaces.kinds import Metric


@dataclass(frozen=True)
class Cost:
    """One thing that a finalist costs; less is better."""

    name: str  #: in JSON
    title: str  #: "parameters"
    axis: str  #: of a figure, in short, with its unit
    read: Callable[[Finalist], float | None]
    unit: float = 1.0  #: of the axis


#: A row for each cost; one that no finalist has is left out everywhere.
COSTS = (
    Cost("parameters", "parameters", "parameters", lambda one: one.parameters),
    Cost(
        "train_seconds",
        "training time",
        "training, s",
        lambda one: one.train_seconds.mean if one.train_seconds else None,
    ),
    Cost(
        "latency_1_ms",
        "latency of one sequence",
        "1 sequence, ms",
        lambda one: one.alone.batch_1_ms if one.alone else None,
    ),
    Cost(
        "latency_64_ms",
        "latency of 64 sequences",
        "64 sequences, ms",
        lambda one: one.alone.batch_64_ms if one.alone else None,
    ),
    Cost(
        "time_to_target",
        "time to target",
        "to target, s",
        lambda one: one.to_target.seconds if one.to_target else None,
    ),
    Cost(
        "peak_bytes",
        "memory of training",
        "memory, MiB",
        lambda one: one.alone.peak_bytes if one.alone else None,
        2.0**20,
    ),
)


def cost_fronts(arms: Iterable[ArmSummary], metric: Metric) -> Iterator[CostFront]:
    """Yield the front of value against each cost that two finalists or more have."""
    finalists = [
        (arm.name, finalist, finalist.test.mean)
        for arm in arms
        for finalist in arm.finalists
        if finalist.test is not None
    ]
    for cost in COSTS:
        known = [
            (arm, one, value, float(amount))
            for arm, one, value in finalists
            if (amount := cost.read(one)) is not None
        ]
        if len(known) < 2:
            continue
        pairs = [(metric.cost(value), amount) for _, _, value, amount in known]
        points = tuple(
            CostPoint(arm, one.number, value, amount, not any(dominates(o, own) for o in pairs))
            for (arm, one, value, amount), own in zip(known, pairs, strict=True)
        )
        yield CostFront(cost.name, points)
