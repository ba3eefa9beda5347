"""At which epochs trials are compared, and from which on an early value tells something of a later.

How early that is differs by task: the rank correlation of the first epoch with the last one is .1
for some recurrent models and .8 for others. So a job measures it on its own curves.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from scipy.stats import spearmanr

SAFE_FIRST = 3  #: the first rung until a job's own curves tell, where its trainings are long enough
LEAST_CURVES = 8  #: from which a rank correlation is taken
RANKS = 0.6  #: rank correlation with the next rung from which on a rung says enough


@dataclass(frozen=True)
class Rungs:
    """The epochs at which successive halving compares trials: first * reduction ** rung."""

    first: int
    reduction: int

    def epoch(self, rung: int) -> int:
        """Return the epoch of a rung; rungs count from 0."""
        return self.first * int(self.reduction**rung)

    def before(self, last: int) -> list[int]:
        """Return the epochs of all rungs before the last epoch."""
        return list(takewhile(lambda epoch: epoch < last, map(self.epoch, count())))

    def brackets(self, last: int) -> int:
        """Return how many brackets Hyperband has: as many as there are rungs up to the last epoch.

        It is Optuna's formula, whose rounding decides where the last epoch is a rung itself.
        """
        return math.floor(math.log(last / self.first, self.reduction)) + 1


def safe_first(reduction: int, last: int) -> int:
    """Return the first rung where nothing is known; last: the epochs of a whole training."""
    return max(1, min(SAFE_FIRST, last // reduction**2))


def fitted_first(curves: Collection[Sequence[float]], known: Rungs, last: int) -> int:
    """Return the first epoch whose values rank trials about as the rung after it does.

    Where no epoch that can be looked at does, it is the epoch of the next rung. An epoch can be
    looked at if enough curves go as far as the rung after it.

    curves: the values of trials by epoch. known: the rungs so far. last: the last epoch.
    """
    least = known.first
    for epoch in range(1, last // known.reduction + 1):
        later = epoch * known.reduction
        both = [(curve[epoch - 1], curve[later - 1]) for curve in curves if len(curve) >= later]
        if len(both) < LEAST_CURVES:
            continue
        if _rank_correlation(both) >= RANKS:
            return epoch
        least = max(least, epoch * known.reduction)
    return min(least, max(known.first, last // known.reduction))


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> float:
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        return 0.0
    return float(spearmanr(first, second).statistic)
