"""Whether a process still lives, as drivers, mirrors and tables ask it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from search.process import interruptible, watch
from search.supervisor import STOPPING


def started() -> "subprocess.Popen[bytes]":
    """A process that lives until its input ends."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_running_process_lives() -> None:
    assert watch(os.getpid())()


@pytest.mark.parametrize("before_its_end", [True, False])
def test_zombie_is_dead(before_its_end: bool) -> None:
    process = started()
    alive = watch(process.pid)
    assert alive()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie from here on
    assert not (alive if before_its_end else watch(process.pid))()
    process.communicate()


def test_ended_process_is_dead() -> None:
    process = started()
    alive = watch(process.pid)
    process.communicate()
    assert not alive()
    assert not watch(process.pid)()


def test_later_process_with_the_same_pid_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(tick: int) -> None:
        fields = ["S", *["0"] * 18, str(tick), *["0"] * 30]
        (tmp_path / "77" / "stat").write_text(f"77 (a name) b) {' '.join(fields)}\n")

    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    (tmp_path / "77").mkdir()
    start(1_000)
    alive = watch(77)
    assert alive()
    start(1_001)
    assert not alive()
    assert watch(77)()


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_interrupts_the_block_and_nothing_after_it(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_more_signals_do_not_cut_short_what_is_cleared_up() -> None:
    cleared = False
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            cleared = True
    assert cleared
