"""Axes of the figures: logarithmic ones, and ranges that outliers do not flatten."""

import math
from collections.abc import Sequence
from typing import Any

from spaces.kinds import Metric

#: What a caption says about a range of clipped().
CLIPPED = "The axis leaves out the worst values, at most a tenth; double-click the plot to see all."
#: The same, of a figure that cannot be zoomed.
CLIPPED_FIXED = "The axis leaves out the worst values, at most a tenth."


def clipped(values: Sequence[float], metric: Metric) -> list[float] | None:
    """Return a range without the worst tenth, if that takes up half of the axis or more."""
    if len(values) < 20:
        return None
    ordered = sorted(values, key=metric.cost)
    best, cut, worst = ordered[0], ordered[-1 - len(ordered) // 10], ordered[-1]
    if abs(worst - cut) < abs(cut - best) or best == cut:
        return None
    margin = 0.05 * abs(cut - best)
    low, high = min(best, cut), max(best, cut)
    return [low - margin, high + margin]


def around(values: Sequence[float], share: float) -> list[float]:
    """Return a range that holds all values, with a share of its width free on both sides."""
    low, high = min(values), max(values)
    margin = share * (high - low) or 0.01
    return [low - margin, high + margin]


def logarithmic(values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis with its ticks at 1, 2 and 5 (or closer), written out."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.04 * (high - low), 0.03)
    exponents = range(math.floor(low) - 1, math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low > 0.8 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in digits]
    return {
        "type": "log",
        "range": [low - margin, high + margin],
        "tickvals": ticks,
        "ticktext": [f"{tick:,.0f}" if tick >= 10 else f"{tick:.3g}" for tick in ticks],
    }
