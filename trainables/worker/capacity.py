"""How many trials a packed worker takes at once: the rule. Knows no torch.

A shape is what the members of a cohort share. Each has a limit: so many of its trials train
together. It comes from measurements of cohorts of 1, 2, 4, 8, … members, and falls where memory
runs out all the same.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from spaces.config import SHARED, TrialConfig

MAX_MEMBERS = 128  #: of a cohort
#: A cohort of twice the members must train at least so many times the members a second.
GROWTH = 1.1

Shape = tuple[object, ...]


def shape_of(config: TrialConfig) -> Shape:
    """Return what configurations that train in one cohort have in common."""
    return tuple(getattr(config, name) for name in sorted(SHARED))


@dataclass(frozen=True)
class Measurement:
    """What a cohort of some members took."""

    members: int
    seconds: float  #: that an update of all members takes
    peak_bytes: int  #: of memory in use at once, all members together

    @property
    def rate(self) -> float:
        """Members a second."""
        return self.members / self.seconds


def next_members(measured: Sequence[Measurement], budget_bytes: float) -> int | None:
    """Return the number of members to measure next; None where that is known to be too many.

    measured: cohorts of 1, 2, 4, … members, as far as they have been measured.
    """
    if not measured:
        return 1
    members = 2 * measured[-1].members
    if not _grows(measured) or members > MAX_MEMBERS or _peak(measured, members) > budget_bytes:
        return None
    return members


def members_that_fit(measured: Sequence[Measurement], budget_bytes: float) -> int:
    """Return how many members train together: as many as fit and still gain; one at least.

    They gain as long as twice the members train at least GROWTH times as many a second. Where
    memory ends between two measured sizes, what lies between is taken as a straight line.
    """
    fitting = [each for each in measured if each.peak_bytes <= budget_bytes]
    if not fitting:
        return 1
    if not _grows(fitting):
        return fitting[-2].members
    largest = fitting[-1].members
    most = min(2 * largest, MAX_MEMBERS)
    more = [
        members for members in range(largest + 1, most) if _peak(fitting, members) <= budget_bytes
    ]
    ends_in_memory = _peak(fitting, most) > budget_bytes or len(fitting) < len(measured)
    return max(more, default=largest) if ends_in_memory else largest


def _grows(measured: Sequence[Measurement]) -> bool:
    """Return whether the largest cohort measured still gained by its size."""
    return len(measured) < 2 or measured[-1].rate >= GROWTH * measured[-2].rate


def _peak(measured: Sequence[Measurement], members: int) -> float:
    """Return the memory of a cohort that was not measured: on a line through the last two."""
    last = measured[-1]
    if len(measured) < 2:
        each = last.peak_bytes / last.members
    else:
        before = measured[-2]
        each = (last.peak_bytes - before.peak_bytes) / (last.members - before.members)
    return last.peak_bytes + each * (members - last.members)


def room(in_hand: Iterable[tuple[int, int]]) -> int:
    """Return how many more trials a worker takes; in_hand: of each shape its limit and number.

    A trial takes up a share of its worker: one by its shape's limit. More trials are asked for as
    if they had the shape of the largest limit; a worker without a trial asks for one.
    """
    shapes = list(in_hand)
    if not shapes:
        return 1
    left = 1 - math.fsum(number / limit for limit, number in shapes)
    return max(0, math.floor(left * max(limit for limit, _ in shapes) + 1e-9))


class Capacity:
    """The limits of the shapes that a worker has met."""

    def __init__(self, find: Callable[[TrialConfig], int]) -> None:
        """find: returns the limit of a configuration's shape when it is first asked for."""
        self._find = find
        self._limits: dict[Shape, int] = {}

    def knows(self, config: TrialConfig) -> bool:
        """Return whether the limit of a configuration's shape is known already."""
        return shape_of(config) in self._limits

    def limit(self, config: TrialConfig) -> int:
        """Return how many trials of a configuration's shape train together."""
        shape = shape_of(config)
        if shape not in self._limits:
            self._limits[shape] = self._find(config)
        return self._limits[shape]

    def lower(self, config: TrialConfig, members: int) -> None:
        """Let no more than so many trials of a shape train together: memory did not suffice."""
        self._limits[shape_of(config)] = max(1, min(self.limit(config), members))

    def room(self, configs: Sequence[TrialConfig]) -> int:
        """Return how many more trials a worker takes that has these in hand."""
        if not all(self.knows(config) for config in configs):
            return 0
        numbers = Counter(shape_of(config) for config in configs)
        return room((self._limits[shape], number) for shape, number in numbers.items())
