"""Two arms on several tasks: the Bayesian signed-rank test, and Wilcoxon's own.

`bayesian` is that of Benavoli, Corani, Demsar and Zaffalon 2017, "Time for a change: a tutorial for
comparing multiple classifiers through Bayesian analysis" (JMLR 18, section 4). Tasks have weights
with a Dirichlet prior; the posterior weighs the means of all two tasks' gains, and says how likely
it is that most of them lie above, inside or below a region of practical equivalence.

Alone, it calls one of two equal arms better too often where tasks are few and differ much: in a
sixth of cases at 0.95 and six tasks (tests/benchmarks/verdict.py). So Wilcoxon's test stands beside
it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from search.results.evidence.betting import Floats

#: Weight of the prior's one observation, which lies in the middle of the region.
_PRIOR = 0.5
_DRAWS = 20_000  # the deviation of a share is 0.004 at most
_SEED = 20_170
_ROUNDING = 1e-9  # as of a margin: no side may rest on it


class Shares(NamedTuple):
    """How likely each answer is; together 1."""

    first: float  #: the first arm is better by more than the margin
    same: float  #: the difference is within the margin
    second: float  #: the second arm is better by more than the margin


def bayesian(gains: Floats, rope: float) -> Shares:
    """Return how likely it is that the first arm is better, the same or worse on further tasks.

    gains: by how much the first arm is better, one for each task [k], in a unit that all tasks
    share. rope: the gain up to which arms count as the same. Random numbers are the same at every
    call.
    """
    seen = np.concatenate([[0.0], gains])
    sums = seen[:, None] + seen
    edge = 2 * rope + _ROUNDING * max(1.0, 2 * rope)
    weights = _weights(len(gains))
    above, below = (
        ((weights @ side.astype(np.float64)) * weights).sum(1)
        for side in (sums > edge, sums < -edge)
    )
    largest = np.stack([above, 1 - above - below, below]).argmax(0)
    return Shares(*(np.bincount(largest, minlength=3) / _DRAWS).tolist())


@lru_cache(maxsize=8)
def _weights(tasks: int) -> Floats:
    """Return draws of the prior observation's and the tasks' weights: [draw, 1 + task]."""
    prior = np.array([_PRIOR] + [1.0] * tasks)
    return np.random.default_rng(_SEED).dirichlet(prior, size=_DRAWS)


def beyond(gains: Floats, rope: float) -> float:
    """Return the p-value that gains of k tasks are centred within the region, or at its edges.

    With a region of 0 it is Wilcoxon's two-sided p-value that they are symmetric around zero.
    """
    return min(1.0, 2 * min(above_zero(gains - rope), above_zero(-gains - rope)))


def within(gains: Floats, rope: float) -> float:
    """Return the p-value that gains are centred outside of the region: two one-sided tests."""
    return max(above_zero(gains + rope), above_zero(rope - gains))


def above_zero(gains: Floats) -> float:
    """Return Wilcoxon's one-sided p-value against gains that are symmetric around zero or less.

    Exact for any ties: given their sizes, all signs of the gains are equally likely. Zeros take
    part in the ranking and have no sign (Pratt 1959).
    """
    doubled = (2 * midranks(np.abs(gains))).round().astype(np.int64)  # so that they are whole
    ways = np.ones(1)  # the share of ways to draw signs by the sum of positive ranks
    for rank in doubled[gains != 0]:
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways / 2
        longer[rank:] += ways / 2
        ways = longer
    return float(ways[doubled[gains > 0].sum() :].sum())


def midranks(values: Floats) -> Floats:
    """Return the ranks of values from 1 on; equal ones have the mean of theirs."""
    _, places, numbers = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(numbers) - (numbers - 1) / 2)[places])
