"""Refuses data that takes more memory than the machine has to give."""

import contextlib
import os
from pathlib import Path

from spaces.errors import InputError

#: Share of the machine's memory that one loaded task may take: a worker for each slot maps it, and
#: converting it needs a second copy for a moment.
MAX_SHARE = 0.25

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_bytes() -> int | None:
    """Return the bytes of memory of this machine or container, or None where unknown."""
    sizes = []
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no sysconf on some systems
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        sizes.append(int(_CONTAINER_LIMIT.read_text()))
    return min(sizes, default=None)


def refuse_unless_it_fits(size: int, place: str, remedy: str) -> None:
    """Raise InputError at `place` if data of `size` bytes is too large for this machine."""
    total = available_bytes()
    if total is None or size <= total * MAX_SHARE:
        return
    raise InputError.of(
        place,
        f"the data of a task must take at most {MAX_SHARE:.0%} of the machine's memory, "
        f"{_readable(int(total * MAX_SHARE))}; this takes {_readable(size)}",
        remedy,
    )


def _readable(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.3g} PiB"
