"""The job journal in PostgreSQL: one row a group, for jobs that outlive the machine they run on.

    gatesearch_journal(job, number, writer, line)       primary key (job, number)

`line` is what the file has, without its newline: `SELECT line … ORDER BY number` is a job.journal.
A job is known by its name: databases (or schemas, chosen by `options=-csearch_path=…` in the URL)
are shared by people who do not give one name to two jobs.

One writer: a session's advisory lock, which the server frees when the driver dies, and the primary
key as fence. A group is one INSERT; after a lost connection it is simply sent again, since a row of
that number by the same writer is the group itself, arrived before the connection broke. Advisory
locks need a connection of one's own: a pooler between must pool sessions, not transactions.

Passwords come from where libpq looks for them: PGPASSWORD, PGPASSFILE, ~/.pgpass.
"""

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from psycopg2 import errors

from search.journal.base import (
    BaseJournal,
    BaseReader,
    Group,
    JournalBusyError,
    JournalError,
    JournalFencedError,
    decode,
)
from search.journal.postgres_connection import TABLE, connect, disconnect, patiently
from spaces.text import mask
from trainables.patience import PATIENCE

_CREATE = f"""
    CREATE TABLE IF NOT EXISTS {TABLE} (
        job text NOT NULL, number bigint NOT NULL, writer text NOT NULL, line text NOT NULL,
        PRIMARY KEY (job, number)
    )"""
_LOCK_SECONDS = 2.0  # for the server to notice that the former driver has died
_ROWS = 2_000  # that a reader fetches at once


def job_names(url: str) -> list[str]:
    """Return the names of the jobs whose journals a database has. Raises JournalError."""

    def ask() -> list[str]:
        reading = closing(connect(url, "gatesearch reader"))
        with reading as connection, connection.cursor() as cursor, suppress(errors.UndefinedTable):
            cursor.execute(f"SELECT DISTINCT job FROM {TABLE} ORDER BY job")
            return [name for (name,) in cursor.fetchall()]
        return []

    return patiently(ask, lambda: None, 0.0, url)


class PostgresReader(BaseReader):
    """Reads a job's journal in PostgreSQL."""

    def __init__(self, url: str, job: str, *, patience: float = 0.0) -> None:
        """Patience: seconds to go on trying when the server is away; then JournalAwayError."""
        self._url = url
        self._job = job
        self._patience = patience
        self._number = 0  # of the last group read
        self._connection: Any = None

    def exists(self) -> bool:
        """Return whether the job has a row."""
        return bool(self._fetch(1, 1))

    def groups(self) -> Iterator[Group]:
        """Yield the groups that are new since the last call."""
        while rows := self._fetch(self._number + 1, _ROWS):
            for number, line in rows:
                self._number = _next(self._url, self._job, self._number, number)
                yield _decoded(self._url, self._job, number, line)
            if len(rows) < _ROWS:
                return

    def _fetch(self, first: int, most: int) -> list[tuple[int, str]]:
        def fetch() -> list[tuple[int, str]]:
            if self._connection is None:
                self._connection = connect(self._url, "gatesearch reader")
            try:
                return _rows(self._connection, self._job, first, most)
            except errors.UndefinedTable:
                return []

        return patiently(fetch, self._drop, self._patience, self._url)

    def _drop(self) -> None:
        disconnect(self._connection)
        self._connection = None

    def close(self) -> None:
        """Close the connection; the next look opens another."""
        self._drop()


class PostgresJournal(BaseJournal):
    """The driver's end of a journal in PostgreSQL."""

    def __init__(self, url: str, job: str, *, patience: float = PATIENCE) -> None:
        """Open for writing, making the table if need be.

        patience: seconds for which a commit goes on trying when the server has gone away.
        Raises JournalBusyError, JournalAwayError or JournalError.
        """
        self._url = url
        self._job = job
        self._patience = patience
        self._writer = secrets.token_hex(16)
        self._connection: Any = None
        self._session: tuple[int, Any] | None = None  # the backend's pid and when it started
        self._former = 0  # the pid of the session before
        self._opened = False
        self._last = 0  # number of the last group
        try:
            history = patiently(self._take_over, self._drop, 0.0, url)
        except BaseException:
            self._drop()
            raise
        self._opened = True
        super().__init__(f"job {job!r} in {mask(url)}", history)

    def _take_over(self) -> list[Group]:
        self._connect()
        with closing(PostgresReader(self._url, self._job)) as reader:
            history = reader.read()
        self._last = len(history)
        return history

    def _store(self, line: bytes, *, flush: bool) -> None:
        number, text = self._last + 1, line.decode().rstrip("\n")

        def insert() -> None:
            if self._connection is None:
                self._connect()
            statement = f"INSERT INTO {TABLE} (job, number, writer, line) VALUES (%s, %s, %s, %s)"
            with self._connection.cursor() as cursor:
                try:
                    cursor.execute(statement, (self._job, number, self._writer, text))
                except errors.UniqueViolation:
                    query = f"SELECT writer FROM {TABLE} WHERE job = %s AND number = %s"
                    cursor.execute(query, (self._job, number))
                    if cursor.fetchone() != (self._writer,):
                        raise self._superseded() from None

        patiently(insert, self._drop, self._patience, self._url)
        self._last = number

    def _connect(self) -> None:
        """Connect, see to the table, and take the job's lock."""
        # The host last: the server cuts a name after 63 bytes.
        name = f"gatesearch process {os.getpid()} on {socket.gethostname()}"
        self._connection = connect(self._url, name)
        with self._connection.cursor() as cursor:
            if self._session is not None:
                # Our former connection may be dead on our side only: its lock, and a statement of
                # it that still runs, must not outlive it.
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND backend_start = %s",
                    self._session,
                )
                self._former = self._session[0]
            cursor.execute(
                "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            )
            self._session = cursor.fetchone()
            self._lock(cursor, _table(cursor))

    def _lock(self, cursor: Any, table: int) -> None:
        """Take the job's lock. Raises JournalBusyError, or JournalFencedError if it was ours."""
        key = _lock_key(table, self._job)
        began = time.monotonic()
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,))
            if cursor.fetchone() == (True,):
                return
            pid, holder = _holder(cursor, key)
            own = pid == self._former  # it ends as soon as its last statement does
            if time.monotonic() - began >= (self._patience if own else _LOCK_SECONDS):
                break
            time.sleep(0.05)
        if self._opened:
            raise self._superseded()
        raise JournalBusyError(
            f"Job {self._job!r} in {mask(self._url)} is being run by {holder}. Wait for it or stop "
            "it first; `gatesearch results` and `gatesearch compare` may be used meanwhile."
        )

    def _superseded(self) -> JournalFencedError:
        return JournalFencedError(
            f"Job {self._job!r} in {mask(self._url)} was taken over by another driver. This one "
            "stops; the other one goes on with the job."
        )

    def _drop(self) -> None:
        disconnect(self._connection)
        self._connection = None

    def close(self) -> None:
        """Release the job. What was not committed is dropped."""
        self._drop()


def _table(cursor: Any) -> int:
    """Return the table's object id; make it where there is none."""
    find = "SELECT to_regclass(%s)::oid::bigint"
    cursor.execute(find, (TABLE,))
    (found,) = cursor.fetchone()
    if found is None:
        # Another job may make it at this moment; what that looks like depends on how far it is.
        with suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
            cursor.execute(_CREATE)
        cursor.execute(find, (TABLE,))
        (found,) = cursor.fetchone()
    return int(found)


def _rows(connection: Any, job: str, first: int, most: int) -> list[tuple[int, str]]:
    query = (
        f"SELECT number, line FROM {TABLE} WHERE job = %s AND number >= %s ORDER BY number LIMIT %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, (job, first, most))
        rows: list[tuple[int, str]] = cursor.fetchall()
        return rows


def _next(url: str, job: str, last: int, number: int) -> int:
    if number != last + 1:
        raise JournalError(
            f"Job {job!r} in {mask(url)}: groups {last + 1} to {number - 1} of its journal are "
            "missing. Restore the table from a backup, or start the job under another name."
        )
    return number


def _decoded(url: str, job: str, number: int, line: str) -> Group:
    group = decode(line.encode() + b"\n")
    if group is None:
        raise JournalError(
            f"Job {job!r} in {mask(url)}: group {number} of its journal was changed. Restore the "
            "table from a backup, or start the job under another name."
        )
    return group


def _lock_key(table: int, job: str) -> int:
    digest = hashlib.sha256(f"gatesearch/{table}/{job}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _holder(cursor: Any, key: int) -> tuple[int, str]:
    """Return the session that holds the lock, and whose it is as far as this user may know."""
    cursor.execute(
        "SELECT pid, application_name FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND (classid::bigint << 32 | objid::bigint) = %s",
        (key,),
    )
    pid, name = cursor.fetchone() or (-1, None)
    known = str(name).startswith("gatesearch ")
    return pid, str(name).removeprefix("gatesearch ") if known else "another process"
