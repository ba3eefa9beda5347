"""What an arm's control trials found: its only fair sample, drawn at random and never stopped."""

import math
from collections.abc import Iterable, Sequence

from search.journal.trial import TrialResult
from spaces.tasks import Metric


def control_costs(metric: Metric, trials: Iterable[TrialResult]) -> dict[int, float]:
    """Return the cost of each control trial of one arm by its number; less is better.

    The cost is the best epoch's validation value, with the sign with which less is better. One that
    diverged costs infinitely much: it is the worst that can be found, and without it the sample
    would flatter the arm. Missing are those that still run, that failed through no fault of their
    own, that an earlier version cut short for a budget, and that a limit of latency kept out.
    Controls of equal number are paired across arms where the job's are drawn alike.
    """
    found = {}
    for trial in trials:
        if not trial.control or trial.phase != "search":
            continue
        if trial.state == "diverged":
            found[trial.number] = math.inf
        elif trial.state == "complete" and trial.value is not None:
            found[trial.number] = metric.cost(trial.value)
    return found


def control_values(
    metric: Metric, search: Sequence[TrialResult], arms: Iterable[str]
) -> dict[str, list[float | None]]:
    """Return the values of each arm's control trials in order of their numbers.

    None is one that diverged, which is worse than any value. Missing are those that control_costs
    leaves out.
    """
    found = {}
    for arm in arms:
        costs = control_costs(metric, (trial for trial in search if trial.arm == arm))
        # A cost's cost is the value again.
        found[arm] = [
            None if math.isinf(cost) else metric.cost(cost) for _, cost in sorted(costs.items())
        ]
    return found
