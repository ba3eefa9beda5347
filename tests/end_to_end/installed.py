"""The installed command, run as a user runs it, and what is left of it when it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GATESEARCH = Path(sys.executable).parent / "gatesearch"
SECONDS = 240  # a bound that only a hang reaches


def gatesearch(
    *arguments: str | Path, cwd: Path, code: int = 0, env: dict[str, str] | None = None
) -> str:
    """Run a command to its end and return what it printed; fail unless it exits with `code`."""
    done = subprocess.run(
        [GATESEARCH, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def records(cwd: Path, name: str, phase: str = "all") -> list[dict[str, Any]]:
    """Return what `gatesearch results --json` says."""
    listed: list[dict[str, Any]] = json.loads(
        gatesearch("results", name, "--json", "--phase", phase, cwd=cwd)
    )
    return listed


def begin(*arguments: str | Path, cwd: Path) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, so that all of its processes can be found."""
    with (cwd / "output.log").open("ab") as log:
        return subprocess.Popen(
            [GATESEARCH, *map(str, arguments)],
            cwd=cwd,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """kill -9 the command, then what of its session outlives it: Ray's agents take a minute."""
    process.kill()
    process.wait()
    wait_until(lambda: not _raylets(process.pid), "Ray's node has noticed its driver's death")
    for pid in _session(process.pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _session(process.pid), "nothing of the session is left")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail if it does not come about."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def _session(leader: int) -> list[int]:
    """Return the live processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def _raylets(leader: int) -> list[int]:
    names = {pid: _name(pid) for pid in _session(leader)}
    return [pid for pid, name in names.items() if name in ("raylet", "gcs_server")]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
