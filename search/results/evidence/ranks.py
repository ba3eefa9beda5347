"""Arms ranked on several tasks: the figures of a critical-difference diagram.

As in Demsar 2006, "Statistical comparisons of classifiers over multiple data sets" (JMLR 7), arms
stand at their mean ranks, and a bar joins those that are not told apart. Which are, is decided for
each two arms by their own results (Wilcoxon's test, corrected by Holm), not by their mean ranks,
which depend on what other arms take part (Benavoli, Corani and Mangili 2016, JMLR 17).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.results.evidence.betting import Floats
from search.results.evidence.signed_rank import midranks


@dataclass(frozen=True)
class Ranks:
    """The arms' mean ranks over tasks, the best one first, and who is told apart."""

    tasks: int
    means: Mapping[str, float]  #: 1 is the best rank
    groups: tuple[tuple[str, ...], ...]  #: the largest sets of arms of which no two are told apart


def least_tasks(pairs_of_arms: int, alpha: float) -> int:
    """Return how many tasks there must be, or no two arms could be told apart by Wilcoxon's test.

    Where one arm is ahead on all of k tasks its two-sided p-value is 2 / 2^k.
    """
    return math.ceil(1 + math.log2(pairs_of_arms / alpha))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    least = 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted.tolist()


def ranks(costs: Mapping[str, Floats], apart: set[frozenset[str]]) -> Ranks:
    """Return the mean ranks of arms.

    costs: of each arm on every task [k], less is better. apart: the two arms of each pair that is
    told apart.
    """
    by_task = np.array(list(costs.values())).T
    means = np.array([midranks(row) for row in by_task]).mean(axis=0)
    ordered = dict(sorted(zip(costs, means.tolist(), strict=True), key=lambda arm: arm[1]))
    near = {
        arm: {other for other in ordered if other != arm and frozenset((arm, other)) not in apart}
        for arm in ordered
    }
    places = {arm: place for place, arm in enumerate(ordered)}
    groups = [tuple(sorted(group, key=places.__getitem__)) for group in _cliques(near)]
    several = sorted((g for g in groups if len(g) > 1), key=lambda g: [places[arm] for arm in g])
    return Ranks(len(by_task), ordered, tuple(several))


def _cliques(near: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the largest sets whose members are all near each other (Bron and Kerbosch 1973)."""
    found: list[set[str]] = []

    def grow(group: set[str], rest: set[str], done: set[str]) -> None:
        if not rest and not done:
            found.append(group)
            return
        pivot = max(rest | done, key=lambda arm: len(near[arm] & rest))
        for arm in sorted(rest - near[pivot]):
            grow(group | {arm}, rest & near[arm], done & near[arm])
            rest = rest - {arm}
            done = done | {arm}

    grow(set(), set(near), set())
    return found
