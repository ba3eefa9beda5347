"""Processes of this machine: whether one still lives, and how ours is interrupted."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def watch(pid: int) -> Callable[[], bool]:
    """Return a function that tells whether a process still lives, and is not a later namesake."""
    born = _born(pid)

    def alive() -> bool:
        if born is not None:
            return _born(pid) == born
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not Path("/proc/self/stat").exists()  # else /proc would have told

    return alive


def _born(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks; None if it is none, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when SIGTERM arrives. Main thread only."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
