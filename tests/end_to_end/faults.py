"""Faults on purpose: a job to hit, its processes, and what its journal says."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from installed import process_name, session

from search.journal.file import FileReader

#: Two trials long enough to be hit in the middle, whose results depend on nothing but their seeds.
CALM = """\
name: calm
task: {name: japanese-vowels}
arms: [rnn]
space: {depth: 1, hidden_size: 48, learning_rate: {low: 1e-3, high: 3e-3, log: true}}
training: {max_epochs: 600}
search: {trials: 2, pruner: none, control_fraction: 0, sampler: random, report_timeout: 10}
confirm: {seeds: 0}
"""
WORKERS = ("ray::Worker", "ray::ResourceTr")  # as /proc/PID/comm shows actors that train


@contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch, *gpus: int) -> "Iterator[subprocess.Popen[str]]":
    """Have commands join a cluster of two nodes with so many made-up GPUs; see two_nodes.py."""
    for name, value in {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_health_check_period_ms": "500",
    }.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), *map(str, gpus)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cluster:
        assert cluster.stdout is not None
        monkeypatch.setenv("RAY_ADDRESS", cluster.stdout.readline().strip())
        yield cluster


def journal(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return a job's own records of one kind, as far as its journal has them."""
    path = folder / "job.journal"
    if not path.exists():
        return []
    groups = FileReader(path).read()
    return [record for group in groups for record in group if record.get("record") == kind]


def driver(folder: Path) -> int:
    """Return the process that drives the job of a folder, which a command's supervisor started."""
    pid: int = journal(folder, "driver")[-1]["pid"]
    return pid


def workers(process: "subprocess.Popen[bytes]") -> list[int]:
    """Return the processes that train for a command which started Ray itself."""
    return named(process, *WORKERS)


def named(process: "subprocess.Popen[bytes]", *names: str) -> list[int]:
    """Return the processes of a command's session that have one of these names."""
    return [pid for pid in session(process.pid) if process_name(pid) in names]


def report_counts(folder: Path) -> dict[str, int]:
    """Return how many reports each trial has made."""
    counts: dict[str, int] = {}
    for record in journal(folder, "report"):
        counts[record["key"]] = counts.get(record["key"], 0) + 1
    return counts


def checkpointed(folder: Path) -> bool:
    """Return whether both trials of CALM train and have two checkpoints at least."""
    counts = report_counts(folder)
    assert not journal(folder, "end"), "a trial has ended already: train longer"
    return len(counts) == 2 and min(counts.values()) >= 2


def ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
