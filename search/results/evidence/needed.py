"""How many more pairs a decision takes: simulated from what the pairs so far say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.results.evidence.betting import Counts
from search.results.evidence.decision import Evidence

#: More pairs than this are not simulated.
MOST = 2_000
_RUNS = 200
_SEED = 20_240


@dataclass(frozen=True)
class StillNeeded:
    """Pairs until a decision: the median of simulated continuations, and 8 of 10 of them."""

    estimate: int | None  #: None: more than MOST
    low: int | None
    high: int | None


def still_needed(counts: Counts, pairs_of_arms: int, alpha: float) -> StillNeeded:
    """Simulate how many pairs beyond these are needed until "better" or "equivalent" is shown.

    Each continuation draws the shares of wins, ties and losses from what is known of them
    (Dirichlet, Jeffreys' prior), so that the range holds what few pairs leave open. The level is
    divided equally among the pairs of arms. Random numbers are the same at every call.
    """
    rng = np.random.default_rng(_SEED)
    seen = np.array([float(counts.wins), float(counts.ties), float(counts.losses)])
    if counts.losses > counts.wins:
        seen = seen[::-1]  # the same draws for both orders of the arms
    shares = rng.dirichlet(seen + 0.5, size=_RUNS)
    looks = _looks()
    steps = np.diff(looks, prepend=0)
    drawn = np.cumsum(rng.multinomial(steps, shares[:, None, :]), axis=1)  # [run, look, 3]
    ahead, ties, behind = np.moveaxis(drawn + seen, -1, 0)
    evidence = Evidence.of(Counts(ahead, ties, behind))
    level = np.log(pairs_of_arms / alpha)
    decided = (evidence.better >= level) | (evidence.equivalent >= level)
    first = np.where(decided.any(1), looks[decided.argmax(1)], MOST + 1)
    low, middle, high = np.quantile(first, [0.1, 0.5, 0.9], method="higher")
    return StillNeeded(*(int(n) if n <= MOST else None for n in (middle, low, high)))


def _looks() -> NDArray[np.int64]:
    """Return the numbers of further pairs that are looked at: all of the first 30, then by 5 %."""
    later = np.geomspace(30, MOST, 88)[1:].round().astype(np.int64)
    return np.concatenate([np.arange(1, 31), later])
