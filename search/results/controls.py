"""What an arm's control trials found: its only fair sample, drawn at random and never stopped."""

import math
from collections.abc import Iterable

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
