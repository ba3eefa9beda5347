"""The installed command, run as a user runs it; what it answers; which processes it has."""

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import SECONDS, wait_until

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
GATESEARCH = Path(sys.executable).parent / "gatesearch"


def gatesearch(
    *arguments: str | Path,
    cwd: Path,
    code: int = 0,
    env: dict[str, str] | None = None,
    seconds: float = SECONDS,
) -> str:
    """Run a command to its end and return what it printed; fail unless it exits with `code`.

    seconds: a bound that only a hang reaches.
    """
    done = subprocess.run(
        [GATESEARCH, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def records(cwd: Path, name: str, phase: str = "all") -> list[dict[str, Any]]:
    """Return what `gatesearch results --json` says about a job."""
    listed: list[dict[str, Any]] = json.loads(
        gatesearch("results", name, "--json", "--phase", phase, cwd=cwd)
    )
    return listed


def alike(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records without what differs between runs: times, run ids, checkpoint names."""
    of_one_run = ("train_seconds", "mlflow_run_id", "checkpoint", "curve", "alone", "scores")
    return [
        {name: value for name, value in record.items() if name not in of_one_run}
        | {
            "scores": record["scores"] and record["scores"]["sha256"],
            "points": [
                (point["epoch"], point["train_loss"], point["value"], point["metrics"])
                for point in record["curve"]
            ],
        }
        for record in listed
    ]


@contextlib.contextmanager
def running(*arguments: str | Path, cwd: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a command, which writes to output.log; on leaving, kill -9 what is left of it.

    The command has a session of its own, so that all of its processes can be found.
    """
    with (cwd / "output.log").open("ab") as log:
        process = subprocess.Popen(
            [GATESEARCH, *map(str, arguments)],
            cwd=cwd,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        # Ray's agents outlive a driver by a minute.
        wait_until(lambda: not _raylets(process.pid), "Ray's node has noticed its driver's death")
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not session(process.pid), "nothing of the session is left")


def session(leader: int) -> list[int]:
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
    return [pid for pid in session(leader) if process_name(pid) in ("raylet", "gcs_server")]


def process_name(pid: int) -> str:
    """Return a process's name as /proc/PID/comm shows it, or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def listening(pids: list[int]) -> set[Address]:
    """Return the addresses on which some processes take TCP connections."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(str(file.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = fields = line.split()
            if state == "0A" and f"socket:[{fields[9]}]" in inodes:
                words = bytes.fromhex(local.partition(":")[0])
                address = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                read = ipaddress.ip_address(address)
                found.add(getattr(read, "ipv4_mapped", None) or read)
    return found
