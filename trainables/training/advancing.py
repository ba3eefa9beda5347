"""Trainings that are advanced together, epoch by epoch, whichever way they are trained."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence

from spaces.config import SHARED
from trainables.training.curve import Epoch
from trainables.training.trainer import Training


class Advancing:
    """Members of one shape; a subclass trains one epoch of those that are active."""

    def __init__(self, members: Sequence[Training]) -> None:
        """Raises ValueError where the members' shapes or tasks differ."""
        self.members = tuple(members)
        #: How many trainings other cohorts advance on the device at the same time: an epoch's
        #: seconds are a member's share of what all of them took together.
        self.beside = 0
        _check_shapes(self.members)

    def advance(self, until: int, seconds: float = math.inf) -> list[list[Epoch]]:
        """Train every member up to that epoch, or until the seconds have passed.

        Returns each member's new points; see Training.advance. An epoch's seconds are the member's
        share of the time that all took together.
        """
        began = time.perf_counter()
        before = [member.epoch for member in self.members]
        while active := [
            i for i, member in enumerate(self.members) if member.epoch < until and not member.ended
        ]:
            for _ in self._epoch(active):
                pass
            if time.perf_counter() - began >= seconds:
                break
        return [member.curve[n:] for member, n in zip(self.members, before, strict=True)]

    def epoch(self) -> Iterator[None]:
        """Train one epoch of all members that have not ended.

        It is a generator: where it yields a device has work to do, and nothing is to be done here
        until that has ended.
        """
        active = [i for i, member in enumerate(self.members) if not member.ended]
        yield from self._epoch(active)

    def evaluable(self, whose: Iterable[int] | None = None) -> list[int]:
        """Return the places of members, of all or of some, that have a best epoch."""
        places = range(len(self.members)) if whose is None else whose
        return [i for i in places if self.members[i].best is not None]

    def _epoch(self, active: list[int]) -> Iterator[None]:
        """Train one epoch of the active members, and add it to their curves; see epoch."""
        raise NotImplementedError


def _check_shapes(members: Sequence[Training]) -> None:
    """Raise ValueError where members of a cohort differ in their shape or their task."""
    first = members[0]
    for member in members[1:]:
        for name in SHARED:
            ours, theirs = getattr(first.config, name), getattr(member.config, name)
            if ours != theirs:
                raise ValueError(f"members differ in {name}: {ours} and {theirs}")
        if _sizes(first) != _sizes(member):
            raise ValueError("members differ in their task")


def _sizes(member: Training) -> tuple[object, ...]:
    """Return what the data of members must have in common, on whichever split each of them is."""
    info = member.data.info
    return info.name, info.kind, info.inputs, info.outputs
