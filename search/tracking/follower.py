"""The MLflow mirror: a process that follows a job's journal and tells MLflow what it says.

    python -m search.tracking.follower RUNS/NAME [--uri URI] [--follow-pid DRIVER]

The driver starts it with `start` and has nothing to do with it from then on: a tracking server that
is slow, away or wrong stops no trial. The mirror only reads the journal, which is the truth, and
may be killed at any moment: the next one finds out what MLflow has and adds what is missing.
"""

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.job.folder import BEST, JOB_FILE, REPORT, RESULTS
from search.job.urls import url_fault
from search.journal.base import JournalError
from search.journal.open import open_reader
from search.process import watch
from search.tracking.runs import Runs
from search.tracking.server import (
    LOCAL_URI,
    LostError,
    RefusedError,
    Server,
    UnavailableError,
    environment,
    prepare,
)
from search.tracking.state import MirrorState, Notes, mirror_state, run_ids
from spaces.errors import InputError
from spaces.text import mask

__all__ = ["Mirror", "MirrorState", "mirror", "mirror_state", "run_ids", "start"]

LOG = "tracking.log"
LOCK = "tracking.lock"
LINGER = 600.0  #: seconds that a mirror goes on trying after its driver has ended

PATIENCE = 120.0  #: seconds that a mirror waits for a journal's database
_PAUSE = 1.0  # seconds between two rounds of telling, at least
_GLANCE = 0.2  # seconds between two looks at whether the job has ended
_LONGEST_PAUSE = 16.0  # seconds between two attempts to reach a server
_HAND_OVER = 60.0  # seconds to wait for the mirror of a former driver to step aside
_TROUBLED = 10.0  # seconds that a driver waits for a mirror in trouble
_ATTEMPTS = 3  # at a file that the server will not store
#: Folder and name of what is stored with the job's run: the first at once, all at the end.
_FILES = (
    (None, JOB_FILE),
    (None, REPORT),
    (None, RESULTS),
    (BEST, "config.yaml"),
    (BEST, "card.md"),
)

_COMPLETE, _BEHIND, _BUSY = 0, 1, 3  # exit codes


class Mirror:
    """A mirror process as its driver sees it."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._folder = folder

    def wait(self, seconds: float) -> bool:
        """Wait until all is in MLflow, at most so long. False if it is not, or not yet.

        To be called when the journal says that the job is done; a mirror in trouble is not waited
        for beyond a few seconds. A mirror that is behind goes on by itself for ten minutes;
        `mirror_state(folder).error` tells what it waits for.
        """
        began = time.monotonic()
        while (waited := time.monotonic() - began) < seconds:
            try:
                return self._process.wait(min(0.25, seconds)) == _COMPLETE
            except subprocess.TimeoutExpired:
                if waited > _TROUBLED and mirror_state(self._folder).error is not None:
                    break
        return self._process.poll() == _COMPLETE


def start(folder: Path, uri: str | None, driver_pid: int) -> Mirror:
    """Start a mirror that follows a job for as long as its driver lives, and returns at once.

    uri: http(s)://… of a server, or None for the SQLite database in the runs folder (the parent of
    `folder`). User name and password come from MLFLOW_TRACKING_USERNAME and _PASSWORD or from
    MLFLOW_TRACKING_TOKEN alone; a URI that carries them raises InputError.
    """
    check_uri(uri)
    command = _command(folder, uri, "--follow-pid", str(driver_pid))
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is meant for the driver
        )
    return Mirror(process, folder)


def mirror(folder: Path, uri: str | None) -> MirrorState:
    """Bring MLflow up to date with a job's journal, once, and return how that went.

    It runs in a process of its own, which works in the runs folder and has its own environment.
    Raises InputError if there is no job, the URI is unfit, or another mirror is at work.
    """
    check_uri(uri)
    if not open_reader(folder).exists():
        remedy = "name a job that was run here, or give the folder of its runs with --root"
        raise InputError.of(str(folder), "there is no job in this folder", remedy)
    command = _command(folder, uri)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode == _BUSY:
        remedy = "nothing needs to be done: it brings MLflow up to date by itself"
        raise InputError.of(str(folder), "a mirror is already at work on this job", remedy)
    state = mirror_state(folder)
    if done.returncode not in (_COMPLETE, _BEHIND):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        state.error = mask(lines[-1]) if lines else "the mirror was killed"
        state.complete = False
    return state


def check_uri(uri: str | None) -> None:
    """Raise InputError unless a mirror can write to that address."""
    fault = None if uri is None else url_fault(uri, "http", "https", "sqlite")
    if fault is not None:
        raise InputError.of("tracking.uri", fault.rule, fault.remedy)


def main(arguments: list[str] | None = None) -> int:
    """Run a mirror until all is told. 0: it is; 1: it is not; 3: another mirror is at work."""
    parser = argparse.ArgumentParser(prog="python -m search.tracking.follower", description=__doc__)
    parser.add_argument("folder", type=Path, help="the job's folder")
    parser.add_argument("--uri", help="of the MLflow server; default: SQLite beside the folder")
    parser.add_argument("--follow-pid", type=int, help="go on for as long as this process lives")
    parser.add_argument("--linger", type=float, default=LINGER, help="seconds to go on after that")
    parser.add_argument("--prepare", action="store_true", help="only make the local database")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    root = folder if options.prepare else folder.parent
    os.chdir(root)
    os.nice(10)  # trials come first
    with environment():
        if options.prepare:
            prepare(root)
            return _COMPLETE
        alive = None if options.follow_pid is None else watch(options.follow_pid)
        patience = 0.0 if alive is None else _HAND_OVER
        with _only_one(folder, patience) as alone:
            if not alone:
                _say("another mirror is at work on this job")
                return _BUSY
            linger = 0.0 if alive is None else options.linger
            follower = Follower(folder, options.uri or LOCAL_URI, options.follow_pid, alive, linger)
            return follower.run()


class Follower:
    """Reads the journal, tells the server, and decides when to stop."""

    def __init__(
        self,
        folder: Path,
        uri: str,
        driver_pid: int | None,
        alive: Callable[[], bool] | None,
        linger: float,
    ) -> None:
        self._folder = folder
        self._uri = uri
        self._driver_pid = driver_pid
        self._alive = alive
        self._linger = linger
        self._notes = Notes(folder)
        self._begin()

    def _begin(self) -> None:
        """(Re)start from the journal's first line."""
        self._reader = open_reader(self._folder, patience=PATIENCE)
        self._runs = Runs()
        self._server = Server(self._uri, self._folder.parent, self._notes)
        self._attempts: Counter[str] = Counter()  # at storing a file
        self._refused = False
        self._ours_seen = False  # whether the journal has told of the driver that we follow

    def run(self) -> int:
        """Follow the job to its end. Returns the exit code."""
        deadline: float | None = None
        failures = 0
        while True:
            began = time.monotonic()
            try:
                live = self._driver_lives()  # asked before reading: its last words are then read
                self._read()
            except JournalError as error:
                self._runs.live(False)
                self._tell_all(True)
                return self._give_up(str(error))
            if self._superseded():
                _say("another driver has taken the job over, and with it another mirror")
                return _COMPLETE
            # A driver writes the end of the job into the journal a moment before it ends itself.
            done = self._ours_seen and self._runs.job_state.phase == "done"
            ended = self._alive is None or not live or done
            self._runs.live(live)
            failures = 0 if self._tell_all(ended) else failures + 1
            if ended and not failures:
                self._notes.complete(not self._refused)
                return _BEHIND if self._refused else _COMPLETE
            if ended:
                deadline = deadline or time.monotonic() + self._linger
                if time.monotonic() >= deadline:
                    return self._give_up()
            wait = min(_PAUSE * 2**failures, _LONGEST_PAUSE) if failures else _PAUSE
            self._pause(max(wait, time.monotonic() - began), live=live, done=done)

    def _pause(self, seconds: float, *, live: bool, done: bool) -> None:
        """Sleep, until a driver that was alive ends, or a job that was not done is, at most."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if live and (not self._driver_lives() or (not done and self._job_ended())):
                break
            time.sleep(min(left, _GLANCE))

    def _job_ended(self) -> bool:
        """Return whether the journal's last words, which the next round reads, end the job."""
        with suppress(JournalError):
            self._read()
        return self._ours_seen and self._runs.job_state.phase == "done"

    def _tell_all(self, ended: bool) -> bool:
        """Tell the server all that is new. Returns whether that succeeded."""
        try:
            self._tell()
            if ended:
                self._server.settle()
        except LostError as error:
            self._complain(f"{error}; all runs are told again from the beginning")
            self._begin()
            return False
        except UnavailableError as error:
            self._complain(str(error))
            return False
        if not self._refused:
            self._notes.error(None)
        return True

    def _read(self) -> None:
        try:
            for group in self._reader.groups():
                self._runs.fold(group)
        except FileNotFoundError:
            return  # the driver has not got as far as that
        if self._runs.driver is not None and self._runs.driver[0] == self._driver_pid:
            self._ours_seen = True

    def _driver_lives(self) -> bool:
        if self._alive is not None:
            return self._alive()
        if self._runs.driver is None:
            self._read()
        if self._runs.driver is None or self._runs.job_state.phase == "done":
            return False
        pid, host = self._runs.driver
        return host == socket.gethostname() and watch(pid)()

    def _superseded(self) -> bool:
        driver = self._runs.driver
        return self._ours_seen and driver is not None and driver[0] != self._driver_pid

    def _tell(self) -> None:
        """Tell the server all that is new. What fails stays in `changed`."""
        runs = self._runs
        if runs.job is None or runs.job_id is None:
            return
        self._server.connect(runs.name, runs.job_id)
        if not self._server.knows_job:  # everything else hangs on it
            self._server.tell(runs.job, runs.data_set)
        for key in list(runs.changed):
            try:
                self._server.tell(runs.changed[key], runs.data_set)
            except RefusedError as error:
                self._refuse(f"{key}: {error}")
            del runs.changed[key]
        self._attach()

    def _attach(self) -> None:
        """Store the job file, and the report and the best configuration once there are some."""
        done = self._runs.job_state.phase == "done"
        for folder, name in _FILES if done else _FILES[:1]:
            path = self._folder / (folder or "") / name
            if not path.is_file() or self._attempts[name] >= _ATTEMPTS:
                continue
            try:
                self._server.attach(path, folder)
            except RefusedError as error:
                self._attempts[name] = _ATTEMPTS
                self._refuse(f"{name} was not stored: {error}")
            except UnavailableError as error:
                self._attempts[name] += 1
                if self._attempts[name] < _ATTEMPTS:
                    raise
                self._refuse(f"{name} was not stored: {error}")

    def _refuse(self, text: str) -> None:
        self._refused = True
        self._complain(text)

    def _complain(self, text: str) -> None:
        text = " ".join(text.split())[:1_000]
        self._notes.error(text)
        _say(text)

    def _give_up(self, text: str | None = None) -> int:
        if text is not None:
            self._complain(text)
        self._notes.complete(False)
        name = self._folder.name
        _say(f"MLflow is behind; `gatesearch mirror {name}` fills it in, and so does a resume")
        return _BEHIND


def _command(folder: Path, uri: str | None, *more: str) -> list[str]:
    # -P: nothing in the folder that the user happens to be in is imported.
    command = [sys.executable, "-P", "-m", "search.tracking.follower", str(folder.resolve()), *more]
    return command if uri is None else [*command, "--uri", uri]


@contextmanager
def _only_one(folder: Path, patience: float) -> Iterator[bool]:
    """Hold the job's mirror lock; yields False if another mirror keeps it."""
    until = time.monotonic() + patience
    with (folder / LOCK).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= until:
                    yield False
                    return
                time.sleep(0.2)
        yield True


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main())
