"""What servers of tests have in common: free ports, and an end together with the test run."""

import contextlib
import ctypes
import secrets
import signal
import socket
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, below the kernel's ephemeral ones and above Ray's workers'."""
    found: list[int] = []
    while len(found) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def end_with_parent(how: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that has the kernel end a child if the test run is killed."""

    def in_child() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)

    return in_child
