"""Refuses data that takes more memory than the machine has to give."""

from spaces.errors import InputError
from spaces.text import readable
from trainables.machine import memory_bytes

#: Share of the machine's memory that the data of one task may take while it is read: beside it,
#: Ray's object store holds it once for all workers of a node.
MAX_SHARE = 0.25


def refuse_unless_it_fits(size: int, place: str, remedy: str) -> None:
    """Raise InputError at `place` if data of `size` bytes is too large for this machine."""
    total = memory_bytes()
    if size <= total * MAX_SHARE:
        return
    raise InputError.of(
        place,
        f"the data of a task must take at most {MAX_SHARE:.0%} of the machine's memory, "
        f"{readable(int(total * MAX_SHARE))}; this takes {readable(size)}",
        remedy,
    )
