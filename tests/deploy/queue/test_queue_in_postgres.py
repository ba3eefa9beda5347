"""A queue in PostgreSQL keeps what one in a file does, and bears that its server goes away."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from queued import Head, check_order_and_shares, entry
from servers import Postgres

from deploy.errors import ClusterError, QueueAwayError
from deploy.queue import postgres as queue_postgres
from deploy.queue.dispatch import Dispatcher
from deploy.queue.packages import Packages
from deploy.queue.serve import open_queue
from deploy.queue.store import TABLES, Store
from deploy.queue.users import Signer

CONTENT = b"a package"
PACKAGE = hashlib.sha256(CONTENT).hexdigest()
NAMES = [f"{user}{number}" for number in range(1, 4) for user in ("ann", "bob")]


class Place:
    """A queue in a database of its own, which goes from one disk to the next."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self.folder, self.server, self.url = folder, server, server.database()
        self.store, self.packages, self.signer = self.opened()
        self.packages.put(PACKAGE, CONTENT)
        self.head = Head({})
        self.dispatcher = Dispatcher(self.store, self.packages, self.head, 2, "/runs")

    def opened(self) -> tuple[Store, Packages, Signer]:
        return open_queue(self.folder / "new" / "disk", self.url)

    def run(self, *statements: str) -> list[tuple[str, ...]]:
        return [tuple(row) for row in self.server.run(self.url, *statements)]

    def end_connections(self) -> None:
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'gatesearch queue' AND datname = current_database()"
        )

    def state(self, name: str) -> str:
        found = self.store.entry(name)
        assert found is not None
        return found.state


@pytest.fixture
def place(tmp_path: Path, postgres: Postgres) -> Iterator[Place]:
    made = Place(tmp_path, postgres)
    yield made
    made.store.close()


def test_a_queue_outlives_its_process_and_the_disk_of_its_machine(place: Place) -> None:
    place.store.put_user("ann", admin=True, weight=3)
    token = place.signer.sign("ann", 1)
    for name in NAMES:
        place.store.add(entry(name, package=PACKAGE))
    first = place.store.entry("ann1")
    assert first is not None
    place.store.end(first, "stopped", "a\0b", None, "{}")
    kept, users = place.store.entries(), place.store.users()
    place.store.close()
    place.folder = place.folder / "elsewhere"
    place.store, packages, signer = place.opened()
    assert (place.store.entries(), place.store.users()) == (kept, users)
    assert signer.read(token) == ("ann", 1)
    assert packages.has(PACKAGE) and packages.read(PACKAGE) == CONTENT
    packages.prune(set())
    assert packages.has(PACKAGE)  # it was sent just now
    place.run("UPDATE gatesearch_queue.packages SET sent = 0")
    packages.prune({PACKAGE})
    assert packages.has(PACKAGE)
    packages.prune(set())
    with pytest.raises(ClusterError, match="must be readable"):
        packages.read(PACKAGE)
    assert {path.name for path in place.folder.rglob("*")} == {"new", "disk"}


def test_a_queue_has_one_process(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def patience(seconds: float) -> Iterator[None]:
        with monkeypatch.context() as during:
            during.setattr(queue_postgres, "_LOCK_SECONDS", seconds)
            yield

    monkeypatch.setattr(queue_postgres, "_LOCK_SECONDS", 0.1)
    with pytest.raises(ClusterError, match="another one has it") as refusal:
        place.opened()
    assert refusal.value.exit_code == 2
    place.end_connections()  # as the death of the other one does
    with patience(30.0):
        taken, _, _ = place.opened()
    with pytest.raises(ClusterError, match="another one has it"):
        place.store.add(entry("ann1"))
    taken.close()
    with patience(30.0):
        place.store.add(entry("ann1"))


def test_jobs_run_in_their_order_although_connections_break(place: Place) -> None:
    for user in ("ann", "bob"):
        place.store.put_user(user, admin=False, weight=1)
    for name in NAMES:
        place.store.add(entry(name, package=PACKAGE))
    for step in range(60):
        if step % 2:
            place.end_connections()
        place.dispatcher.step()
        for one in place.store.active():
            if step % 3 == 2 and one.submission in place.head.running:
                place.head.finish(one.submission)
                break
        if all(one.is_ended for one in place.store.entries()):
            break
    assert {place.state(name) for name in NAMES} == {"succeeded"}
    assert place.head.folders == {name: ["begun", "done"] for name in NAMES}
    told = 'SELECT entry, "user", event FROM gatesearch_queue.events ORDER BY number'
    check_order_and_shares(place.run(told), 2)  # type: ignore[arg-type]


def test_a_step_whose_connection_breaks_is_undone_whole(place: Place) -> None:
    place.store.add(entry("ann1", package=PACKAGE))
    with pytest.raises(QueueAwayError), place.store._step():
        place.store._db.execute("UPDATE entries SET state = 'running'")
        place.end_connections()
        place.store._db.execute("UPDATE entries SET state = 'failed'")
    assert place.state("ann1") == "queued"


def count_connects(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    database: Any = place.store._db
    connected, tries = database._connected, []

    def counted() -> Any:
        tries.append(None)
        return connected()

    monkeypatch.setattr(database, "_connected", counted)
    return tries


def test_a_server_that_is_away_is_said_to_be_and_nothing_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.store.add(entry("ann1", package=PACKAGE))
    place.dispatcher.step()
    place.server.stop()
    try:
        place.dispatcher.step()
        assert "the queue's database must answer" in (place.dispatcher.database_away or "")
        assert place.dispatcher.away is None  # the cluster answers
        tries = count_connects(place, monkeypatch)
        with pytest.raises(QueueAwayError) as failure:
            place.store.users()
        assert place.server.password not in str(failure.value) and len(tries) == 1
    finally:
        place.server.start()
    with suppress(ClusterError):
        place.dispatcher.step()
    place.dispatcher.step()
    assert place.dispatcher.database_away is None and place.state("ann1") == "running"
    assert place.head.folders == {"ann1": ["begun"]}


def test_a_database_that_fails_ends_no_job_and_is_told_apart_from_the_cluster(
    place: Place,
) -> None:
    place.store.add(entry("ann1", package=PACKAGE))
    place.run("ALTER TABLE gatesearch_queue.packages RENAME TO elsewhere")
    place.dispatcher.step()
    assert place.state("ann1") == "starting" and place.dispatcher.away is None
    log: list[str] = []

    def told(line: str) -> None:
        log.append(line)
        place.dispatcher.end()

    place.dispatcher.run(told)
    assert len(log) == 1 and log[0].startswith("database: the queue's database must answer")
    place.run("ALTER TABLE gatesearch_queue.elsewhere RENAME TO packages")
    for _ in range(2):
        place.dispatcher.step()
    assert place.dispatcher.database_away is None and place.state("ann1") == "running"


def test_a_wrong_password_is_said_with_where_it_comes_from(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "planted")
    place.end_connections()
    with pytest.raises(QueueAwayError) as failure:
        place.store.users()
    assert "password authentication failed" in failure.value.rule
    assert "PGPASSWORD or PGPASSFILE" in failure.value.remedy
    assert "planted" not in str(failure.value)


def test_a_role_that_owns_only_the_schema_is_enough(place: Place) -> None:
    url = place.server.database()
    database = url.rpartition("/")[2]
    role = f"owner_of_{database}"
    place.server.run(
        url,
        f"CREATE ROLE {role} LOGIN PASSWORD '{place.server.password}'",
        f"CREATE SCHEMA gatesearch_queue AUTHORIZATION {role}",
    )
    store, _, _ = open_queue(place.folder / "owned", place.server.url(database, role))
    try:
        store.add(entry("ann1"))
        assert [one.id for one in store.entries()] == ["ann1"]
    finally:
        store.close()


def test_a_session_that_went_to_another_program_is_not_ended(place: Place) -> None:
    with closing(psycopg2.connect(place.url)) as other, other.cursor() as cursor:
        cursor.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        database: Any = place.store._db
        database._session = cursor.fetchone()  # as a pooler gives it on
        place.end_connections()
        place.store.users()
        cursor.execute("SELECT 1")


def test_a_queue_of_a_later_version_is_left_alone(place: Place) -> None:
    place.store.close()
    place.run("UPDATE gatesearch_queue.settings SET value = '9' WHERE name = 'version'")
    with pytest.raises(ClusterError, match="must be of version 1, not 9"):
        queue_postgres.PostgresDatabase(place.url, TABLES, 1)
