"""How tests wait: for conditions, within a bound that only a hang reaches."""

import time
from collections.abc import Callable

SECONDS = 240.0


def wait_until(
    holds: Callable[[], bool], what: str, seconds: float = SECONDS, pause: float = 0.05
) -> None:
    """Wait for a condition, looking after every pause; fail if it does not come about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(pause)
