"""Whether there is anything to tell: against trivial baselines and the best there can be."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from search.results.evidence.betting import Floats
from search.results.evidence.pairs import Margin, Scores


def nothing_learned(
    arms: Sequence[Scores],
    baselines: Mapping[str, float],
    margin: Margin,
    *,
    maximize: bool,
    alpha: float,
    test_sequences: int | None = None,
) -> bool:
    """Return whether no arm is shown to beat the best baseline by more than the margin.

    Shown: at level alpha for all arms together, by a t test of the replicates' mean; below three
    replicates, all of them beat it. An arm most of whose replicates diverged has learned nothing.

    test_sequences: of the test part that all replicates share, for values that are shares of
    right answers. Its luck is the same for all of them: it is added to what the test allows for,
    as the binomial variance of the mean.
    """
    if not baselines:
        return False
    best = (max if maximize else min)(baselines.values())
    sign = 1.0 if maximize else -1.0
    for arm in arms:
        values = _finite(arm)
        if 2 * len(values) <= len(arm):
            continue
        bar = np.full_like(values, best)
        gains = sign * (values - bar) - margin.widths(values, bar)
        shared = 0.0 if test_sequences is None else _binomial(values) / test_sequences
        if _shown_positive(gains, shared, alpha / len(arms)):
            return False
    return True


def _binomial(values: Floats) -> float:
    share = float(np.clip(values.mean(), 0.0, 1.0))
    return share * (1 - share)


def _shown_positive(gains: Floats, shared: float, alpha: float) -> bool:
    """shared: the variance that all gains have in common."""
    n = len(gains)
    if n < 3:
        return bool((gains > 0).all())
    radius = stdtrit(n - 1, 1 - alpha) * math.sqrt(gains.var(ddof=1) / n + shared)
    return bool(gains.mean() > radius)


def too_easy(arms: Sequence[Scores], ceiling: float | None, margin: Margin) -> bool:
    """Return whether every arm's mean is within the margin of the best value that there can be.

    A relative margin has no width there: a loss of 0 is never so near that losses are the same.
    """
    if ceiling is None or margin.relative:
        return False
    return all(
        len(values) == len(arm) > 0 and abs(float(values.mean()) - ceiling) <= margin.value
        for arm in arms
        for values in [_finite(arm)]
    )


def _finite(arm: Scores) -> Floats:
    return np.array([v for v in arm.values() if v is not None and math.isfinite(v)])
