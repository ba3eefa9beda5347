"""Evidence on P that may be looked at after every pair: the capital of bets on wins and losses.

A pair counts X = 1 (win), 1/2 (tie) or 0 (loss); P is the mean of X. Whoever bets the fraction c
of a capital of 1 that P is above m has the product of 1 + c (X / m - 1) over the pairs. Where P is
m or less this is a supermartingale, so it reaches 1 / alpha at any time, however often it is looked
at, with a probability of alpha at most (Ville). The average over several c is one too, and grows
wherever one of them would (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting", sections 4 and B; constant fractions).

The product depends on the numbers of wins, ties and losses alone: the order of pairs changes no
capital.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The fractions c that are bet, each with the same share of the capital. Small ones find P = 0.75,
#: large ones P = 0.95 soon.
FRACTIONS = np.geomspace(0.1, 0.9, 10)
_HALVINGS = 60

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """How often the first of two arms wins, ties and loses: numbers, or arrays of one shape."""

    wins: Floats
    ties: Floats
    losses: Floats

    @classmethod
    def of(cls, outcomes: Floats) -> "Counts":
        """Count outcomes X of shape [..., n] along the last axis."""
        wins, losses = (outcomes == 1.0).sum(-1), (outcomes == 0.0).sum(-1)
        ties = outcomes.shape[-1] - wins - losses
        return cls(*(np.asarray(count, dtype=np.float64) for count in (wins, ties, losses)))

    @property
    def swapped(self) -> "Counts":
        """The counts with the two arms' roles exchanged."""
        return Counts(self.losses, self.ties, self.wins)

    @property
    def pairs(self) -> Floats:
        """The number of pairs."""
        return np.asarray(self.wins + self.ties + self.losses)


def log_capital(counts: Counts, mean: float | Floats) -> Floats:
    """Return the log of the capital of who bets that P is above `mean`.

    mean: between 0 and 1, both excluded; a number or an array that broadcasts with the counts.
    A bet that P is below m is `log_capital(counts.swapped, 1 - m)`.
    """
    m = np.asarray(mean, dtype=np.float64)[..., None]
    wins, ties, losses = (np.asarray(count, dtype=np.float64)[..., None] for count in counts)
    logs = (
        wins * np.log1p(FRACTIONS * (1 / m - 1))
        + ties * np.log1p(FRACTIONS * (0.5 / m - 1))
        + losses * np.log1p(-FRACTIONS)
    )
    largest = logs.max(axis=-1)  # scipy's logsumexp, at a third of its time
    return np.asarray(largest + np.log(np.exp(logs - largest[..., None]).mean(axis=-1)))


def interval(counts: Counts, alpha: float) -> tuple[Floats, Floats]:
    """Return the confidence sequence of P: every m that no bet has refuted, as (low, high).

    It holds P at all numbers of pairs at once with a probability of 1 - alpha; alpha / 2 a side.
    It excludes 1/2 exactly where a bet against 1/2 has reached 2 / alpha.
    """
    return _low(counts, alpha), 1.0 - _low(counts.swapped, alpha)


def _low(counts: Counts, alpha: float) -> Floats:
    """Return the least m that bets on more than m have not refuted.

    Their capital falls as m grows, from infinity (0 where there is neither win nor tie) to at most
    1 at the mean of X.
    """
    pairs = np.maximum(counts.pairs, 1.0)
    low = np.zeros_like(pairs)
    high = np.asarray((counts.wins + counts.ties / 2) / pairs)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        refuted = log_capital(counts, np.maximum(middle, 1e-300)) >= np.log(2 / alpha)
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return np.asarray(np.where(counts.wins + counts.ties > 0, low, 0.0))
