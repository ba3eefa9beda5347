"""Where a queue is kept, as its store needs it, and the one in a file: SQLite, with one process.

The other one is PostgreSQL: postgres.py. Statements are written once, for both: `?` and `:name`
stand for values, {whole} for the type of a whole number and {serial} for the key that counts.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from deploy.errors import ClusterError, QueueAwayError

DATABASE, LOCK = "queue.db", "queue.lock"
Values = Sequence[Any] | Mapping[str, Any]


class Database(Protocol):
    """A database that this process alone writes to."""

    threads: threading.RLock  #: is held by whoever uses it

    def execute(self, statement: str, values: Values = ()) -> list[Any]:
        """Run a statement; return its rows, whose values are had by number and by name."""

    def begin(self) -> None:
        """Begin a step, which is done whole or not at all; it is on the disk after `commit`."""

    def commit(self) -> None:
        """End a step."""

    def rollback(self) -> None:
        """Undo a step."""

    def close(self) -> None:
        """Give the queue back."""


class SqliteDatabase:
    """A queue in a file of a folder."""

    def __init__(self, folder: Path, tables: str, version: int) -> None:
        """Open it, and make its tables where it is new.

        Raises ClusterError where another process has it, and for a folder or a file that is no use.
        """
        self.threads = threading.RLock()
        path = folder / DATABASE
        with ExitStack() as undo:
            try:
                folder.mkdir(parents=True, mode=0o700, exist_ok=True)
                self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, self._lock)
                _hold(self._lock, folder)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                undo.callback(self._db.close)
                self._prepare(path, tables, version)
            except OSError as error:
                place = str(error.filename or folder)
                rule = f"the queue's folder must be one that it can write to ({error.strerror})"
                remedy = "mend that, or name another service's folder in GATESEARCH_SERVICE"
                raise ClusterError(place, rule, remedy) from error
            except sqlite3.DatabaseError as error:
                rule = f"the queue's file must be a whole SQLite database ({error})"
                remedy = "restore it from a backup, or move it away to start with an empty queue"
                raise ClusterError(str(path), rule, remedy) from error
            undo.pop_all()

    def _prepare(self, path: Path, tables: str, version: int) -> None:
        """Check the file, and make its tables where it is new. Raises sqlite3.DatabaseError."""
        self._db.row_factory = sqlite3.Row
        self.execute("PRAGMA synchronous = FULL")
        found = self.execute("PRAGMA user_version")[0][0]
        if found not in (0, version):
            raise other_version(str(path), version, found)
        if (faults := self.execute("PRAGMA quick_check(1)")[0][0]) != "ok":
            raise sqlite3.DatabaseError(" ".join(faults.split()))
        if found == 0:
            self.begin()
            for statement in statements(tables, whole="INTEGER", serial="INTEGER PRIMARY KEY"):
                self.execute(statement)
            self.execute(f"PRAGMA user_version = {version}")
            self.commit()

    def execute(self, statement: str, values: Values = ()) -> list[Any]:
        return self._db.execute(statement, values).fetchall()

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        self._db.execute("ROLLBACK")

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)


def _hold(lock: int, folder: Path) -> None:
    """Take the lock of a queue's folder. Raises ClusterError where another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise taken(str(folder), error.strerror) from error


def taken(place: str, who: str | None) -> ClusterError:
    """Return the error where another process has the queue."""
    rule = f"a queue must have one process; another one has it ({who})"
    return QueueAwayError.refused(place, rule, "end the other one first")


def other_version(place: str, version: int, found: object) -> ClusterError:
    """Return the error for a queue that another version wrote."""
    rule = f"the queue must be of version {version}, not {found}"
    return ClusterError.refused(place, rule, "use the gatesearch that wrote it")


def statements(tables: str, *, whole: str, serial: str) -> list[str]:
    """Return the statements that make the tables."""
    return [each for each in tables.format(whole=whole, serial=serial).split(";") if each.strip()]
