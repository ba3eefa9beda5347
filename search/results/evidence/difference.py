"""The mean difference of two arms over pairs, with intervals.

`always_valid` may be looked at after every pair, like the bets on P. It supposes that differences
are normally distributed around their mean, with a deviation that nobody knows; that it holds for
others is simulated in tests/benchmarks/verdict.py. `nadeau_bengio` is for one look, and beside it:
where splits are re-dealt from the same data, their training parts overlap, and differences are not
independent of each other.
"""

import numpy as np
from scipy.special import stdtrit

from search.results.evidence.betting import Floats

Interval = tuple[float, float]

#: Shape of the bets on the effect's size, whose prior is normal with this variance (in deviations
#: of a difference). With 4 the interval is bounded from 4 pairs on, and narrow from about 10.
_EFFECT_VARIANCE = 4.0


def always_valid(differences: Floats, alpha: float) -> Interval | None:
    """Return a confidence sequence for the mean of differences [n]; None where it is unbounded.

    The t-test with a normal mixture over effect sizes (Wang and Ramdas 2024, "Anytime-valid t-tests
    and confidence sequences for Gaussian means with unknown variance", theorem 4.9): its capital is
    sqrt(k / (n + k)) ((n + k) V / ((n + k) V - S^2))^(n / 2) with S and V the sums of the
    differences and of their squares, k the inverse variance of effect sizes.
    """
    n = len(differences)
    if n < 2:
        return None
    k = 1 / _EFFECT_VARIANCE
    share = (alpha * np.sqrt(k / (n + k))) ** (2 / n)
    # The capital at mean m is below 1 / alpha where (n + k) V share <= (n + k) V - S^2, for the
    # differences less m: that is n^2 (mean - m)^2 <= (n + k) (1 - share) V.
    room = n - (n + k) * (1 - share)
    if room <= 0:
        return None
    mean, variance = float(differences.mean()), float(differences.var())
    radius = float(np.sqrt((n + k) * (1 - share) * variance / room))
    return mean - radius, mean + radius


def nadeau_bengio(differences: Floats, test_to_train: float, alpha: float) -> Interval | None:
    """Return the corrected t interval for re-dealt splits, for one look; None below two pairs.

    test_to_train: examples in a test part over those in a training part. Nadeau and Bengio 2003,
    "Inference for the generalization error": the variance of the mean is that of a difference times
    1 / n + test_to_train. 0 gives the usual paired t interval.
    """
    n = len(differences)
    if n < 2:
        return None
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    radius = float(stdtrit(n - 1, 1 - alpha / 2) * np.sqrt(variance * (1 / n + test_to_train)))
    return mean - radius, mean + radius
