"""What the queue knows, in a database with one writer, each step one transaction that is synced.

entries     the jobs                        users   who may submit, and their shares
notices     webhooks that are to be told    events  the last steps, in order, for whoever looks in
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from deploy.queue.database import Database
from deploy.queue.entry import ACTIVE, Entry, State
from deploy.queue.fair import Share, Waiting, order

MAX_EVENTS = 100_000  #: that a queue keeps when it is opened
_COLUMNS = tuple(field.name for field in fields(Entry))
VERSION = 1
TABLES = """
CREATE TABLE entries (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, "user" TEXT NOT NULL, priority {whole} NOT NULL,
    position {whole} NOT NULL, state TEXT NOT NULL, root TEXT, digest TEXT NOT NULL,
    job_path TEXT NOT NULL, package TEXT NOT NULL, attempt {whole} NOT NULL, submission TEXT,
    stopping {whole} NOT NULL, failures {whole} NOT NULL, submitted {whole} NOT NULL,
    started {whole}, resumed {whole}, ended {whole}, exit_code {whole}, message TEXT NOT NULL,
    notify TEXT);
CREATE TABLE users (
    name TEXT PRIMARY KEY, number {whole} NOT NULL, admin {whole} NOT NULL,
    weight {whole} NOT NULL, removed {whole} NOT NULL, served {whole} NOT NULL);
CREATE TABLE notices (
    number {serial}, entry TEXT NOT NULL, url TEXT NOT NULL, body TEXT NOT NULL,
    tries {whole} NOT NULL, due {whole} NOT NULL, outcome TEXT);
CREATE TABLE events (
    number {serial}, time {whole} NOT NULL, entry TEXT NOT NULL, "user" TEXT NOT NULL,
    event TEXT NOT NULL)
"""


@dataclass(frozen=True)
class User:
    """Somebody who may use the queue."""

    name: str
    number: int  #: of the token that is good
    admin: bool
    weight: int
    removed: bool
    served: int  #: when one of their jobs was last given a slot, milliseconds since 1970


@dataclass(frozen=True)
class Notice:
    """A webhook that is to be told of a job's end."""

    number: int
    entry: str
    url: str
    body: str  #: JSON
    tries: int
    due: int  #: milliseconds since 1970


class Count(NamedTuple):
    """How many jobs of a user are in a state."""

    user: str
    state: State
    jobs: int
    oldest: int  #: when the first of them was submitted, milliseconds since 1970


def milliseconds() -> int:
    """Return the time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Store:
    """What the queue knows, held by this process alone; its methods may be called from any thread.

    Where its database is PostgreSQL, all of them raise ClusterError while that does not answer.
    """

    def __init__(self, database: Database) -> None:
        """Take a database that was opened with TABLES."""
        self._db, self._threads = database, database.threads
        with self._step():
            self._db.execute(
                "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?",
                (MAX_EVENTS,),
            )

    def close(self) -> None:
        """Close the database and give the queue back."""
        with self._threads:
            self._db.close()

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Do what is in the block whole or not at all."""
        with self._threads:
            self._db.begin()
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._db.commit()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other thread between what the block reads and what it writes."""
        with self._threads:
            yield

    # Jobs

    def entries(self, *states: State) -> list[Entry]:
        """Return the jobs of some states, or all of them, in the order in which they came."""
        marks = ", ".join("?" * len(states))
        where = f"WHERE state IN ({marks})" if states else ""
        with self._threads:
            rows = self._db.execute(f"SELECT * FROM entries {where} ORDER BY position, id", states)
            return [_entry(row) for row in rows]

    def entry(self, entry_id: str) -> Entry | None:
        """Return the job of that id."""
        with self._threads:
            rows = self._db.execute("SELECT * FROM entries WHERE id = ?", (entry_id,))
            return _entry(rows[0]) if rows else None

    def submissions(self) -> set[str]:
        """Return the ids under which jobs of the queue were submitted to the cluster."""
        return {
            entry.submission_of(attempt)
            for entry in self.entries()
            for attempt in range(1, entry.attempt + 1)
        }

    def active(self) -> list[Entry]:
        """Return the jobs that hold a slot, the one that has it longest first."""
        return sorted(self.entries(*ACTIVE), key=lambda entry: (entry.started or 0, entry.position))

    def waiting(self, limit: int) -> list[Entry]:
        """Return the jobs that wait, in the order in which they will start."""
        found = {entry.id: entry for entry in self.entries("queued")}
        running = [entry.user for entry in self.active()]
        ordered = order(
            map(as_waiting, found.values()), running, self.shares(), limit, milliseconds() / 1000
        )
        return [found[job.id] for job in ordered]

    def counts(self) -> list[Count]:
        """Return how many jobs each user has in each state, where there are any."""
        with self._threads:
            rows = self._db.execute(
                'SELECT "user", state, count(*), min(submitted) FROM entries GROUP BY "user", state'
            )
            return [Count(*row) for row in rows]

    def add(self, entry: Entry) -> None:
        """Queue a job, behind all others."""
        with self._step():
            last = self._db.execute("SELECT max(position) FROM entries")[0][0] or 0
            told = {name: getattr(entry, name) for name in _COLUMNS} | {"position": last + 1}
            columns = ", ".join(f'"{name}"' for name in _COLUMNS)
            marks = ", ".join(f":{name}" for name in _COLUMNS)
            self._db.execute(f"INSERT INTO entries ({columns}) VALUES ({marks})", told)
            self._event(entry, "queued")

    def begin(self, entry: Entry, attempt: int, failure: tuple[int, str] | None = None) -> Entry:
        """Give a job a slot, or a lost one its next submission; the id of that is on disk then.

        failure: how many submissions in a row the cluster has failed to run, and why the last one.
        """
        now = milliseconds()
        with self._step():
            changes: dict[str, Any] = {
                "state": "starting",
                "attempt": attempt,
                "submission": entry.submission_of(attempt),
                "resumed": now,
            }
            if entry.state == "queued":
                changes |= {"started": now, "message": ""}
                self._db.execute("UPDATE users SET served = ? WHERE name = ?", (now, entry.user))
            if failure is not None:
                changes |= {"failures": failure[0], "message": failure[1]}
            self._change(entry, **changes)
            self._event(entry, "starting" if entry.state == "queued" else "resumed")
        return self._again(entry)

    def runs(self, entry: Entry) -> None:
        """Record that the cluster runs a job; what was said of its start is over."""
        with self._step():
            self._change(entry, state="running", message="")
            self._event(entry, "running")

    def refused(self, entry: Entry, message: str) -> None:
        """Record why the cluster has not taken a job's submission."""
        with self._step():
            self._change(entry, message=message)
            self._event(entry, "refused")

    def end(
        self, entry: Entry, state: State, message: str, exit_code: int | None, notice: str
    ) -> None:
        """Record a job's end, and with it what its webhook, if it has one, is to be told."""
        now = milliseconds()
        with self._step():
            self._change(entry, state=state, message=message, exit_code=exit_code, ended=now)
            self._event(entry, state)
            if entry.notify is not None:
                self._db.execute(
                    "INSERT INTO notices (entry, url, body, tries, due) VALUES (?, ?, ?, 0, ?)",
                    (entry.id, entry.notify, notice, now),
                )

    def ask_to_stop(self, entry: Entry) -> None:
        """Record that a job that holds a slot is to end."""
        with self._step():
            self._change(entry, stopping=True)
            self._event(entry, "stopping")

    def arrange(self, places: Sequence[tuple[Entry, int, int]]) -> None:
        """Give jobs other priorities and positions: (job, priority, position) of each."""
        with self._step():
            for entry, priority, position in places:
                if (priority, position) != (entry.priority, entry.position):
                    self._change(entry, priority=priority, position=position)
                    self._event(entry, f"priority {priority}, position {position}")

    def _change(self, entry: Entry, **changes: Any) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in changes)
        self._db.execute(f"UPDATE entries SET {sets} WHERE id = :id", changes | {"id": entry.id})

    def _event(self, entry: Entry, event: str) -> None:
        self._db.execute(
            'INSERT INTO events (time, entry, "user", event) VALUES (?, ?, ?, ?)',
            (milliseconds(), entry.id, entry.user, event),
        )

    def _again(self, entry: Entry) -> Entry:
        found = self.entry(entry.id)
        assert found is not None
        return found

    # People

    def users(self) -> dict[str, User]:
        """Return everybody who is or was a user, by name."""
        with self._threads:
            rows = self._db.execute("SELECT * FROM users ORDER BY name")
        found = [
            User(
                row["name"],
                row["number"],
                bool(row["admin"]),
                row["weight"],
                bool(row["removed"]),
                row["served"],
            )
            for row in rows
        ]
        return {user.name: user for user in found}

    def shares(self) -> dict[str, Share]:
        """Return what every user is due."""
        return {user.name: Share(user.weight, user.served / 1000) for user in self.users().values()}

    def put_user(self, name: str, *, admin: bool, weight: int, removed: bool = False) -> User:
        """Write a user down; the tokens of before are good no more."""
        with self._step():
            self._db.execute(
                "INSERT INTO users VALUES (?, 1, ?, ?, ?, 0) ON CONFLICT (name) DO UPDATE SET "
                "number = users.number + 1, admin = excluded.admin, weight = excluded.weight, "
                "removed = excluded.removed",
                (name, admin, weight, removed),
            )
        return self.users()[name]

    # Webhooks

    def notices(self) -> list[Notice]:
        """Return the webhooks that are still to be told."""
        with self._threads:
            rows = self._db.execute(
                "SELECT number, entry, url, body, tries, due FROM notices "
                "WHERE outcome IS NULL ORDER BY due"
            )
            return [Notice(*row) for row in rows]

    def tried(self, notice: Notice, outcome: str | None, due: int) -> None:
        """Record a try; outcome: how it has ended for good, None where another one is due."""
        with self._step():
            self._db.execute(
                "UPDATE notices SET tries = tries + 1, outcome = ?, due = ? WHERE number = ?",
                (outcome, due, notice.number),
            )
            if outcome is not None:
                entry = self.entry(notice.entry)
                assert entry is not None
                self._event(entry, f"webhook {outcome}")


def as_waiting(entry: Entry) -> Waiting:
    """Return a queued job as the rule has it."""
    since = entry.submitted / 1000
    return Waiting(entry.id, entry.user, entry.priority, entry.position, since)


def _entry(row: Any) -> Entry:
    told = {name: row[name] for name in _COLUMNS} | {"stopping": bool(row["stopping"])}
    return Entry(**told)
