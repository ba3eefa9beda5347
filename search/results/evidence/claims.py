"""Better, equivalent or inconclusive on further tasks, for each pair of arms, at one level for all.

"Better" takes a share of the Bayesian signed-rank test of 1 - alpha / pairs of arms, and Wilcoxon's
test of gains beyond the margin, corrected by Holm. "Equivalent" takes the same of gains within it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from search.results.evidence.betting import Floats
from search.results.evidence.decision import Decision
from search.results.evidence.ranks import holm
from search.results.evidence.signed_rank import Shares, bayesian, beyond, within


class Claim(NamedTuple):
    """What tasks say of two arms."""

    shares: Shares
    p_value: float  #: that gains are centred within the margin, corrected by Holm
    decision: Decision


def claims(gains: Sequence[Floats], rope: float, alpha: float) -> list[Claim]:
    """Return what is claimed of each pair of arms.

    gains: of each pair of arms, one for each task, in a unit that all tasks share. rope: the margin
    in that unit.
    """

    def corrected(test: Callable[[Floats, float], float]) -> list[float]:
        return holm([test(each, rope) for each in gains])

    found = []
    for own, apart, same in zip(gains, corrected(beyond), corrected(within), strict=True):
        shares = bayesian(own, rope)
        least = 1 - alpha / len(gains)
        decision: Decision = "inconclusive"
        if max(shares.first, shares.second) >= least and apart <= alpha:
            decision = "better"
        elif shares.same >= least and same <= alpha:
            decision = "equivalent"
        found.append(Claim(shares, apart, decision))
    return found
