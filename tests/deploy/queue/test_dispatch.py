"""Nothing is lost and nothing doubled, wherever the queue or the head is killed."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queued import Head, Lost, check_order_and_shares, entry, events, file_store

from deploy.errors import ClusterError, JobRefusedError
from deploy.queue.dispatch import (
    MAX_FAILURES,
    MAX_REFUSALS,
    REFUSED_MS,
    STEADY_MS,
    Dispatcher,
)
from deploy.queue.packages import PackageFolder
from deploy.queue.store import milliseconds

CONTENT = b"a package"
PACKAGE = hashlib.sha256(CONTENT).hexdigest()
NAMES = [f"{user}{number}" for number in range(1, 6) for user in ("ann", "bob")]


class Place:
    """A queue's folder, and the queue that runs in it until it is killed."""

    def __init__(self, folder: Path, head: Head, limit: int = 2) -> None:
        self.folder, self.head, self.limit = folder, head, limit
        self._open()

    def _open(self) -> None:
        self.store = file_store(self.folder)
        packages = PackageFolder(self.folder / "packages")
        if not packages.has(PACKAGE):
            packages.put(PACKAGE, CONTENT)
        self.dispatcher = Dispatcher(self.store, packages, self.head, self.limit, "/runs")

    def again(self, head: Head | None = None) -> None:
        """Start the queue anew, as after kill -9; with another head where that was lost."""
        self.store.close()
        if head is not None:
            self.head = head
        self._open()

    def add(self, *names: str, **changes: object) -> None:
        for name in names:
            if self.store.entry(name) is None:
                self.store.add(entry(name, package=PACKAGE, **changes))

    def state(self, name: str) -> str:
        found = self.store.entry(name)
        assert found is not None
        return found.state


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "queue", Head({}))
    for user in ("ann", "bob"):
        made.store.put_user(user, admin=False, weight=1)
    yield made
    made.store.close()


def finish_oldest(place: Place) -> None:
    for one in place.store.active():
        if one.submission in place.head.running:
            place.head.finish(one.submission)
            return


def work_off(place: Place, most: int = 60) -> None:
    """Take steps, a job ending before each, until all have ended."""
    for _ in range(most):
        place.dispatcher.step()
        finish_oldest(place)
        if all(one.is_ended for one in place.store.entries()):
            return
    raise AssertionError("not all jobs have ended")


def test_two_users_share_the_slots_and_keep_their_order(place: Place) -> None:
    place.add(*NAMES)
    work_off(place)
    assert {place.state(name) for name in NAMES} == {"succeeded"}
    assert place.head.folders == {name: ["begun", "done"] for name in NAMES}
    assert place.head.most == 2
    check_order_and_shares(events(place.folder), 2)


class Killed:
    """Has the queue killed before or after the n-th of its calls to store and cluster."""

    def __init__(self, at: int) -> None:
        self.left = at

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **named: Any) -> Any:
            self._step()
            found = call(*args, **named)
            self._step()
            return found

        return called

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Lost

    def into(self, place: Place) -> None:
        for owner, names in (
            (place.store, ("begin", "runs", "end", "refused")),
            (place.head, ("jobs", "start", "ask_to_stop")),
        ):
            for name in names:
                setattr(owner, name, self.wrap(getattr(owner, name)))

    def out_of(self, place: Place) -> None:
        for name in ("jobs", "start", "ask_to_stop"):
            vars(place.head).pop(name, None)


@pytest.mark.parametrize("head_too", [False, True], ids=["the queue", "queue and head"])
def test_killed_before_or_after_any_call_nothing_is_lost_or_doubled(
    tmp_path: Path, head_too: bool
) -> None:
    names = ["ann1", "bob2"]
    at = 0
    killed = True
    while killed:
        at += 1
        folders: dict[str, list[str]] = {}
        place = Place(tmp_path / f"queue{at}", Head(folders))
        place.add(*names)
        death = Killed(at)
        death.into(place)
        try:
            work_off(place)
            killed = False
        except Lost:
            death.out_of(place)
            place.again(Head(folders) if head_too else None)
            work_off(place)
        assert {place.state(name) for name in names} == {"succeeded"}, at
        for name in names:
            once = ["begun", "done"]
            assert folders[name] in ([once, ["begun", *once]] if head_too else [once]), at
        check_order_and_shares(events(place.folder), 2)
        place.store.close()
    assert at > 20


MOVES = st.lists(
    st.sampled_from(["step", "finish", "fail", "away", "back", "kill queue", "lose head", "add"]),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES)
def test_whatever_happens_in_whatever_order_every_job_ends_once(
    tmp_path_factory: pytest.TempPathFactory, moves: list[str]
) -> None:
    folders: dict[str, list[str]] = {}
    place = Place(tmp_path_factory.mktemp("any") / "queue", Head(folders))
    left = list(NAMES)
    for move in moves:
        if move == "step":
            place.dispatcher.step()
        elif move == "finish":
            finish_oldest(place)
        elif move == "fail" and place.head.running:
            place.head.finish(next(iter(place.head.running)), "FAILED", 1)
        elif move in ("away", "back"):
            place.head.away = move == "away"
        elif move == "kill queue":
            place.again()
        elif move == "lose head":
            place.again(Head(folders))
        elif move == "add" and left:
            place.add(left.pop(0))
    place.head.away = False
    work_off(place)
    for one in place.store.entries():
        assert one.state in ("succeeded", "failed")
        assert folders[one.name].count("done") == (one.state == "succeeded")
    check_order_and_shares(events(place.folder), 2)
    place.store.close()


def test_a_head_that_is_away_loses_no_job_and_starts_none(place: Place) -> None:
    place.add("ann1", "ann2", "ann3")
    place.dispatcher.step()
    place.head.away = True
    place.dispatcher.step()
    assert place.dispatcher.away == "nobody answers"
    place.head.away = False
    place.dispatcher.step()
    assert place.dispatcher.away is None
    assert place.head.folders == {"ann1": ["begun"], "ann2": ["begun"]}


def test_the_version_of_ray_is_that_of_the_head_that_came_back(place: Place) -> None:
    place.head.away = True
    place.dispatcher.step()
    assert place.dispatcher.ray_version is None
    for away, version, known in (
        (False, "2.60.0", "2.60.0"),
        (True, "2.61.0", "2.60.0"),
        (False, "2.61.0", "2.61.0"),
    ):
        place.head.away, place.head.version = away, version
        place.dispatcher.step()
        assert place.dispatcher.ray_version == known


def test_lost_jobs_are_resumed_in_their_order_before_any_that_waits(place: Place) -> None:
    place.add(*NAMES)
    place.dispatcher.step()
    place.dispatcher.step()
    running = [one.name for one in place.store.active()]
    place.again(Head(place.head.folders))
    place.dispatcher.step()
    assert list(place.head.running.values()) == running
    assert list(place.head.running) == [f"{name}-r2" for name in running]


def test_a_job_that_the_cluster_cannot_run_is_tried_again_and_then_fails(place: Place) -> None:
    place.add("ann1")
    for number in range(1, MAX_FAILURES + 1):
        place.dispatcher.step()
        assert len(place.head.running) == 1, number
        place.head.finish(next(iter(place.head.running)), "FAILED", None)
    place.dispatcher.step()
    assert place.state("ann1") == "failed"


def test_what_failed_before_a_submission_that_ran_for_an_hour_counts_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = 0
    monkeypatch.setattr(
        place.dispatcher, "_now", lambda: milliseconds() + hours * (STEADY_MS + 1000)
    )
    place.add("ann1")
    for hours in range(2 * MAX_FAILURES):
        place.dispatcher.step()
        place.head.finish(next(iter(place.head.running)), "FAILED", None)
        hours += 1
        place.dispatcher.step()
    found = place.store.entry("ann1")
    assert found is not None and (found.state, found.failures) == ("starting", 1)


def test_refusals_of_a_head_that_starts_are_no_failures_and_are_forgotten_once_it_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = place.head.start
    left = 2 * MAX_REFUSALS

    def refuse(*args: Any, **named: Any) -> bool:
        nonlocal left
        left -= 1
        if left >= 0:
            raise JobRefusedError("head", "the cluster refused the job: no agent", "look")
        return start(*args, **named)

    monkeypatch.setattr(place.head, "start", refuse)
    place.add("ann1")
    place.dispatcher.step()
    found = place.store.entry("ann1")
    assert found is not None and "no agent" in found.message
    for _ in range(2 * MAX_REFUSALS + 1):
        place.dispatcher.step()
    found = place.store.entry("ann1")
    assert found is not None and (found.state, found.message) == ("running", "")
    for _ in range(MAX_FAILURES - 1):
        place.head.finish(next(iter(place.head.running)), "FAILED", None)
        place.dispatcher.step()
    assert place.state("ann1") == "starting"
    assert [event for _, _, event in events(place.folder)].count("refused") == 1


def test_a_job_that_fails_by_itself_is_not_run_again(place: Place) -> None:
    place.add("ann1")
    place.dispatcher.step()
    place.head.finish("ann1", "FAILED", 1)
    place.dispatcher.step()
    assert (place.state("ann1"), place.head.folders["ann1"]) == ("failed", ["begun"])


def test_a_submission_that_the_head_refuses_is_tried_for_minutes_and_then_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> bool:
        raise JobRefusedError("head", "the cluster refused the job: no agent", "look")

    now = milliseconds()
    monkeypatch.setattr(place.dispatcher, "_now", lambda: now)
    monkeypatch.setattr(place.head, "start", refuse)
    read, reads = PackageFolder.read, 0

    def counted(packages: PackageFolder, sha256: str) -> bytes:
        nonlocal reads
        reads += 1
        return read(packages, sha256)

    monkeypatch.setattr(PackageFolder, "read", counted)
    place.add("ann1")
    for _ in range(2 * MAX_REFUSALS):
        place.dispatcher.step()
    assert place.state("ann1") == "starting" and reads == 1
    now += REFUSED_MS + 1000
    place.dispatcher.step()
    found = place.store.entry("ann1")
    assert found is not None and found.state == "failed" and "no agent" in found.message


def test_a_job_without_its_package_fails_and_holds_up_nobody(place: Place) -> None:
    place.store.add(entry("ann1", package=64 * "f"))
    place.add("ann2")
    place.dispatcher.step()
    assert place.state("ann1") == "failed" and place.head.folders == {"ann2": ["begun"]}


def test_a_job_that_is_to_stop_stops_and_is_not_resumed_after_a_crash(place: Place) -> None:
    place.add("ann1", "ann2")
    for _ in range(2):
        place.dispatcher.step()
    for one in place.store.active():
        place.store.ask_to_stop(one)
    place.head.running.pop("ann2")
    place.head.listed.pop("ann2")  # as a new head has it
    place.dispatcher.step()
    place.dispatcher.step()
    assert {place.state(name) for name in ("ann1", "ann2")} == {"stopped"}
    assert place.head.folders == {"ann1": ["begun"], "ann2": ["begun"]}


def test_ids_that_the_head_knows_from_an_earlier_queue_are_not_taken_again(place: Place) -> None:
    place.head.start("ann1", None, name="old", root=None, digest="")  # type: ignore[arg-type]
    place.head.finish("ann1", "FAILED", 1)
    place.add("ann1")
    place.dispatcher.step()
    assert list(place.head.running) == ["ann1-r2"]


@pytest.mark.parametrize("root", [None, "/runs"], ids=["the served root", "a root"])
@pytest.mark.parametrize("submission", ["ann1", "past"])
def test_a_job_that_runs_past_the_queue_is_not_started_beside_it(
    place: Place, root: str | None, submission: str
) -> None:
    place.add("ann1", "ann2")
    package: Any = None
    place.head.start(submission, package, name="ann1", root=root, digest="")
    place.head.start("elsewhere", package, name="ann2", root="/else", digest="")
    del place.head.running["elsewhere"]  # the folder is another one
    for _ in range(2):
        place.dispatcher.step()
    assert (place.state("ann1"), place.state("ann2")) == ("queued", "running")
    place.head.finish(submission)
    place.dispatcher.step()
    assert place.state("ann1") == "starting"


def test_a_queue_that_is_opened_keeps_its_last_steps(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add(*NAMES)
    monkeypatch.setattr("deploy.queue.store.MAX_EVENTS", 3)
    place.again()
    assert events(place.folder) == [(name, name[:3], "queued") for name in NAMES[-3:]]


def test_a_queue_has_one_process(place: Place) -> None:
    with pytest.raises(ClusterError, match="another one has it"):
        file_store(place.folder)


def test_a_queue_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "queue.db") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ClusterError, match="must be of version 1, not 9"):
        file_store(tmp_path)


@pytest.mark.parametrize("whole", [False, True], ids=["no header", "a broken page"])
def test_a_damaged_queue_is_said_to_be_damaged_with_what_to_do(tmp_path: Path, whole: bool) -> None:
    file_store(tmp_path).close()
    file = tmp_path / "queue.db"
    content = file.read_bytes()
    file.write_bytes(content[:8192] + b"\xff" * 8192 + content[16384:] if whole else b"x" * 8192)
    with pytest.raises(ClusterError, match="must be a whole SQLite database") as failure:
        file_store(tmp_path)
    assert failure.value.place == str(file) and "move it away" in failure.value.remedy
    file.unlink()
    file_store(tmp_path).close()  # the lock was given back


def test_a_queue_in_a_place_that_is_no_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match=r"must be one that it can write to \(Not a directory\)"):
        file_store(tmp_path / "file" / "queue")
