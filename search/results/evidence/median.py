"""The exact interval of a median."""

from collections.abc import Sequence

from scipy.special import bdtr


def median_interval(ordered: Sequence[float], alpha: float = 0.05) -> tuple[float, float] | None:
    """Return the interval of the median of what n ordered values were drawn from.

    It lies between two order statistics that the median leaves on either side with a binomial
    probability (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). None below 6
    values at 95 %. Values may be infinite.
    """
    n = len(ordered)
    outside = [k for k in range(n // 2) if 2 * bdtr(k, n, 0.5) <= alpha]
    return (ordered[outside[-1]], ordered[n - 1 - outside[-1]]) if outside else None
