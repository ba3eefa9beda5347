"""The best of n controls, and how many of them reach a value, with bands.

The bands suppose nothing of the distribution. The median of the best of n draws is the quantile at
1/2^(1/n) of one draw. A band of the distribution function, from order statistics, gives one of all
its quantiles, so that it holds all n at once, ties and diverged trials included (Lourie, Cho and He
2024, "Show your work with confidence"; Learned-Miller and DeStefano 2008 for the band). The mean of
the best of n has no such band: it rests on values worse and better than any that were seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betainccinv, betaincinv, gammaln, xlogy

from search.results.evidence.betting import Floats

FEWEST = 12  #: controls; fewer of them give no curve
MOST = 200  #: of more controls the first ones are taken
_HALVINGS = 25


@dataclass(frozen=True)
class BestOf:
    """The median best of n draws with its band.

    The infinity that is worse than any value stands for a diverged trial; the other one for a side
    that the controls do not bound.
    """

    n: int
    value: float
    worse: float
    better: float


def best_of_n(
    controls: Sequence[float | None],
    *,
    maximize: bool,
    confidence: float = 0.95,
    ceiling: float | None = None,
) -> list[BestOf]:
    """Return the curve for n = 1 up to a quarter of the controls; empty below 12 controls.

    controls: values of trials drawn alike and independently, in order; None for a diverged one,
        which is worse than any value.
    ceiling: the best value that there can be: it bounds the band where controls do not.
    """
    draws = [np.nan if value is None else value for value in controls[:MOST]]
    size = len(draws)
    if size < FEWEST:
        return []
    gains = np.array(draws) if maximize else -np.array(draws)
    ordered = np.sort(np.where(np.isnan(gains), -np.inf, gains))
    low, high = cdf_band(size, confidence)
    top = np.inf if ceiling is None else ceiling if maximize else -ceiling
    sign = 1.0 if maximize else -1.0
    curve = []
    for n in range(1, size // 4 + 1):
        share = 0.5 ** (1 / n)
        # The distribution function is `high` at most just below an order statistic, and `low` at
        # least at it. Both rise with its rank.
        below = ordered[high < share]
        above = ordered[low >= share]
        found = (
            ordered[int(np.ceil(share * size - 1e-9)) - 1],
            below[-1] if len(below) else -np.inf,
            above[0] if len(above) else top,
        )
        curve.append(BestOf(n, *(sign * float(x) for x in found)))
    return curve


@dataclass(frozen=True)
class Reached:
    """How many draws are at least as good as a value; the same down to the next worse value."""

    value: float
    share: float  #: of the controls
    low: float  #: of all draws, at least
    high: float  #: of all draws, at most


@dataclass(frozen=True)
class Distribution:
    """How an arm's draws are distributed, with a band that holds at all values at once."""

    steps: tuple[Reached, ...]  #: the best value first; a diverged control has none
    beyond: float  #: share of all draws, at most, that are better than the first step

    @property
    def median(self) -> float | None:
        """The value that half of the controls reach, that of best_of_n; None: they diverged."""
        size = round(1 / self.steps[0].share) if self.steps else 0
        return self.steps[size // 2].value if size // 2 < len(self.steps) else None


def distribution(
    controls: Sequence[float | None], *, maximize: bool, confidence: float = 0.95
) -> Distribution:
    """Return the distribution of one control or more; they are those of best_of_n."""
    draws = controls[:MOST]
    low, high = cdf_band(len(draws), confidence)
    # Up to the next worse value, the share may only just not be that of the rank after.
    most = [*map(float, high[1:]), 1.0]
    ordered = sorted((value for value in draws if value is not None), reverse=maximize)
    steps = tuple(
        Reached(value, rank / len(draws), float(low[rank - 1]), most[rank - 1])
        for rank, value in enumerate(ordered, 1)
    )
    return Distribution(steps, float(high[0]))


@lru_cache(maxsize=64)
def cdf_band(size: int, confidence: float) -> tuple[Floats, Floats]:
    """Return bounds of a distribution function at its `size` order statistics, each [size].

    The value there of order statistic i has a beta distribution with parameters i and
    size + 1 - i; each bound cuts off the same probability, chosen so that all hold at once with the
    probability `confidence`.
    """
    least, most = (1 - confidence) / (4 * size), (1 - confidence) / 2
    for _ in range(_HALVINGS):
        tail = (least + most) / 2
        if coverage(*_beta_bounds(size, tail)) >= confidence:
            least = tail
        else:
            most = tail
    return _beta_bounds(size, least)


def _beta_bounds(size: int, tail: float) -> tuple[Floats, Floats]:
    ranks = np.arange(1, size + 1)
    return (
        betaincinv(ranks, size + 1 - ranks, tail),
        betainccinv(ranks, size + 1 - ranks, tail),
    )


def coverage(low: Floats, high: Floats) -> float:
    """Return the probability that all order statistics of uniform draws lie within bounds.

    low, high: [n], rising. The number of draws up to a point is followed from bound to bound as a
    Poisson process that is held to end at n (Moscovich and Nadler 2017).
    """
    n = len(low)
    points = np.concatenate([low, high])
    counts: Floats = np.arange(n + 1, dtype=np.float64)
    reached: Floats = np.zeros(n + 1)
    reached[0] = 1.0
    before = 0.0
    for index in map(int, np.argsort(points, kind="stable")):
        point = float(points[index])
        moved = np.convolve(reached, _poisson(counts, n * (point - before)))[: n + 1]
        if index < n:  # a lower bound: fewer than its rank lie below
            moved[index + 1 :] = 0.0
        else:
            moved[: index - n + 1] = 0.0
        reached, before = np.asarray(moved, dtype=np.float64), point
    rest = _poisson(n - counts, n * (1 - before))
    return float((reached * rest).sum() / _poisson(counts[-1:], n)[0])


def _poisson(count: Floats, mean: float) -> Floats:
    """Return the probability of a count where `mean` are expected."""
    return np.asarray(np.exp(xlogy(count, mean) - mean - gammaln(count + 1.0)))
