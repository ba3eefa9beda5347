"""Better, equivalent or inconclusive, for each pair of arms, with one level for all of them.

"Better" refutes P = 1/2: the bet on more, or that on less, has reached 2 / alpha. "Equivalent"
refutes P >= 3/4 and P <= 1/4: the bets on less than 3/4 and on more than 1/4 have both reached
1 / alpha. For one pair of arms no more than alpha is spent on both: 1/2 is not in what equivalence
refutes, and a bet that shows the wrong arm better has refuted the true P of 3/4 sooner.

Over several pairs of arms the capitals are adjusted as in e-Holm (Vovk and Wang 2021, "E-values:
calibration, combination and applications", algorithm 2), by averages over sets of hypotheses that
may be true together (as Shaffer 1986 does with p-values): of one pair of arms that is one at a
time. The probability of any false claim is alpha at most, at whatever number of pairs it is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.results.evidence.betting import Counts, Floats, interval, log_capital

#: Two arms are equivalent where neither wins as many as this share of pairs.
GAMMA = 0.75
Decision = Literal["better", "equivalent", "inconclusive"]
#: What a capital may grow to before it is cut: averages of larger ones say nothing more.
_LARGEST_LOG = 500.0


@dataclass(frozen=True)
class Evidence:
    """The logs of capitals for the claims about one pair of arms, or about an array of them."""

    above: Floats  #: against P <= 1/2: the first arm wins more often
    below: Floats  #: against P >= 1/2
    equivalent: Floats  #: against P >= 3/4 and against P <= 1/4: the smaller of the two

    @classmethod
    def of(cls, counts: Counts) -> "Evidence":
        """Return the capitals after these wins, ties and losses."""
        return cls(
            log_capital(counts, 0.5),
            log_capital(counts.swapped, 0.5),
            np.minimum(log_capital(counts, 1 - GAMMA), log_capital(counts.swapped, 1 - GAMMA)),
        )

    @property
    def better(self) -> Floats:
        """Against P = 1/2: half the capital is bet on either side."""
        return np.asarray(np.maximum(self.above, self.below) - np.log(2))


def decide(counts: Counts, alpha: float) -> tuple[Floats, Floats]:
    """Return whether a pair is shown better, and whether it is shown equivalent.

    counts: arrays of shape [..., pairs of arms]; all pairs of the last axis share the level alpha.
    Where both are shown, as for P = 0.6 after many pairs, "better" is the stronger claim.
    """
    evidence = Evidence.of(counts)
    # Of what may be true about a pair of arms, the least capital: what weakens an average most.
    least = np.minimum(evidence.above, evidence.below)
    needed = np.log(1 / alpha)
    return (
        _adjusted(evidence.better, least) >= needed,
        _adjusted(evidence.equivalent, least) >= needed,
    )


def _adjusted(logs: Floats, least: Floats) -> Floats:
    """Return the logs of capitals [..., k], adjusted for the k pairs of arms.

    An adjusted capital is the least of its averages with the least capitals of other pairs.
    """
    own = np.exp(np.minimum(logs, _LARGEST_LOG))
    others = np.exp(np.minimum(least, _LARGEST_LOG))
    found = np.empty_like(own)
    for pair in range(own.shape[-1]):
        rest = np.sort(np.delete(others, pair, axis=-1), axis=-1)
        sums = np.concatenate([np.zeros_like(own[..., :1]), np.cumsum(rest, axis=-1)], axis=-1)
        sizes = np.arange(1, own.shape[-1] + 1)
        found[..., pair] = ((own[..., pair, None] + sums) / sizes).min(axis=-1)
    return np.asarray(np.log(found))


def decisions(counts: Sequence[Counts], alpha: float) -> list[Decision]:
    """Return the decision for each pair of arms, which together share the level alpha."""
    if not counts:
        return []
    better, equivalent = decide(Counts(*map(np.array, zip(*counts, strict=True))), alpha)
    return [
        "better" if shown else "equivalent" if same else "inconclusive"
        for shown, same in zip(better, equivalent, strict=True)
    ]


def simultaneous_intervals(counts: Sequence[Counts], alpha: float) -> list[tuple[float, float]]:
    """Return the interval of P of each pair of arms; all of them hold together with 1 - alpha."""
    if not counts:
        return []
    low, high = interval(Counts(*map(np.array, zip(*counts, strict=True))), alpha / len(counts))
    return list(zip(low.tolist(), high.tolist(), strict=True))


def not_shown_worse(arms: Sequence[str], beaten: set[str]) -> tuple[str, ...]:
    """Return the arms that no arm was shown better than.

    Where every arm was beaten by another one, in a circle, none is worse than the best: all are.
    """
    return tuple(arm for arm in arms if arm not in beaten) or tuple(arms)
