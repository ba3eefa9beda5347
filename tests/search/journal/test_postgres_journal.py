"""Claims about the journal in PostgreSQL: lost connections, restarts, kills, refusals."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driven import drive, job
from journals import InPostgres
from servers import Postgres
from tcp_link import Moment, linked
from waiting import wait_until

from search.journal import open as storage
from search.journal import postgres_connection
from search.journal.base import Group, JournalAwayError, JournalError, JournalFencedError
from search.journal.file import FileJournal, FileReader
from search.journal.postgres import PostgresJournal, PostgresReader
from spaces.errors import InputError

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture
def kept(postgres: Postgres) -> InPostgres:
    """A database without a journal."""
    return InPostgres(postgres, postgres.database())


def commit(journal: PostgresJournal, *numbers: int) -> None:
    for number in numbers:
        journal.append({"record": "n", "n": number})
        journal.commit()


def numbers(kept: InPostgres) -> list[int]:
    return [record["n"] for group in kept.reader().read() for record in group]


def through(kept: InPostgres, port: int) -> str:
    return kept.server.url(kept.url.rpartition("/")[2], port=port)


def tables(kept: InPostgres) -> list[Any]:
    return kept.run("SELECT tablename FROM pg_tables WHERE tablename LIKE 'gatesearch%'")


def test_two_jobs_on_one_database_never_mix(kept: InPostgres) -> None:
    other = InPostgres(kept.server, kept.url, job="vowels-2")
    with kept.open() as first, other.open() as second:
        commit(first, 1, 2)
        commit(second, 7)
        commit(first, 3)
    assert (numbers(kept), numbers(other)) == ([1, 2, 3], [7])


def test_many_drivers_may_make_the_table_at_one_moment(kept: InPostgres) -> None:
    failed: list[BaseException] = []
    for _ in range(10):
        barrier = threading.Barrier(8)

        def begin(number: int, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                with InPostgres(kept.server, kept.url, job=f"job-{number}").open() as journal:
                    commit(journal, number)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert kept.run("SELECT count(*) FROM gatesearch_journal") == [(8,)]
        kept.run("DROP TABLE gatesearch_journal")


def test_its_lines_are_those_of_the_file(kept: InPostgres, tmp_path: Path) -> None:
    groups = [[{"record": "a", "text": "é\n\\"}], [{"op_code": 1}, {"op_code": 2}]]
    path = tmp_path / "job.journal"
    with kept.open() as one, FileJournal(path) as other:
        for group in groups:
            for journal in (one, other):
                journal.append(*group)
                journal.commit()
    lines = kept.run("SELECT line FROM gatesearch_journal ORDER BY number")
    assert path.read_text() == "".join(f"{line}\n" for (line,) in lines)
    assert FileReader(path).read() == kept.reader().read() == groups


def test_missing_rows_are_refused(kept: InPostgres) -> None:
    with kept.open() as journal:
        commit(journal, 1, 2, 3, 4)
    kept.run("DELETE FROM gatesearch_journal WHERE number IN (2, 3)")
    with pytest.raises(JournalError, match="groups 2 to 3 of its journal are missing"):
        kept.open()


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_connection_cut_in_a_commit_loses_and_doubles_nothing(
    kept: InPostgres, moment: Moment
) -> None:
    with linked(kept.server.port) as link:
        cut = InPostgres(kept.server, through(kept, link.port))
        with cut.open() as journal:
            commit(journal, 1)
            if moment == "during":
                kept.on_insert("PERFORM pg_sleep(0.5)")  # the row arrives after the connection died
            link.cut_when(b"INSERT INTO", moment)
            commit(journal, 2, 3)
            assert link.cuts == 1
            with pytest.raises(JournalError, match=f"process {os.getpid()}"):  # it holds the lock
                kept.open()
            commit(journal, 4)
    assert numbers(kept) == [1, 2, 3, 4]
    kept.open().close()


def test_a_driver_outlives_a_crash_of_the_server(kept: InPostgres) -> None:
    another = InPostgres(kept.server, kept.url, job="another")
    with kept.open() as journal, another.open() as other:
        commit(journal, 1)
        kept.server.stop(signal.SIGQUIT)
        writer = threading.Thread(target=commit, args=(journal, 2, 3))
        writer.start()
        kept.server.start()
        writer.join()
        commit(journal, 4)
        commit(other, 7)
    assert (numbers(kept), numbers(another)) == ([1, 2, 3, 4], [7])


def test_a_server_that_stays_away_ends_the_driver_and_loses_nothing(kept: InPostgres) -> None:
    with linked(kept.server.port) as link:
        cut = InPostgres(kept.server, through(kept, link.port), patience=0.3)
        with cut.open() as journal:
            commit(journal, 1)
            link.cut(for_good=True)
            with pytest.raises(JournalAwayError, match=r"not be reached for 0 s.*resume the job"):
                commit(journal, 2)
            link.mend()
            with cut.open() as resumed:  # the job is free
                assert resumed.take_history() == [[{"record": "n", "n": 1}]]


def test_a_driver_that_was_cut_off_never_writes_after_another_took_over(kept: InPostgres) -> None:
    with linked(kept.server.port) as link:
        cut = InPostgres(kept.server, through(kept, link.port))
        with cut.open() as first:
            commit(first, 1)
            link.cut(for_good=True)
            with kept.open() as second:
                link.mend()
                with pytest.raises(JournalFencedError):  # the second driver holds the lock
                    commit(first, 2)
                commit(second, 3)
            with pytest.raises(JournalFencedError):  # the lock is free, the number is taken
                commit(first, 4)
    assert numbers(kept) == [1, 3]


def test_a_follower_outlives_a_lost_connection(kept: InPostgres) -> None:
    with linked(kept.server.port) as link, kept.open() as journal:
        follower = PostgresReader(through(kept, link.port), kept.job, patience=100)
        commit(journal, 1)
        assert len(follower.read()) == 1
        link.cut()
        commit(journal, 2)
        assert follower.read() == [[{"record": "n", "n": 2}]]
        impatient = PostgresReader(through(kept, link.port), kept.job)
        link.cut(for_good=True)
        with pytest.raises(JournalAwayError):
            impatient.read()


def test_a_commit_is_on_the_servers_disk(kept: InPostgres) -> None:
    kept.run(f"ALTER DATABASE {kept.url.rpartition('/')[2]} SET synchronous_commit = off")
    with kept.open() as journal, journal._connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


# Refusals


def new_user(kept: InPostgres, *statements: str) -> str:
    """Return the URL of a user without rights; statements may give some."""
    name = f"user_{kept.url.rpartition('/')[2]}"
    kept.run(
        f"CREATE ROLE {name} LOGIN PASSWORD '{kept.server.password}'",
        *(statement.format(name) for statement in statements),
    )
    return kept.server.url(kept.url.rpartition("/")[2], user=name)


def nobody_there(kept: InPostgres) -> str:
    with linked(kept.server.port) as link:
        return through(kept, link.port)  # nobody listens there any more


def read_only(kept: InPostgres) -> str:
    name = kept.url.rpartition("/")[2]
    kept.server.run("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    return kept.url


def table_of_others(kept: InPostgres) -> str:
    kept.open().close()
    return new_user(kept, "GRANT SELECT ON gatesearch_journal TO {}")


REFUSED: dict[str, tuple[Callable[[InPostgres], str], str, str]] = {
    "nobody listens": (nobody_there, "refused", "start the server, or correct host and port"),
    "unknown host": (
        lambda kept: "postgresql://gatesearch@no-such-host.invalid/studies",
        "no-such-host.invalid",
        "start the server, or correct host and port",
    ),
    "unknown user": (
        lambda kept: kept.server.url(kept.url.rpartition("/")[2], user="nobody"),
        'password authentication failed for user "nobody"',
        "set PGPASSWORD or PGPASSFILE",
    ),
    "unknown database": (
        lambda kept: kept.server.url("nowhere"),
        'database "nowhere" does not exist',
        "make the database",
    ),
    "unknown option": (
        lambda kept: f"{kept.url}?sslmud=off",
        'invalid URI query parameter: "sslmud"',
        "correct the URL",
    ),
    "may not make the table": (new_user, "may not write a journal", "GRANT CREATE ON SCHEMA"),
    "may only read the table": (
        table_of_others,
        "may not write a journal",
        "GRANT SELECT, INSERT ON gatesearch_journal TO",
    ),
    "read-only": (read_only, "is read-only", "name the primary server"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_database_that_cannot_take_the_journal_is_refused(
    kept: InPostgres, tmp_path: Path, case: str
) -> None:
    prepare, rule, remedy = REFUSED[case]
    url = prepare(kept)
    before = tables(kept)
    with pytest.raises(InputError) as refused:
        storage.check(job(tmp_path, storage={"study": url}))
    (problem,) = refused.value.problems
    assert problem.place.endswith("storage.study")
    assert rule in problem.rule
    assert remedy in problem.remedy
    assert kept.server.password not in str(refused.value)
    assert tables(kept) == before


def test_a_wrong_password_is_refused_and_told_to_nobody(
    kept: InPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with pytest.raises(InputError, match="password authentication failed") as refused:
        storage.check(job(tmp_path, storage={"study": kept.url}))
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="no password supplied"):
        storage.check(job(tmp_path, storage={"study": kept.url}))
    with pytest.raises(JournalError) as opened:
        kept.open()
    assert "hunter2" not in f"{refused.value}{opened.value}"


ASKS = {"in clear": 3, "as md5": 5}  # what an authentication request says, by the protocol


@pytest.mark.parametrize("how", ASKS)
def test_a_server_that_asks_for_the_password_itself_does_not_get_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job file may name any server."""
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    got: list[bytes] = []

    def ask(listener: socket.socket) -> None:
        with listener.accept()[0] as client:
            client.settimeout(30)
            client.recv(1_000)
            salt = b"salt" if how == "as md5" else b""
            body = struct.pack("!i", ASKS[how]) + salt
            client.sendall(b"R" + struct.pack("!i", 4 + len(body)) + body)
            got.append(client.recv(1_000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=ask, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        plain = "sslmode=disable&gssencmode=disable"
        (fault,) = postgres_connection.faults(f"postgresql://me@127.0.0.1:{port}/studies?{plain}")
        server.join()
    assert got == [b""]
    assert "requirement" in fault.rule and "scram-sha-256" in fault.remedy


def test_a_password_file_will_do(
    kept: InPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pass").write_text(f"*:*:*:*:{kept.server.password}\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    assert postgres_connection.faults(kept.url) == []
    kept.open().close()


def test_a_database_that_can_take_the_journal_is_left_as_it_was(
    kept: InPostgres, tmp_path: Path
) -> None:
    storage.check(job(tmp_path, storage={"study": kept.url}))
    assert tables(kept) == []


def test_rights_on_the_table_are_enough_for_a_driver(kept: InPostgres) -> None:
    kept.open().close()
    url = new_user(kept, "GRANT SELECT, INSERT ON gatesearch_journal TO {}")
    assert postgres_connection.faults(url) == []
    with PostgresJournal(url, "vowels") as journal:
        commit(journal, 1)
    assert numbers(kept) == [1]


def test_schemas_are_namespaces(kept: InPostgres) -> None:
    kept.run("CREATE SCHEMA team")
    team = InPostgres(kept.server, f"{kept.url}?options=-csearch_path%3Dteam")
    with kept.open() as ours, team.open() as theirs:
        commit(ours, 1)
        commit(theirs, 2)
    assert (numbers(kept), numbers(team)) == ([1], [2])


# Drivers


@pytest.fixture
def driven(kept: InPostgres) -> InPostgres:
    """The journal of driven.job, which is not there yet."""
    return InPostgres(kept.server, kept.url, job="driven")


@pytest.mark.parametrize("pruner", ["successive-halving", "median"])
def test_a_kill_at_any_moment_changes_no_result(
    driven: InPostgres, tmp_path: Path, pruner: str
) -> None:
    """With one slot, prefixes of the journal resume to what an undisturbed run ends with."""
    search = {"trials": 4, "pruner": {"kind": pruner}}
    undisturbed = drive(job(tmp_path, search=search), tmp_path)
    wanted = job(tmp_path, search=search, storage={"study": driven.url})
    drive(wanted, tmp_path)
    ((groups,),) = driven.run("SELECT count(*) FROM gatesearch_journal")
    assert groups == len(FileReader(tmp_path / "job.journal").read())
    for number in range(groups - 1, 0, -7):
        driven.run(f"DELETE FROM gatesearch_journal WHERE number > {number}")
        assert alike(drive(wanted, tmp_path)) == alike(undisturbed)


def alike(job_state: Any) -> dict[str, Any]:
    """Return all trials without the names of checkpoints, which carry the driver's generation."""
    return {
        key: vars(entry) | {"checkpoints": len(entry.checkpoints)}
        for key, entry in job_state.trials.items()
    }


def test_a_driver_killed_at_random_moments_resumes_to_the_same_results(
    driven: InPostgres, tmp_path: Path
) -> None:
    search = {"trials": 6}
    undisturbed = drive(job(tmp_path, search=search), tmp_path)
    wanted = job(tmp_path, search=search, storage={"study": driven.url})
    total = len(FileReader(tmp_path / "job.journal").read())
    program = (
        f"import json, sys; from pathlib import Path; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from driven import drive, job\n"
        "changes = json.loads(sys.argv[1]); folder = Path(sys.argv[2])\n"
        "drive(job(folder, **changes), folder)\n"
    )
    changes = json.dumps({"search": search, "storage": {"study": driven.url}})
    moments = sorted(random.Random(7).sample(range(2, total - 2), 4))
    driven.open().close()
    driven.on_insert("PERFORM pg_sleep(0.005)")  # so that the kill meets a driver at work
    for moment in moments:
        driver = subprocess.Popen(
            [sys.executable, "-c", program, changes, str(tmp_path)],
            cwd=SUPPORT.parent.parent,
            stderr=subprocess.PIPE,
        )
        with driver:
            # The driver before may have got beyond this moment: its groups say nothing of this one.
            wait_until(
                lambda moment=moment, driver=driver: (
                    driver.poll() is not None or has_reached(driven, moment, driver.pid)
                ),
                f"the driver has taken over and the journal has {moment} groups",
            )
            assert driver.poll() is None, driver.stderr and driver.stderr.read().decode()
            driver.kill()
    resumed = drive(wanted, tmp_path)  # the lock is free at once
    assert claimed(driven.reader().read()) == list(range(1, len(moments) + 2))
    assert resumed.generation == len(moments) + 1
    assert alike(resumed) == alike(undisturbed)


def has_reached(driven: InPostgres, moment: int, driver_pid: int) -> bool:
    """Return whether the journal has so many groups, and a generation that a process claimed."""
    groups = driven.reader().read()
    drivers = {record["pid"] for record in records(groups) if record["record"] == "driver"}
    return len(groups) >= moment and driver_pid in drivers


def claimed(groups: list[Group]) -> list[int]:
    """Return the generations in the order of their claims; all reports are under the last claim."""
    generations: list[int] = []
    for record in records(groups):
        if record["record"] == "driver":
            generations.append(record["generation"])
        if record["record"] == "report":
            assert record["generation"] == generations[-1]
    return generations


def records(groups: list[Group]) -> Iterator[dict[str, Any]]:
    """Yield the records that are gatesearch's own, not Optuna's."""
    return (record for group in groups for record in group if "record" in record)


def test_another_job_of_that_name_is_refused(driven: InPostgres, tmp_path: Path) -> None:
    drive(job(tmp_path, storage={"study": driven.url}), tmp_path, most_reports=2)
    before = driven.reader().read()
    assert before
    other = job(tmp_path, storage={"study": driven.url}, search={"trials": 9})
    with pytest.raises(InputError, match="the job 'driven' must be as it was") as refused:
        drive(other, tmp_path)
    assert "127.0.0.1" in refused.value.problems[0].place
    assert driven.reader().read() == before
