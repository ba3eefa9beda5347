"""How many more pairs a decision takes: simulated from what the pairs so far say."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from search.results.evidence.betting import Counts
from search.results.evidence.decision import Evidence

#: More pairs than this are not simulated.
MOST = 2_000
_RUNS = 200
_SEED = 20_240
_AT_ONCE = 16  # looks that are computed together; runs that were decided before are left out


@dataclass(frozen=True)
class StillNeeded:
    """Pairs until a decision: the median of simulated continuations, and 8 of 10 of them."""

    estimate: int | None  #: None: more than MOST
    low: int | None
    high: int | None


def still_needed(counts: Counts, level: float) -> StillNeeded:
    """Simulate how many pairs beyond these are needed until "better" or "equivalent" is shown.

    level: what may be spent on these two arms: alpha, divided among all pairs of arms. Each
    continuation draws the shares of wins, ties and losses from what is known of them (Dirichlet,
    Jeffreys' prior), so that the range holds what few pairs leave open. Random numbers are the same
    at every call.
    """
    wins, ties, losses = (int(count) for count in counts)
    # The same draws for both orders of the arms.
    return _simulated(max(wins, losses), ties, min(wins, losses), level)


@lru_cache(maxsize=4096)  # of many arms, many pairs have the same counts
def _simulated(wins: int, ties: int, losses: int, level: float) -> StillNeeded:
    rng = np.random.default_rng(_SEED)
    seen = np.array([wins, ties, losses], dtype=np.float64)
    shares = rng.dirichlet(seen + 0.5, size=_RUNS)
    looks = _looks()
    steps = np.diff(looks, prepend=0)
    drawn = np.cumsum(rng.multinomial(steps, shares[:, None, :]), axis=1)  # [run, look, 3]
    first = np.full(_RUNS, MOST + 1)
    open_runs = np.arange(_RUNS)
    for start in range(0, len(looks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        evidence = Evidence.of(Counts(*np.moveaxis(drawn[open_runs, part] + seen, -1, 0)))
        needed = np.log(1 / level)
        decided = (evidence.better >= needed) | (evidence.equivalent >= needed)
        ended = decided.any(1)
        first[open_runs[ended]] = looks[part][decided[ended].argmax(1)]
        open_runs = open_runs[~ended]
    low, middle, high = np.quantile(first, [0.1, 0.5, 0.9], method="higher")
    return StillNeeded(*(int(n) if n <= MOST else None for n in (middle, low, high)))


def _looks() -> NDArray[np.int64]:
    """Return the numbers of further pairs that are looked at: all of the first 30, then by 5 %."""
    later = np.geomspace(30, MOST, 88)[1:].round().astype(np.int64)
    return np.concatenate([np.arange(1, 31), later])
