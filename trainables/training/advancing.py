"""Trainings that are advanced together, epoch by epoch, whichever way they are trained."""

import math
import time
from collections.abc import Sequence

from spaces.config import SHARED
from trainables.training.curve import Epoch
from trainables.training.trainer import Training


class Advancing:
    """Members of one shape; a subclass trains one epoch of those that are active."""

    def __init__(self, members: Sequence[Training]) -> None:
        """Raises ValueError where the members' shapes or data differ."""
        self.members = tuple(members)
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
            self._advance_one(active)
            if time.perf_counter() - began >= seconds:
                break
        return [member.curve[n:] for member, n in zip(self.members, before, strict=True)]

    def _advance_one(self, active: list[int]) -> None:
        """Train one epoch of the active members, and add it to their curves."""
        raise NotImplementedError


def _check_shapes(members: Sequence[Training]) -> None:
    """Raise ValueError where members of a cohort differ in their shape or their data."""
    first = members[0]
    for member in members[1:]:
        for name in SHARED:
            ours, theirs = getattr(first.config, name), getattr(member.config, name)
            if ours != theirs:
                raise ValueError(f"members differ in {name}: {ours} and {theirs}")
        if first.data.info.fingerprint != member.data.info.fingerprint:
            raise ValueError("members differ in their data")
