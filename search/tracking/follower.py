"""The process of the MLflow mirror: it follows a job's journal and sends what is new to MLflow.

    python -m search.tracking.follower RUNS/NAME [--uri URI] [--follow-pid DRIVER]

It only reads the journal, which is the truth, and may be killed at any moment: the next mirror
finds out what MLflow has and adds what is missing.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

from search.job.folder import BEST, JOB_FILE, JOURNAL, MODELS, REPORT, RESULTS, TABLES
from search.journal.at_work import is_driver_at_work
from search.journal.base import JournalError
from search.journal.open import open_reader
from search.process import watch
from search.tracking import mlflow_compat
from search.tracking.database import DATABASE, LOCAL_URI, prepare
from search.tracking.errors import LostError, RefusedError, ServerError, UnavailableError
from search.tracking.followed import Followed, folder_at, job_id_in, place_of
from search.tracking.registry import MODEL
from search.tracking.runs import JobRuns
from search.tracking.server import Server
from search.tracking.state import JOB_KEY, TRACKING, StateFile
from search.tracking.verdict import told_verdict
from spaces.errors import GatesearchError
from trainables.files import is_inside, lock_taken, open_own
from trainables.patience import PATIENCE
from trainables.scratch import remove_stale_folders

LOCAL_LINGER = 10.0  #: seconds, where nothing is away: the database is on this machine

_HAND_OVER = 60.0  # seconds to wait for the mirror of a former driver to end
_ROUND = 5.0  # seconds between two rounds, at least: a run's requests cost the same however full
_FIRST_PAUSE = 2.0  # seconds before the second attempt to reach a server; each doubles the next one
_POLL = 0.5  # seconds between two looks at whether the driver or the job has ended
_LONGEST_PAUSE = 16.0  # seconds between two attempts to reach a server
_ATTEMPTS = 3  # to store a file
#: Folder and name of what is stored with the job's run: the first at once, all at the end.
_FILES = (
    (None, JOB_FILE),
    (None, REPORT),
    (None, RESULTS),
    (BEST, "config.yaml"),
    (BEST, "card.md"),
)


class ExitCode(IntEnum):
    """How the process ends."""

    COMPLETE = 0  #: everything is in MLflow, or another mirror is responsible for it
    BEHIND = 1  #: something is missing in MLflow
    BUSY = 3  #: another mirror is at work on the job
    REFUSED = 4  #: the folder cannot be mirrored


def main(arguments: list[str] | None = None) -> int:
    """Run a mirror until everything is sent. Returns an ExitCode."""
    parser = argparse.ArgumentParser(prog="python -m search.tracking.follower", description=__doc__)
    parser.add_argument("folder", type=Path, help="the job's folder")
    parser.add_argument("--uri", help="of the MLflow server; default: SQLite beside the folder")
    parser.add_argument("--follow-pid", type=int, help="go on for as long as this process lives")
    parser.add_argument("--linger", type=float, help="seconds to go on after that")
    parser.add_argument("--name", default=TRACKING, help="begins the names of its files")
    parser.add_argument("--rebuild", action="store_true", help="delete the job's runs first")
    parser.add_argument("--prepare", action="store_true", help="only make the local database")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    root = folder if options.prepare else folder.parent
    os.chdir(root)
    os.nice(10 if options.follow_pid is None else 19)  # trials come first: Ray's workers have 15
    with mlflow_compat.environment():
        if options.prepare:
            prepare(root)
            return ExitCode.COMPLETE
        alive = None if options.follow_pid is None else watch(options.follow_pid)
        lock = folder / f"{options.name}.lock"
        with _only_one(lock, 0.0 if alive is None else _HAND_OVER) as alone:
            if not alone:
                _log("another mirror is at work on this job")
                return ExitCode.BUSY
            uri = options.uri or LOCAL_URI
            linger = _linger(uri) if options.linger is None else options.linger
            state = StateFile(folder, options.name)
            linger = linger if alive else 0.0
            follower = Follower(folder, uri, options.follow_pid, alive, linger, state=state)
            follower.rebuild = options.rebuild
            return follower.run()


def run() -> int:
    """Run `main`; what a person can act on becomes one line."""
    try:
        return main()
    except GatesearchError as error:
        _log(" ".join(str(error).split()))
        return ExitCode.REFUSED
    finally:
        remove_stale_folders()  # the driver's, where it was killed: nobody else may come for long


def _linger(uri: str) -> float:
    """Return for how many seconds a mirror goes on trying after its driver's end."""
    return LOCAL_LINGER if uri == LOCAL_URI else PATIENCE


class Follower:
    """Reads the journal, sends what is new to the server, and decides when to stop."""

    def __init__(
        self,
        folder: Path,
        uri: str,
        driver_pid: int | None,
        driver_alive: Callable[[], bool] | None,
        linger: float,
        open_client: Callable[[str], Any] = mlflow_compat.open_client,
        *,
        state: StateFile | None = None,
    ) -> None:
        """Prepare to mirror the job in a folder.

        driver_pid, driver_alive: the driver to follow, and whether it lives; None to send once what
        the journal holds. linger: seconds to go on after the driver's end while the server is away.
        """
        self._folder = folder
        self._uri = uri
        self._driver_pid = driver_pid
        self._driver_alive = driver_alive
        self._linger = linger
        self._open_client = open_client
        self._state = state or StateFile(folder)
        local = [folder.parent / DATABASE] if uri == LOCAL_URI else []
        self._followed = Followed([folder, folder / JOURNAL, *local])
        self.rebuild = False  #: whether the job's runs in MLflow are deleted before they are sent
        self._start_over()

    def _start_over(self) -> None:
        """Forget what was read and sent, and go back to the journal's first line."""
        self._reader = open_reader(self._folder, patience=PATIENCE)
        self._runs = JobRuns()
        root = self._folder.parent
        self._server = Server(self._uri, root, self._state, self._open_client)
        self._file_attempts: Counter[str] = Counter()  # by name
        self._refused = False  # whether the server has refused something
        self._driver_seen = False  # whether the journal names the driver that we follow
        self._copied = False  # whether the folder is a copy of another one with the same job

    def run(self) -> int:
        """Follow the job to its end. Returns an ExitCode."""
        deadline: float | None = None
        failures = 0
        while True:
            began = time.monotonic()
            if self._followed.gone():
                return self._end_gone()
            try:
                alive = self._driver_lives()  # asked first: its last records are then read
                self._read()
            except JournalError as error:
                self._runs.set_driven(False)
                self._send(last=True)
                self._record_error(str(error))
                return self._end_behind()
            if self._another_driver():
                _log("another driver has taken the job over, and its own mirror goes on")
                return ExitCode.COMPLETE
            # A driver writes the end of the job into the journal a moment before it ends itself.
            done = self._job_done
            last = self._driver_alive is None or not alive or done
            self._runs.set_driven(alive)
            failures = 0 if self._send(last=last) else min(failures + 1, 9)  # 2.0**1024 overflows
            if last and not failures:
                self._state.record_end(not self._refused)
                return ExitCode.BEHIND if self._refused else ExitCode.COMPLETE
            if last:
                deadline = deadline or time.monotonic() + self._linger
                if time.monotonic() >= deadline:
                    return self._end_behind()
            longest = _ROUND if last else _LONGEST_PAUSE  # last: a person waits for the job's end
            pause = min(_FIRST_PAUSE * 2 ** (failures - 1), longest) if failures else _ROUND
            self._pause(max(pause, time.monotonic() - began), alive=alive, done=done)

    def _pause(self, seconds: float, *, alive: bool, done: bool) -> None:
        """Sleep, but no longer than until the driver ends or the job is done."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._followed.gone():
            if alive and (not self._driver_lives() or (not done and self._done_meanwhile())):
                break
            time.sleep(min(left, _POLL))

    def _done_meanwhile(self) -> bool:
        with suppress(JournalError):  # the next round meets it again
            self._read()
        return self._job_done

    @property
    def _job_done(self) -> bool:
        """Whether the driver that we follow has finished the job."""
        return self._driver_seen and self._runs.done

    def _read(self) -> None:
        try:
            for group in self._reader.groups():
                self._runs.apply(group)
        except FileNotFoundError:
            return  # the driver has not written its first record yet
        driver = self._runs.job_state.driver
        if driver is not None and driver[0] == self._driver_pid:
            self._driver_seen = True

    def _driver_lives(self) -> bool:
        if self._driver_alive is not None:
            return self._driver_alive()
        if self._runs.job_state.driver is None:
            self._read()
        return is_driver_at_work(self._runs.job_state, self._folder)

    def _another_driver(self) -> bool:
        driver = self._runs.job_state.driver
        return self._driver_seen and driver is not None and driver[0] != self._driver_pid

    def _send(self, *, last: bool) -> bool:
        """Send what is new. Returns whether the server was there; last: in the last round."""
        try:
            self._send_changes()
            if last:
                self._server.delete_surplus()
        except LostError as error:
            self._record_error(f"{error}; all runs are sent again from the beginning")
            self._start_over()
            return False
        except UnavailableError as error:
            self._record_error(str(error))
            return False
        except RefusedError as error:  # the experiment itself
            self._record_refusal(str(error))
        if not self._refused:
            self._state.record_error(None)
        return True

    def _send_changes(self) -> None:
        """Send the runs that changed and the files. What fails stays in `changed`."""
        runs = self._runs
        if runs.job is None:
            return
        if runs.done and (verdict := told_verdict(self._folder)) is not None:
            runs.set_verdict(verdict)
        self._server.connect(runs.name, runs.job_state.job_id)
        if self._is_copy():
            return
        if self.rebuild:
            self._server.delete_runs()
            self.rebuild = False
        if not self._server.has_job:
            with self._refusal_recorded(JOB_KEY):
                self._server.send(runs.job, runs.data_set)
        if not self._server.has_job:  # all others are its children
            return
        with self._refusal_recorded("the experiment's tags"):
            self._server.send_experiment(runs.experiment_tags)
        self._send_runs()
        self._store_files()

    def _send_runs(self) -> None:
        """Send the runs that changed, several at once where the server takes them.

        At the first request that is not answered, those that have not begun are left for later.
        """
        runs, away = self._runs, threading.Event()

        def send(key: str) -> None:
            if away.is_set():
                return
            try:
                with self._refusal_recorded(key):
                    self._server.send(runs.changed[key], runs.data_set)
            except ServerError:
                away.set()
                raise
            del runs.changed[key]

        keys = list(runs.changed)
        if self._server.connections == 1:
            for key in keys:
                send(key)
            return
        with ThreadPoolExecutor(self._server.connections) as pool:
            list(pool.map(send, keys))

    def _is_copy(self) -> bool:
        """Return whether the job's runs are another folder's, which this one was copied from.

        Only in one of them can the job go on. Where the other is no more, this one was moved.
        """
        assert self._runs.job is not None
        own = place_of(self._folder, self._uri)
        other = folder_at(self._server.job_folder, self._folder, self._uri)
        if other is not None and not self._copied:
            self._copied = job_id_in(other) == self._runs.job_state.job_id
        if self._copied:
            self._record_refusal(
                f"MLflow's runs of this job are those of {other}, of which this folder is a copy: "
                "run the job under another name, or remove one of the two"
            )
        else:
            self._server.claim(self._runs.job, own)
        return self._copied

    def _store_files(self) -> None:
        """Store the job file and, at the end, the report, its tables and the exported models."""
        done, folder, server = self._runs.done, self._folder, self._server
        for below, name in _FILES if done else _FILES[:1]:
            self._store(folder / (below or "") / name, partial(server.store_file, folder=below))
        if not done:
            return
        for path in sorted((folder / TABLES).glob("*.csv")):
            self._store(path, partial(server.store_file, folder=TABLES))
        best = folder / BEST / MODEL
        chosen = best.read_bytes() if is_inside(best, folder) else None
        for path in sorted((folder / MODELS).glob(f"*/{MODEL}")):
            champion = chosen is not None and path.read_bytes() == chosen
            self._store(path, partial(server.register_model, champion=champion))

    def _store(self, path: Path, send: Callable[[Path], None]) -> None:
        """Have the server store a file, if it is there: a few times, if that fails."""
        name = path.relative_to(self._folder).as_posix()
        if not is_inside(path, self._folder) or self._file_attempts[name] >= _ATTEMPTS:
            return
        try:
            send(path)
        except RefusedError as error:
            self._file_attempts[name] = _ATTEMPTS
            self._record_refusal(f"{name} is not stored: {error}")
        except UnavailableError as error:
            self._file_attempts[name] += 1
            if self._file_attempts[name] < _ATTEMPTS:
                raise
            self._record_refusal(f"{name} is not stored: {error}")

    @contextmanager
    def _refusal_recorded(self, what: str) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            self._record_refusal(f"{what}: {error}")

    def _record_refusal(self, text: str) -> None:
        self._refused = True
        self._record_error(text)

    def _record_error(self, text: str) -> None:
        text = " ".join(text.split())[:1_000]
        self._state.record_error(text)
        _log(text)

    def _end_gone(self) -> int:
        """End, since the folder, the journal or the database is not the one that was followed."""
        self._record_error("what was mirrored is gone, or something else is in its place")
        return ExitCode.BEHIND

    def _end_behind(self) -> int:
        self._state.record_end(False)
        name = self._folder.name
        _log(f"MLflow is behind: `gatesearch mirror {name}` or a resume sends what is missing")
        return ExitCode.BEHIND


@contextmanager
def _only_one(place: Path, patience: float) -> Iterator[bool]:
    """Hold the job's mirror lock; yield False if another mirror holds it after so many seconds."""
    until = time.monotonic() + patience
    with os.fdopen(open_own(place, os.O_RDWR | os.O_CREAT), "a") as lock:
        while not (taken := lock_taken(lock.fileno(), place)):
            if time.monotonic() >= until:
                break
            time.sleep(0.2)
        yield taken


def _log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(run())
