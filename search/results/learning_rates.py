"""Which learning rates work: how wide an arm's good region is, told by its control trials.

A control is good where it keeps KEPT of what the arm's best control gains over the best trivial
prediction, on validation data; one that diverged is not. Controls' learning rates are uniform in
the logarithm, so the share of good ones times the decades searched estimates the width of the good
region. No shape of it is assumed, and it is averaged over all that controls draw beside the rate.
The best control sets the bar and is not counted itself. The interval of the share is exact
(Clopper & Pearson 1934, Biometrika 26), for one look.

Wortsman et al. 2023 (arXiv 2309.14322) measure the same sensitivity by the mean excess of the loss
over a sweep; a width has no unit of a metric, and a diverged trial needs no value.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv

from search.results.evidence.bands import FEWEST
from spaces.arms import Arm
from spaces.domains import Range
from spaces.kinds import Metric

KEPT = 0.9  #: of the best control's gain over the best trivial prediction
_ALPHA = 0.05


@dataclass(frozen=True)
class GoodRates:
    """The width of the learning rates that work, in decades; or why it cannot be told."""

    width: float | None = None
    interval: tuple[float, float] | None = None  #: of the width, 95 %
    searched: float | None = None  #: decades of the range that is searched
    controls: int = 0
    reason: str | None = None  #: where there is no width


def good_rates(
    arm: Arm, controls: Sequence[float | None], metric: Metric, baselines: Sequence[float]
) -> GoodRates:
    """Return how wide the good region of an arm's learning rate is.

    controls: the validation value of each control trial, None for one that diverged.
    baselines: what is reached on validation data without a model.
    """
    n = len(controls)
    domain = arm.space.get("learning_rate")
    if not isinstance(domain, Range) or not domain.log:
        return GoodRates(controls=n, reason="learning_rate must be searched on a log scale")
    if n < FEWEST:
        return GoodRates(controls=n, reason=f"{n} controls, and {FEWEST} are needed")
    if not baselines:
        return GoodRates(controls=n, reason="no trivial prediction was recorded")
    costs = [math.inf if value is None else metric.cost(value) for value in controls]
    best, trivial = min(costs), min(map(metric.cost, baselines))
    if best >= trivial:
        return GoodRates(controls=n, reason="no control beats the trivial prediction")
    bar = trivial - KEPT * (trivial - best)
    others, good = n - 1, sum(cost <= bar for cost in costs) - 1
    searched = math.log10(domain.high / domain.low)
    low, high = _exact_interval(good, others)
    return GoodRates(good / others * searched, (low * searched, high * searched), searched, n)


def _exact_interval(hits: int, trials: int) -> tuple[float, float]:
    low = betaincinv(hits, trials - hits + 1, _ALPHA / 2) if hits else 0.0
    high = betaincinv(hits + 1, trials - hits, 1 - _ALPHA / 2) if hits < trials else 1.0
    return float(low), float(high)
