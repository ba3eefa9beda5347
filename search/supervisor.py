"""A command goes on in a child process, while this one takes the signals and leaves nothing behind.

A signal may come at any moment: inside an import, inside Ray's start, inside a write. An exception
that a handler raises there ends in a trace, a lock that stays taken, or a Ray that outlives the
job. What a job writes bears `kill -9` at any moment, and so that is how it is stopped: the child
and all that it started are a process group, which the supervisor kills, waits for and cleans up
after. Of blocks that leave a draft when they are cut short the child says so (`uninterrupted`).

In a process that has no supervisor, the functions for the child do nothing.
"""

import ctypes
import mmap
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from trainables.scratch import remove_stale_folders

INTERRUPTED = 130  #: exit code, as shells have it
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
END_WITH = "GATESEARCH_END_WITH"  #: environment: pid of the parent with which a command ends
PATIENCE = 10.0  #: seconds that a block which must not be cut short may take after a signal


_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # of prctl(2)
_GO_ON, _SCRATCH, _ENDED = b"G", b"S", b"E"  # what a line to the supervisor is about


class _Line:
    """The child's line to its supervisor: a pipe, and a byte of memory that both see."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.busy = mmap.mmap(-1, 1)  # 1 while the child must not be cut short


_line: _Line | None = None  # of this process, where it has a supervisor


def continue_in_child() -> None:
    """Return in a child process; this one supervises it and never returns.

    The supervisor exits with the child's code; after a signal with 130 and one line, whatever the
    moment, and with nothing of the child left. Call it while the process has one thread.
    """
    global _line
    line = _Line()
    taken = {number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN}
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*taken, signal.SIGCHLD, signal.SIGTSTP})
    _prctl(_SET_SUBREAPER, 1)
    if os.environ.pop(END_WITH, None) == str(os.getppid()):
        _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    supervisor = os.getpid()
    child = os.fork()
    if child:
        with suppress(PermissionError):  # the child was faster
            os.setpgid(child, child)
        _supervise(child, line, taken)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    os.setpgid(0, 0)
    for number in (signal.SIGTTIN, signal.SIGTTOU):  # a terminal would stop a group of its own
        signal.signal(number, signal.SIG_IGN)
    for number in taken:  # not SIG_IGN, which programs that it starts would inherit
        signal.signal(number, _forward)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _line = line


def tell_how_to_go_on(sentence: str) -> None:
    """Say what a person does when the command is interrupted from now on."""
    _tell(_GO_ON, sentence)


def tell_scratch(folder: Path) -> None:
    """Name a folder that the supervisor removes when the command has ended, however it ends."""
    _tell(_SCRATCH, str(folder))


def tell_ended() -> None:
    """Say that the command has come to its end and has printed why, where it failed."""
    _tell(_ENDED, "")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a block that is short and writes be finished when a signal comes."""
    if _line is not None:
        _line.busy[0] = 1
    try:
        yield
    finally:
        if _line is not None:
            _line.busy[0] = 0


@contextmanager
def bounded(seconds: float, message: str, code: int) -> Iterator[None]:
    """End the command with a message where the block takes longer.

    It is for waits in compiled code, which nothing in the process can end. Without a supervisor,
    which clears up, nothing is ended.
    """

    def give_up() -> None:
        _print(message)
        tell_ended()
        os._exit(code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    if _line is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(about: bytes, text: str) -> None:
    if _line is not None:
        os.write(_line.writing, about + os.fsencode(text).replace(b"\n", b" ") + b"\n")


def _forward(number: int, frame: object) -> None:
    """Hand a signal to the supervisor, which may have it already."""
    os.kill(os.getppid(), number)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _supervise(child: int, line: _Line, taken: set[signal.Signals]) -> NoReturn:
    """Wait for the child's end or a signal; end everything; exit."""
    os.close(line.writing)
    interrupted = False
    while not _has_ended(child):
        number = signal.sigwait({*taken, signal.SIGCHLD, signal.SIGTSTP})
        if number == signal.SIGTSTP:
            os.killpg(child, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(child, signal.SIGCONT)
        elif number != signal.SIGCHLD:
            interrupted = True
            _let_finish(child, line)
            break
    status = _end_group(child)
    told = _read(line)
    for folder in told[_SCRATCH]:
        shutil.rmtree(folder, ignore_errors=True)
    remove_stale_folders()  # the folders' locks, which the child held
    go_on = told[_GO_ON][-1] if told[_GO_ON] else "nothing was started."
    code = os.waitstatus_to_exitcode(status)
    if interrupted:
        _print(f"Interrupted; {go_on}")
        code = INTERRUPTED
    elif not told[_ENDED]:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        _print(f"The command's process was ended from outside or by a fault ({how}); {go_on}")
        code = 1
    os._exit(code)


def _has_ended(child: int) -> bool:
    """Return whether the child has ended; its number stays taken."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _let_finish(child: int, line: _Line) -> None:
    """Wait while the child must not be cut short."""
    until = time.monotonic() + PATIENCE
    while line.busy[0] and not _has_ended(child) and time.monotonic() < until:
        time.sleep(0.01)


def _end_group(child: int) -> int:
    """Kill what is left of the child's group, wait for its end, and return the child's status.

    Whoever loses its parent in the group becomes a child of this process, a subreaper.
    """
    status = 0
    os.killpg(child, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            ended, how = os.waitpid(-child, os.WNOHANG)
        except ChildProcessError:
            break
        if ended == child:
            status = how
        elif not ended:
            time.sleep(0.005)
    return status


def _read(line: _Line) -> dict[bytes, list[str]]:
    """Return what the child told."""
    os.set_blocking(line.reading, False)  # a process outside of the group may hold the other end
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(line.reading, 2**16):
            parts.append(part)
    told: dict[bytes, list[str]] = {_GO_ON: [], _SCRATCH: [], _ENDED: []}
    for text in filter(None, b"".join(parts).split(b"\n")):
        told[text[:1]].append(os.fsdecode(text[1:]))
    return told


def _print(text: str) -> None:
    """Write a line to standard error, below what a progress table has left on a terminal."""
    with suppress(OSError):  # the terminal may be gone
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\n")  # shows the cursor, which the table hides
        os.write(2, f"{text}\n".encode(errors="replace"))
