"""Connections to PostgreSQL: how they are made, and what is done while a server is away."""

import re
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import libpq_version

from search.journal.base import JournalAwayError, JournalError, JournalFullError
from spaces.fields import Fault
from spaces.text import mask
from trainables.patience import Patience

TABLE = "gatesearch_journal"

_CONNECT_SECONDS = 10

#: Beginnings of SQLSTATEs of what passes by itself: the server restarts, fails over, has no
#: connection left, or broke a statement off.
_PASSING = ("08", "40", "57P", "57014", "25006", "53300", "55P03")
_NO_ROOM = ("53", "54")


#: What a server says to a connection that it refuses, and what to do about it.
_REMEDIES = (
    (
        r"authentication method requirement",
        "have the server ask by SCRAM (password_encryption = scram-sha-256, and scram-sha-256 in "
        "pg_hba.conf), or allow what it asks for in the URL: ?require_auth=md5",
    ),
    (
        r"password|authentication|no pg_hba",
        "set PGPASSWORD or PGPASSFILE in the environment, and check the user in the URL",
    ),
    (r'database "[^"]*" does not exist', "make the database (createdb), or name another"),
    (r'role "[^"]*" does not exist', "name a user of the server: postgresql://USER@host/database"),
    (r"\bSSL\b|certificate", "check sslmode and sslrootcert in the URL"),
    (
        r"refused|timeout|timed out|translate|route|unreachable|No such file|resolve",
        "start the server, or correct host and port; it must be reached from where the job runs",
    ),
)

#: A password never goes to a server in clear, or as good as that: a job file may name any server.
#: A URL may allow it again (require_auth=password). libpq knows the option since version 16.
_AUTHENTICATION = {"require_auth": "!password,!md5"} if libpq_version() >= 160_000 else {}

_T = TypeVar("_T")


def connect(url: str, name: str) -> Any:
    connection = psycopg2.connect(
        url,
        application_name=name.encode(errors="replace")[:63].decode(errors="ignore"),
        client_encoding="UTF8",
        **{
            option: value
            for option, value in {
                "connect_timeout": _CONNECT_SECONDS,
                # A server that vanishes is noticed here within half a minute, and so are we there.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                **_AUTHENTICATION,
            }.items()
            if f"{option}=" not in url
        },
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        for option, value in (("idle", 10), ("interval", 5), ("count", 3)):
            cursor.execute(f"SET tcp_keepalives_{option} = {value}")
        # A commit that is only in the server's memory is none; stronger settings are kept.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
    return connection


def disconnect(connection: Any) -> None:
    """Close a connection that may be broken, or None."""
    if connection is not None:
        with suppress(psycopg2.Error):
            connection.close()


def patiently(do: Callable[[], _T], drop: Callable[[], None], patience: float, url: str) -> _T:
    """Do it, and after errors that pass by themselves connect again and redo it.

    drop: closes the connection, so that the next attempt makes a new one.
    """
    where = f"the journal in {mask(url)}"

    def away(error: Exception) -> str | None:
        if not isinstance(error, psycopg2.Error):
            return None
        drop()
        return f"{where}: {_said(error)}" if _passes(error) else None

    try:
        return Patience(patience)(do, away)
    except psycopg2.Error as error:
        if _passes(error):
            waited = f" for {patience:.0f} s" if patience else ""
            raise JournalAwayError(
                f"T{where[1:]} could not be reached{waited}: {_said(error)}. Nothing that was "
                "stored is lost: resume the job once the server answers."
            ) from None
        if error.pgcode is not None and error.pgcode.startswith(_NO_ROOM):
            raise JournalFullError(
                f"T{where[1:]} could not grow: {_said(error)}. Everything before is kept: make "
                "room on the server, then resume the job."
            ) from None
        raise JournalError(f"T{where[1:]} cannot be used: {_said(error)}") from None


def _passes(error: psycopg2.Error) -> bool:
    """Return whether an error is of a server that is away, failing over or restarting."""
    if error.pgcode is None:
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return str(error.pgcode).startswith(_PASSING)


def _said(error: psycopg2.Error) -> str:
    """Return the server's or the library's message in one line, without passwords."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fatal = [line.partition("FATAL: ")[2].strip() for line in lines if "FATAL: " in line]
    return mask((fatal or lines or [type(error).__name__])[0])[:500].rstrip(".")


def faults(url: str) -> list[Fault]:
    """Return why a job could not keep its journal there, if so. Makes nothing."""
    try:
        with (
            closing(connect(url, "gatesearch check")) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT current_user, current_database(), current_schema(),"
                " current_setting('transaction_read_only') = 'on', to_regclass(%s) IS NOT NULL",
                (TABLE,),
            )
            user, database, schema, read_only, made = cursor.fetchone()
            if read_only:
                rule = f"the journal must be written to; {database!r} is read-only"
                return [Fault(rule, "name the primary server, or add target_session_attrs=primary")]
            if schema is None:
                rule = f"the journal's table needs a schema; {user!r} has none in {database!r}"
                return [Fault(rule, f"GRANT USAGE, CREATE ON SCHEMA public TO {user}")]
            if made:
                need, subject, right = "SELECT, INSERT", TABLE, "table"
            else:
                need, subject, right = "CREATE", f"SCHEMA {schema}", "schema"
            cursor.execute(
                f"SELECT bool_and(has_{right}_privilege(%s, need))"
                " FROM unnest(string_to_array(%s, ', ')) AS need",
                (TABLE if made else schema, need),
            )
            if cursor.fetchone() == (True,):
                return []
            rule = f"the user {user!r} may not write a journal into {database!r}"
            return [Fault(rule, f"GRANT {need} ON {subject} TO {user}, or name another user")]
    except psycopg2.Error as error:
        said = _said(error)
        remedy = "correct the URL: postgresql://user@host:port/database"
        if isinstance(error, psycopg2.OperationalError):
            remedy = "see the message; the server's log may say more"
        rule = f"{mask(url)} must take the job's journal; it says: {said}"
        return [Fault(rule, remedy_of(said, remedy))]


def remedy_of(said: str, otherwise: str) -> str:
    """Return what to do about what a server or the library says of a connection."""
    return next((r for pattern, r in _REMEDIES if re.search(pattern, said, re.I)), otherwise)
