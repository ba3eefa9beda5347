"""Processes of this machine: whether one still lives, and how a signal interrupts this one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from search.supervisor import STOPPING

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
    """Raise KeyboardInterrupt in the block when a signal asks for its end. Main thread only.

    It is raised once: more signals do not cut short what the block clears up then.
    """

    found = {number: signal.getsignal(number) for number in STOPPING}
    before = {number: what for number, what in found.items() if what != signal.SIG_IGN}

    def interrupt(number: int, frame: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
