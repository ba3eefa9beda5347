"""How long a store outside of this process is waited for, and which ones are waited for now.

Every store that may go away for a while (a database, an object store) has the same patience, and
whoever shows what a job does shows waits() too.
"""

import math
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0  #: seconds for which a store that has gone away is tried again
GAP = 60.0  #: seconds between two looks at a clock that count, at most

_MAX_PAUSE = 5.0  # seconds between two tries

_T = TypeVar("_T")
_waits: dict[int, str] = {}  # of this process, by who waits


class AwakeClock:
    """Seconds for which this process was at work.

    A machine that sleeps, a process that is stopped and a clock that jumps leave a gap between two
    looks, of which no more than GAP seconds count.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._seconds = 0.0

    def seconds(self) -> float:
        """Return the seconds since the clock was made."""
        now = time.monotonic()
        self._seconds += min(now - self._looked, GAP)
        self._looked = now
        return self._seconds


class StillAwayError(Exception):
    """The store is away, and the patience with it has not ended: try again. The text is a wait."""


class Patience:
    """Tries again what fails because a store is away."""

    def __init__(self, seconds: float = PATIENCE, turn: float = math.inf) -> None:
        """seconds: since the store was there last, after which it counts as gone.

        turn: seconds of one call, after which StillAwayError is raised, for who has other things
        to do meanwhile.
        """
        self._patience, self._turn = seconds, turn
        self._away: AwakeClock | None = None  # since the store was there last

    def __call__(self, do: Callable[[], _T], said: Callable[[Exception], str | None]) -> _T:
        """Do it and return its result, or raise its last exception.

        said: returns what an exception says where trying again may help, with the store's name.
        """
        turn, pause = AwakeClock(), 0.05
        try:
            while True:
                try:
                    result = do()
                    self._away = None
                    return result
                except Exception as error:
                    text = said(error)
                    if text is None:
                        raise
                    self._away = self._away or AwakeClock()
                    away, here = self._away.seconds(), turn.seconds()
                    if away >= self._patience:
                        raise
                    wait = f"waiting for {text} ({away:.0f} of {self._patience:.0f} s)"
                    if here >= self._turn:
                        raise StillAwayError(wait) from error
                show_wait(id(self), wait)
                time.sleep(min(pause, self._patience - away, self._turn - here))
                pause = min(2 * pause, _MAX_PAUSE)
        finally:
            show_wait(id(self), None)


def show_wait(who: int, wait: str | None) -> None:
    """Have waits() tell of a wait; None: it is over."""
    if wait is None:
        _waits.pop(who, None)
    else:
        _waits[who] = wait


def waits() -> list[str]:
    """Return what is waited for, each once."""
    return sorted(set(_waits.copy().values()))
