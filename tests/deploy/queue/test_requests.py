"""What people may ask of the queue, and what is refused with which words."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from queued import Head, file_store

from deploy.client import submission_ids
from deploy.client.queue import Listing
from deploy.errors import ClusterError
from deploy.queue.dispatch import Dispatcher
from deploy.queue.metrics import METRICS, STATES
from deploy.queue.packages import PackageFolder
from deploy.queue.requests import Requests
from deploy.queue.store import User
from deploy.queue.users import Signer, key_of

CONTENT = b"a package"
PACKAGE = hashlib.sha256(CONTENT).hexdigest()


class Line:
    """A queue with three users: ann, bob, and the admin eve."""

    def __init__(self, folder: Path) -> None:
        self.store = file_store(folder)
        packages = PackageFolder(folder / "packages")
        packages.put(PACKAGE, CONTENT)
        self.head = Head({})
        self.dispatcher = Dispatcher(self.store, packages, self.head, 1, "/runs")
        signer = Signer(key_of(folder / "key"))
        self.requests = Requests(self.store, packages, signer, self.dispatcher, "/runs")
        self.eve = self.store.put_user("eve", admin=True, weight=1)
        self.tokens = {
            name: self.requests.add_user(self.eve, {"name": name, "weight": 1})
            for name in ("ann", "bob")
        }

    def user(self, name: str) -> User:
        return self.store.users()[name]

    def submit(self, user: str, name: str, **changes: Any) -> dict[str, Any]:
        digest = hashlib.sha256(name.encode()).hexdigest()
        told = {"name": name, "root": None, "job_path": "job/job.yaml", "digest": digest}
        told |= {"package": PACKAGE, "again": False, "priority": 0, "notify": None}
        return self.requests.submit(self.user(user), told | changes)

    def order(self) -> list[str]:
        return [job["metadata"]["gatesearch_name"] for job in self.requests.listing()["jobs"]]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.store.close()


def test_a_job_is_queued_once_whoever_submits_it(line: Line) -> None:
    first = line.submit("ann", "one")
    assert (first["started"], first["state"]) == (True, "queued")
    again = line.submit("bob", "one")
    assert (again["id"], again["started"]) == (first["id"], False)
    with pytest.raises(ClusterError, match="must not be that of another job that is queued"):
        line.submit("bob", "one", digest=64 * "1")
    assert line.order() == ["one"]
    listed = line.requests.job(first["id"])
    assert listed is not None and listed["queue"]["place"] == 1
    assert listed["metadata"]["gatesearch_root"] == "/runs"
    assert line.requests.job("one") == listed


def test_a_stopped_job_goes_on_when_it_is_submitted_again_or_resumed(line: Line) -> None:
    first = line.submit("ann", "one", priority=7)
    line.requests.stop(line.user("ann"), first["id"])
    assert line.requests.jobs()[0]["status"] == "STOPPED"
    second = line.submit("ann", "one")
    assert (second["id"], second["continues"]) == (f"{first['id']}-2", first["id"])
    line.requests.stop(line.user("ann"), second["id"])
    third = line.requests.resume(line.eve, second["id"])
    assert (third["id"], third["continues"]) == (f"{first['id']}-3", second["id"])
    found = line.store.entry(third["id"])
    assert found is not None and found.user == "ann"
    assert line.requests.resume(line.user("ann"), first["id"])["started"] is False


RIGHTS = {
    "stop": lambda line, user, job: line.requests.stop(user, job),
    "priority": lambda line, user, job: line.requests.change(user, job, {"priority": 5}),
    "move": lambda line, user, job: line.requests.change(user, job, {"move": 1}),
    "resume": lambda line, user, job: line.requests.resume(user, job),
}


@pytest.mark.parametrize("ask", RIGHTS.values(), ids=RIGHTS)
def test_nobody_but_its_user_and_an_admin_changes_a_job(line: Line, ask: Any) -> None:
    job = line.submit("ann", "one")["id"]
    with pytest.raises(ClusterError, match="only ann or an admin may change this job, not bob"):
        ask(line, line.user("bob"), job)
    ask(line, line.eve, job)
    with pytest.raises(ClusterError, match="must be in the queue"):
        ask(line, line.eve, "another")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"move": 1}, ["c", "x", "a", "b", "d"]),
        ({"move": 2}, ["x", "c", "a", "b", "d"]),
        ({"move": 5}, ["x", "a", "b", "d", "c"]),
        ({"priority": 9}, ["c", "x", "a", "b", "d"]),
        ({"priority": -1}, ["x", "a", "b", "d", "c"]),
        ({"priority": 5}, ["c", "x", "a", "b", "d"]),
    ],
)
def test_a_job_that_waits_is_moved_among_its_users_own(
    line: Line, change: dict[str, int], expected: list[str]
) -> None:
    for name in "abcd":
        line.submit("ann", name)
    line.submit("ann", "x", priority=5)
    assert line.order() == ["x", "a", "b", "c", "d"]
    job = line.requests.job("c")
    assert job is not None
    line.requests.change(line.user("ann"), job["submission_id"], change)
    assert line.order() == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"move": 0}, "--move: must be a whole number from 1 to 2, not 0"),
        ({"move": 3}, "from 1 to 2, not 3"),
        ({"priority": 101}, "--priority: must be a whole number from -100 to 100"),
        ({"priority": "5"}, "not '5'"),
        ({"priority": True}, "not True"),
        ({}, "must be of priority or move"),
        ({"state": "running"}, "must be of priority or move"),
    ],
)
def test_a_change_that_has_no_meaning_is_refused(
    line: Line, change: dict[str, Any], words: str
) -> None:
    job = line.submit("ann", "one")["id"]
    line.submit("ann", "two")
    with pytest.raises(ClusterError) as refusal:
        line.requests.change(line.user("ann"), job, change)
    assert words in str(refusal.value) and refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"package": 64 * "f"}, "package must be sent before"),
        ({"package": "../../etc/passwd"}, "package must match"),
        ({"name": "A"}, "name must match"),
        ({"job_path": "/etc/x"}, "job_path must match"),
        ({"job_path": "job/a\nb"}, "job_path must match"),
        ({"root": "runs"}, "the root must be a folder of the cluster"),
        ({"root": 3}, "must be a folder"),
        ({"priority": 1000}, "whole number from -100 to 100"),
        ({"notify": "ftp://x"}, "http or https"),
        ({"entrypoint": "rm"}, "a submission must have"),
    ],
)
def test_a_submission_of_another_form_is_refused(
    line: Line, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClusterError) as refusal:
        line.submit("ann", **{"name": "one"} | change)
    assert words in str(refusal.value) and line.order() == []


def test_a_running_job_is_not_moved_and_stops_by_the_cluster(line: Line) -> None:
    job = line.submit("ann", "one")["id"]
    line.dispatcher.step()
    with pytest.raises(ClusterError, match="must wait to be moved; it is starting"):
        line.requests.change(line.user("ann"), job, {"priority": 5})
    line.requests.stop(line.user("ann"), job)
    assert line.requests.jobs()[0]["status"] == "STOPPING"
    line.dispatcher.step()
    line.dispatcher.step()
    assert line.requests.jobs()[0]["status"] == "STOPPED"


def test_jobs_submitted_past_the_queue_are_listed_as_the_clusters(line: Line) -> None:
    line.head.start("theirs", None, name="theirs", root=None, digest="")  # type: ignore[arg-type]
    line.submit("ann", "one")
    line.dispatcher.step()
    line.dispatcher.step()
    listed = {job["submission_id"]: job.get("queue") for job in line.requests.jobs()}
    assert len(listed) == 2 and listed["theirs"] is None


def past_the_queue(line: Line, name: str, root: str | None, content: str | None = None) -> str:
    """Submit a job to the cluster itself; return its id there."""
    digest = submission_ids.digest_of(hashlib.sha256((content or name).encode()).hexdigest(), root)
    new = submission_ids.first_id(name, digest)
    line.head.start(new, None, name=name, root=root, digest=digest)  # type: ignore[arg-type]
    line.dispatcher.step()
    return new


@pytest.mark.parametrize("root", [None, "/runs"], ids=["the cluster's root", "the root by name"])
def test_a_job_that_was_submitted_past_the_queue_is_not_started_twice(
    line: Line, root: str | None
) -> None:
    past = past_the_queue(line, "one", root)
    told = line.submit("ann", "one")
    assert (told["id"], told["started"], told["state"]) == (past, False, "running")
    line.head.finish(past)
    line.dispatcher.step()
    assert line.submit("ann", "one")["state"] == "succeeded"
    again = line.submit("ann", "one", again=True)
    assert (again["started"], again["continues"]) == (True, past)
    assert line.submit("bob", "one")["id"] == again["id"]


@pytest.mark.parametrize("root", [None, "/runs"], ids=["the cluster's root", "the root by name"])
def test_a_job_goes_on_in_no_folder_in_which_one_past_the_queue_runs(
    line: Line, root: str | None
) -> None:
    stopped = line.submit("ann", "one")["id"]
    line.requests.stop(line.user("ann"), stopped)
    past_the_queue(line, "one", root, content="another")
    for ask in (
        lambda: line.requests.resume(line.user("ann"), stopped),
        lambda: line.submit("ann", "one"),
    ):
        with pytest.raises(ClusterError, match="must not be that of another job that is running"):
            ask()


def test_a_job_that_does_not_wait_is_told_without_putting_the_queue_in_order(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, waits = line.submit("ann", "one")["id"], line.submit("ann", "two")["id"]
    line.requests.stop(line.user("ann"), ended)
    asked: list[int] = []
    waiting = line.store.waiting
    monkeypatch.setattr(line.store, "waiting", lambda limit: asked.append(limit) or waiting(limit))
    for job, place, orders in ((ended, None, 0), (waits, 1, 1)):
        told = line.requests.job(job)
        assert told is not None and told["queue"]["place"] == place
        assert len(asked) == orders


def test_a_users_weight_and_rights_stay_where_a_new_token_names_none(line: Line) -> None:
    line.requests.add_user(line.eve, {"name": "ann", "weight": 3, "admin": True})
    line.requests.add_user(line.eve, {"name": "ann", "weight": None, "admin": None})
    assert (line.user("ann").weight, line.user("ann").admin) == (3, True)
    line.requests.add_user(line.eve, {"name": "ann", "admin": False})
    assert (line.user("ann").weight, line.user("ann").admin) == (3, False)
    line.requests.remove_user(line.eve, "ann")
    line.requests.add_user(line.eve, {"name": "ann"})
    assert (line.user("ann").weight, line.user("ann").admin) == (1, False)


def test_a_new_token_and_a_removal_end_the_token_before(line: Line) -> None:
    old = line.tokens["ann"]
    found = line.requests.user_of(old)
    assert found is not None and (found.name, found.admin) == ("ann", False)
    new = line.requests.add_user(line.eve, {"name": "ann", "weight": 2, "admin": True})
    assert line.requests.user_of(old) is None
    found = line.requests.user_of(new)
    assert found is not None and (found.admin, found.weight) == (True, 2)
    line.requests.remove_user(line.eve, "ann")
    assert line.requests.user_of(new) is None
    assert [user["name"] for user in line.requests.listing()["users"]] == ["bob", "eve"]


def test_a_job_of_somebody_who_was_removed_still_takes_its_slot(line: Line) -> None:
    line.submit("ann", "one")
    line.dispatcher.step()
    line.requests.remove_user(line.eve, "ann")
    found = Listing.of(line.requests.listing())
    assert (found.taken, found.limit) == (1, 1)
    assert [(user.name, user.slots) for user in found.users] == [("bob", 0), ("eve", 0)]


def test_users_are_an_admins_to_add_and_remove(line: Line) -> None:
    for ask in (
        lambda: line.requests.add_user(line.user("bob"), {"name": "bob", "admin": True}),
        lambda: line.requests.remove_user(line.user("bob"), "ann"),
    ):
        with pytest.raises(ClusterError, match="only an admin may add and remove users, not bob"):
            ask()
    with pytest.raises(ClusterError, match="nobody may remove themselves"):
        line.requests.remove_user(line.eve, "eve")


def test_the_figures_for_prometheus_are_those_of_the_queue(line: Line) -> None:
    for name in ("one", "two", "three"):
        line.submit("ann", name)
    line.submit("bob", "four")
    line.dispatcher.step()
    line.dispatcher.step()
    line.requests.remove_user(line.eve, "bob")
    families = {one.name: one for one in text_string_to_metric_families(line.requests.metrics())}
    assert set(families) == set(METRICS)
    found: dict[tuple[str, ...], float] = {}
    for name, family in families.items():
        assert family.type == "gauge" and family.documentation == METRICS[name].text
        for sample in family.samples:
            assert tuple(sample.labels) == METRICS[name].labels
            found[name, *sample.labels.values()] = sample.value
    jobs = {key[1:]: value for key, value in found.items() if key[0] == "gatesearch_queue_jobs"}
    assert set(jobs) == {(user, state) for user in ("ann", "bob", "eve") for state in STATES}
    assert {key: value for key, value in jobs.items() if value} == {
        ("ann", "running"): 1,
        ("ann", "queued"): 2,
        ("bob", "queued"): 1,
    }
    assert 0 < found["gatesearch_queue_oldest_wait_seconds", "ann"] < 600
    assert found["gatesearch_queue_oldest_wait_seconds", "eve"] == 0
    assert found[("gatesearch_queue_slots",)] == 1
    assert found[("gatesearch_queue_cluster_away",)] == 0
    line.head.away = True
    line.dispatcher.step()
    assert "gatesearch_queue_cluster_away 1" in line.requests.metrics()


def test_no_token_is_kept_in_the_queues_folder(line: Line, tmp_path: Path) -> None:
    line.submit("ann", "one", notify="http://127.0.0.1/x")
    line.store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for token in line.tokens.values():
        assert token.encode() not in kept and token.rpartition(".")[2].encode() not in kept
    line.store = file_store(tmp_path)
