"""What a search may optimize together, and when one trial dominates another in it."""

from collections.abc import Sequence
from typing import Literal

#: The first is the task's metric, in its direction; the others are to be small.
Objective = Literal["value", "parameters", "seconds"]


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether one is nowhere worse than the other and somewhere better.

    one, other: values of the same objectives, in the same order; less is better.
    """
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
