"""Claims about signals: one line, exit code 130 and nothing left, whatever a command is doing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from installed import session
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
#: What a command may be doing when the signal comes; each writes "begun" first.
DOING = {
    "waiting": "begun(); time.sleep(60)",
    "deaf to every signal": (
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]; begun(); time.sleep(60)"
    ),
    "swallowing exceptions": (
        "begun()\nfor _ in range(600):\n    try: time.sleep(0.1)\n    except BaseException: pass"
    ),
    "running a program that is deaf": (
        "subprocess.Popen(['sh', '-c', 'trap \"\" INT TERM HUP; sleep 60 & sleep 60'])\n"
        "begun(); time.sleep(60)"
    ),
    "locked up": "import _thread; lock = _thread.allocate_lock(); lock.acquire(); begun()\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 3, 15}); lock.acquire()",
}
PROGRAM = """
import os, pathlib, signal, subprocess, sys, time
from search import supervisor
here = pathlib.Path(sys.argv[1])
def begun(): (here / "begun").touch()
supervisor.continue_in_child()
(here / "scratch").mkdir()
supervisor.tell_scratch(here / "scratch")
supervisor.tell_how_to_go_on("nothing is lost.")
{doing}
"""


def started(folder: Path, doing: str, *, ignored: str = "") -> "subprocess.Popen[str]":
    """A supervised program in a session of its own, which has begun what it does."""

    def prepare() -> None:
        for name in STOPPING:
            by = signal.SIG_IGN if name == ignored else signal.SIG_DFL
            signal.signal(getattr(signal, name), by)

    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(doing=doing), folder],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )
    wait_until(lambda: (folder / "begun").exists() or process.poll() is not None, "it has begun")
    return process


@pytest.mark.parametrize("to_group", [False, True], ids=["alone", "group"])
@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.parametrize("doing", DOING)
def test_a_signal_ends_a_command_in_one_line_and_leaves_nothing(
    tmp_path: Path, doing: str, name: str, to_group: bool
) -> None:
    process = started(tmp_path, DOING[doing])
    (os.killpg if to_group else os.kill)(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Interrupted; nothing is lost.\n")
    assert session(process.pid) == []
    assert not (tmp_path / "scratch").exists()


def test_more_signals_change_nothing(tmp_path: Path) -> None:
    process = started(tmp_path, DOING["running a program that is deaf"])
    for _ in range(20):
        for name in STOPPING:
            if process.poll() is None:
                os.killpg(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Interrupted; nothing is lost.\n")
    assert session(process.pid) == []


@pytest.mark.parametrize("name", STOPPING)
def test_a_signal_to_the_process_that_does_the_work_is_one_to_the_command(
    tmp_path: Path, name: str
) -> None:
    """Messages and tables of processes name it, not its supervisor."""
    process = started(tmp_path, DOING["waiting"])
    (worker,) = set(session(process.pid)) - {process.pid}
    os.kill(worker, getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Interrupted; nothing is lost.\n")


def test_what_must_not_be_cut_short_is_finished(tmp_path: Path) -> None:
    writing = (
        "with supervisor.uninterrupted():\n"
        "    begun(); time.sleep(0.5); (here / 'whole').touch()\n"
        "time.sleep(60)"
    )
    process = started(tmp_path, writing)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert (tmp_path / "whole").exists()


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(tmp_path: Path) -> None:
    """As nohup has it with SIGHUP, and a shell with SIGINT behind its `&`."""
    process = started(
        tmp_path, "begun(); time.sleep(0.5); supervisor.tell_ended()", ignored="SIGHUP"
    )
    os.killpg(process.pid, signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_is_the_command_s_own(tmp_path: Path, code: int) -> None:
    process = started(tmp_path, f"supervisor.tell_ended(); sys.exit({code})")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "")


@pytest.mark.parametrize(
    ("ends", "how"),
    [("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"), ("os._exit(1)", "exit code 1")],
)
def test_an_end_without_a_word_is_told(tmp_path: Path, ends: str, how: str) -> None:
    """As Ray's compiled part ends a process, or the kernel for lack of memory."""
    process = started(tmp_path, f"subprocess.Popen(['sleep', '60'])\n{ends}")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert how in said
    assert said.endswith("nothing is lost.\n")
    assert session(process.pid) == []
    assert not (tmp_path / "scratch").exists()


def test_the_command_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    process = started(tmp_path, DOING["deaf to every signal"])
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not session(process.pid), "nothing of the session is left")


def test_ctrl_z_stops_all_of_a_command_and_it_goes_on_later(tmp_path: Path) -> None:
    process = started(tmp_path, "begun(); time.sleep(60)")
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: states(process.pid) == {"T"}, "all of it is stopped")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: "T" not in states(process.pid), "all of it goes on")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130


def states(leader: int) -> set[str]:
    """Return the states of a session's processes, as /proc has them."""
    return {
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        for pid in session(leader)
    }


def test_a_wait_that_nothing_in_the_process_can_end_is_bounded(tmp_path: Path) -> None:
    waits = f"with supervisor.bounded(0.2, 'it took too long', 2):\n    begun(); {DOING['waiting']}"
    process = started(tmp_path, waits)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (2, "it took too long\n")
    assert session(process.pid) == []


def test_a_wait_that_ends_in_time_is_no_matter(tmp_path: Path) -> None:
    waits = "with supervisor.bounded(60, '', 2): begun()\nsupervisor.tell_ended()"
    process = started(tmp_path, waits)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")
