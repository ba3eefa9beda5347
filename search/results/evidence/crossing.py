"""At which n one arm's best of n is told from another's, and between which n the two cross.

The bands of all arms hold together, and each holds all n at once. So what is told at any n is told
together: where two bands do not meet, one arm is ahead; where it is ahead at one n and the other
one at a later n, their curves cross between the two. Everywhere else it cannot be told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, pairwise

from search.results.evidence.bands import BestOf, best_of_n


@dataclass(frozen=True)
class Contrast:
    """What two curves with their bands say of each other."""

    first: str
    second: str
    ahead: tuple[str | None, ...]  #: at n = 1, 2, ...: the arm that is ahead; None: cannot tell

    def stretches(self, arm: str) -> list[tuple[int, int]]:
        """Return the runs of n at which an arm is ahead, each with its first and last n."""
        runs = groupby(enumerate(self.ahead, 1), key=lambda each: each[1])
        found = [[n for n, _ in run] for name, run in runs if name == arm]
        return [(run[0], run[-1]) for run in found]

    @property
    def crossings(self) -> list[tuple[int, int]]:
        """The intervals of n in which the curves cross; empty where that cannot be told."""
        told = [(n, arm) for n, arm in enumerate(self.ahead, 1) if arm is not None]
        return [(n, later) for (n, arm), (later, other) in pairwise(told) if arm != other]


def curves(
    controls: Mapping[str, Sequence[float | None]],
    *,
    maximize: bool,
    confidence: float,
    ceiling: float | None = None,
) -> dict[str, list[BestOf]]:
    """Return the curves of the arms that have enough controls; their bands hold together.

    controls, ceiling: as best_of_n takes them, by arm. confidence: of all bands at once.
    """
    share = 1 - (1 - confidence) / max(1, len(controls))
    found = {
        arm: best_of_n(values, maximize=maximize, confidence=share, ceiling=ceiling)
        for arm, values in controls.items()
    }
    return {arm: curve for arm, curve in found.items() if curve}


def contrasts(found: Mapping[str, Sequence[BestOf]], *, maximize: bool) -> list[Contrast]:
    """Return what can be told of each pair of curves, at the n that both have."""
    return [
        Contrast(
            a,
            b,
            tuple(
                a
                if _above(ours, theirs, maximize)
                else b
                if _above(theirs, ours, maximize)
                else None
                for ours, theirs in zip(found[a], found[b], strict=False)
            ),
        )
        for a, b in combinations(found, 2)
    ]


def _above(one: BestOf, other: BestOf, maximize: bool) -> bool:
    """Return whether the worst that one may be is better than the best that the other may be."""
    return one.worse > other.better if maximize else one.worse < other.better
