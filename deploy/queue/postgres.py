"""A queue in PostgreSQL, in the schema gatesearch_queue of a database: jobs, packages and key.

One process writes: it holds an advisory lock for as long as its connection lasts, and writes
through that connection alone. Locks need a connection of one's own: a pooler between must pool
sessions, not transactions. While the server is away every request says so, and the dispatcher asks
again each second; a step whose commit was not answered has happened or not, which all steps bear.

Passwords come from where libpq looks for them: PGPASSWORD, PGPASSFILE, ~/.pgpass.
"""

import re
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extensions import libpq_version
from psycopg2.extras import DictCursor

from deploy.errors import ClusterError, QueueAwayError
from deploy.queue.database import Values, other_version, statements, taken
from deploy.queue.packages import UNUSED_SECONDS, check_content, check_package_name, gone
from deploy.queue.users import KEY_BYTES

_NAME = "gatesearch queue"  # of the connection
SCHEMA = "gatesearch_queue"
_TABLES = """
CREATE TABLE packages (sha256 TEXT PRIMARY KEY, content BYTEA NOT NULL, sent {whole} NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value BYTEA NOT NULL)
"""
_LOCK = 0x67617465_71756575  # "gatequeu"
_LOCK_SECONDS = 3.0  # for the server to notice that the former process has died
#: A server that vanishes is noticed soon; no password goes to one in clear, or as good as that,
#: unless the URL allows it (require_auth). libpq knows the option since version 16.
_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
} | ({"require_auth": "!password,!md5"} if libpq_version() >= 160_000 else {})


class PostgresDatabase:
    """A queue in a database of PostgreSQL; see Database."""

    def __init__(self, url: str, tables: str, version: int) -> None:
        """Open it, and make its tables where it is new. url: without a password.

        Raises ClusterError where another process has it, or the server does not answer.
        """
        self.threads = threading.RLock()
        self._url = url
        self._connection: Any = None
        self._session: tuple[int, Any] | None = None  # the backend's pid and when it started
        self._inside = False  # a step that has begun
        try:
            self._prepare(tables, version)
        except BaseException:
            self.close()
            raise

    def _prepare(self, tables: str, version: int) -> None:
        self.begin()
        found = self.execute("SELECT to_regclass(?)", (f"{SCHEMA}.settings",))[0][0]
        if found is None:
            whole, serial = "BIGINT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            for statement in statements(f"{tables};{_TABLES}", whole=whole, serial=serial):
                self.execute(statement)
            add = "INSERT INTO settings VALUES (?, ?)"
            self.execute(add, ("version", str(version).encode()))
            self.execute(add, ("key", secrets.token_bytes(KEY_BYTES)))
        if (written := int(self._setting("version"))) != version:
            raise other_version(self._url, version, written)
        self.commit()

    def key(self) -> bytes:
        """Return the key that the queue's tokens are signed with."""
        with self.threads:
            return self._setting("key")

    def _setting(self, name: str) -> bytes:
        return bytes(self.execute("SELECT value FROM settings WHERE name = ?", (name,))[0][0])

    def execute(self, statement: str, values: Values = ()) -> list[Any]:
        statement = re.sub(r":([a-z_]+)", r"%(\1)s", statement).replace("?", "%s")
        fresh = self._connection is None
        # A connection may have died while it was idle; a server that is away is asked once.
        for last in (self._inside or fresh, True):
            try:
                if self._connection is None:
                    self._connect()
                with self._connection.cursor() as cursor:
                    cursor.execute(statement, _adapted(values))
                    return cursor.fetchall() if cursor.description else []
            except psycopg2.Error as error:
                lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
                if lost:
                    self._drop()
                if last or not lost:
                    raise self._problem(error) from None  # its context may hold the password
        raise AssertionError

    def begin(self) -> None:
        self.execute("BEGIN")
        self._inside = True

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        finally:
            self._inside = False

    def rollback(self) -> None:
        try:
            if self._connection is not None:  # otherwise it is undone
                self.execute("ROLLBACK")
        finally:
            self._inside = False

    def close(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        """Connect and take the queue's lock. Raises ClusterError where another process has it."""
        if self._inside:  # a step must not go on in another connection
            raise psycopg2.OperationalError("the connection broke in the middle of a step")
        try:
            self._connection = self._connected()
            with self._connection.cursor() as cursor:
                self._take_over(cursor)
        except BaseException:
            self._drop()  # nothing is written without the lock
            raise

    def _connected(self) -> Any:
        options = {name: value for name, value in _OPTIONS.items() if f"{name}=" not in self._url}
        connection = psycopg2.connect(
            self._url,
            application_name=_NAME,
            client_encoding="UTF8",
            cursor_factory=DictCursor,
            **options,
        )
        connection.autocommit = True
        return connection

    def _take_over(self, cursor: Any) -> None:
        if self._session is not None:
            # Our former connection may be dead on our side only; its lock must not outlive it.
            # A pooler may have given its session to another program, or to us again.
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = %s AND backend_start = %s AND application_name = %s"
                " AND pid <> pg_backend_pid()",
                (*self._session, _NAME),
            )
        cursor.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        self._session = tuple(cursor.fetchone())
        self._hold(cursor)
        cursor.execute("SELECT to_regnamespace(%s)", (SCHEMA,))
        if cursor.fetchone()[0] is None:  # a role that owns the schema alone may make none
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        cursor.execute(f"SET search_path = {SCHEMA}")
        # A commit that is only in the server's memory is none.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )

    def _hold(self, cursor: Any) -> None:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
            if cursor.fetchone()[0]:
                return
            if time.monotonic() > until:
                raise taken(self._url, "it holds the database's lock")
            time.sleep(0.05)

    def _problem(self, error: psycopg2.Error) -> ClusterError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        refused = [line for line in lines if "password" in line or "no pg_hba" in line]
        said = (refused or lines or [type(error).__name__])[0][:300]
        remedy = "see to the server and to the role's rights; what was stored is kept"
        if "authentication method requirement" in said:
            remedy = "have the server ask by SCRAM, or allow its way in the URL: ?require_auth=md5"
        elif refused:
            remedy = "set PGPASSWORD or PGPASSFILE, and check the user in the URL"
        return QueueAwayError(
            self._url,
            f"the queue's database must answer and be the queue's own to change ({said})",
            remedy,
        )


class PostgresPackages:
    """Packages in the queue's database; see Packages."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def has(self, sha256: str) -> bool:
        check_package_name(sha256)
        return bool(self._run("SELECT 1 FROM packages WHERE sha256 = ?", (sha256,)))

    def put(self, sha256: str, content: bytes) -> None:
        check_content(sha256, content)
        self._run(
            "INSERT INTO packages VALUES (?, ?, ?)"
            " ON CONFLICT (sha256) DO UPDATE SET sent = excluded.sent",
            (sha256, content, int(time.time())),
        )

    def read(self, sha256: str) -> bytes:
        rows = self._run("SELECT content FROM packages WHERE sha256 = ?", (sha256,))
        if not rows:
            raise gone(sha256, "it is not in the database")
        return bytes(rows[0][0])

    def prune(self, needed: Collection[str]) -> None:
        self._run(
            "DELETE FROM packages WHERE sent < ? AND NOT (sha256 = ANY(?))",
            (int(time.time() - UNUSED_SECONDS), list(needed)),
        )

    def _run(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._database.threads:
            return self._database.execute(statement, values)


def _adapted(values: Values) -> Values:
    """Return the values as PostgreSQL takes them: no truth values in numbers, no NUL in texts."""
    if isinstance(values, Mapping):
        return dict(zip(values, _adapted(list(values.values())), strict=True))
    found = [int(each) if isinstance(each, bool) else each for each in values]
    return [each.replace("\0", "") if isinstance(each, str) else each for each in found]
