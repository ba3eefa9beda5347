"""Processes of this machine: whether one still lives, and how SIGTERM interrupts this one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

_DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def watch(pid: int) -> Callable[[], bool]:
    """Return a function that returns whether the process that has this pid now still lives.

    A zombie is dead, and so is a process whose pid a later process has.
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return lambda: False

    def alive() -> bool:
        try:
            return process.is_running() and process.status() not in _DEAD
        except psutil.NoSuchProcess:
            return False

    return alive


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
