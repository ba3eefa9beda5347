"""A queue's job, watched from laptops: its page stops it, has it go on, and tells the verdict."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from installed import GATESEARCH, gatesearch
from laptop import Laptop
from live_page import Events, asked
from ray_head import RayHead
from server_process import end_with_parent, free_ports
from waiting import wait_until

from deploy.client import Client, ClusterJob, find_token
from deploy.client.archive import FETCH_PREFIX
from deploy.errors import ClusterError

pytestmark = pytest.mark.timeout(1200)
WAIT = 400.0  # seconds, a bound that only a hang reaches
JOB = """\
name: lined-up
task: {name: japanese-vowels}
arms: [rnn, gru]
space: {depth: 1, hidden_size: {choices: [16, 24]}}
training: {max_epochs: 200}
search: {trials: 2, pruner: none, sampler: random}
confirm: {finalists: 1, seeds: 2}
"""


class Team:
    """A queue before a head, and laptops of people who have nothing but its address and a token."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.address = folder, f"http://127.0.0.1:{port}"
        self._admin = folder / "service" / "queue" / "token"

    def answers(self) -> bool:
        """Return whether the queue's process serves, before a head that answers."""
        at = ("--address", self.address, "--token-file", self._admin)
        done = subprocess.run([GATESEARCH, "queue", *at, "--json"], capture_output=True)
        return done.returncode == 0 and json.loads(done.stdout)["away"] is None

    def laptop(self, user: str) -> Laptop:
        """Make somebody a user of the queue, and return their laptop."""
        token_file = self.folder / f"{user}.token"
        token_file.touch(mode=0o600)
        at = ("--address", self.address, "--token-file", self._admin)
        token_file.write_text(gatesearch("queue", "user", "add", user, *at, cwd=self.folder))
        return Laptop(self.folder / user, self.address, token_file)


@contextmanager
def queue_before(head: RayHead, folder: Path) -> Iterator[Team]:
    """Run the queue's own process before a head."""
    (port,) = free_ports(1)
    team = Team(folder, port)
    at = ("--address", head.address, "--token-file", str(head.token_file), "--port", str(port))
    with (folder / "queue.log").open("wb") as log:
        process = subprocess.Popen(
            [GATESEARCH, "queue", "serve", *at],
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
    try:
        wait_until(team.answers, "the queue answers")
        yield team
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def team(tmp_path: Path, ray_head: RayHead, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATESEARCH_SERVICE", str(tmp_path / "service"))
    with queue_before(ray_head, tmp_path) as found:
        yield found


def queued(laptop: Laptop) -> list[ClusterJob]:
    """Return the queue's jobs, the newest first."""
    with Client(laptop.address, find_token(laptop.token_file)) as cluster:
        return cluster.jobs()


def is_at_work(items: dict[str, object]) -> bool:
    """Return whether a page shows a driver at work that trains."""
    head = items.get("head")
    trained = any(name.startswith("curve/") for name in items)
    return isinstance(head, dict) and head["driven"] and trained


def is_stopped(items: dict[str, object]) -> bool:
    head = items.get("head")
    return isinstance(head, dict) and not head["driven"] and not head["finished"]


def check_refusals(port: int, token: str) -> None:
    """Assert that whoever has no token, or comes under a foreign name, can do and see nothing."""
    good, wrong = {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {'x' * 43}"}
    foreign = ({"Host": "evil.example"}, {"Origin": "http://evil.example"})
    for path in ("/stop", "/resume", "/login"):
        assert [asked(port, path, "POST", sent)[0] for sent in ({}, wrong)] == [401, 401]
        assert [asked(port, path, "POST", {**good, **sent})[0] for sent in foreign] == [403, 403]
    for path in ("/", "/events", "/report"):
        assert [asked(port, path, "GET", {**good, **sent})[0] for sent in foreign] == [403, 403]


def break_off(head: RayHead) -> None:
    """End what prints the journal for each page: each has it printed from where it is."""
    with Client(head.address, find_token(head.token_file)) as cluster:
        printing = [job.id for job in cluster.jobs(every=True) if job.id.startswith(FETCH_PREFIX)]
        assert len(printing) == 2
        for submission in printing:
            with suppress(ClusterError):  # its page has had it forgotten
                cluster.stop(submission)


@pytest.mark.slow
def test_a_job_of_the_queue_is_stopped_and_resumed_from_its_page_to_the_verdict(
    team: Team, ray_head: RayHead
) -> None:
    ann, bob = team.laptop("ann"), team.laptop("bob")
    (ann.folder / "lined-up.yaml").write_text(JOB)
    first = ann.gatesearch("submit", "lined-up.yaml").split()[0]
    with (
        ann.serving_page("lined-up") as (port, token),
        bob.serving_page("lined-up") as (bobs_port, bobs_token),
    ):
        pages = [Events(port), Events(port), Events(bobs_port)]
        for page in pages:
            page.wait(is_at_work, "it trains", WAIT)
        for each in (port, token), (bobs_port, bobs_token):
            check_refusals(*each)
        bearer = {"Authorization": f"Bearer {token}"}
        bobs = {"Authorization": f"Bearer {bobs_token}"}
        status, _, said = asked(bobs_port, "/stop", "POST", bobs)
        assert status == 409 and "only ann or an admin may change this job" in said
        assert [(job.id, job.state) for job in queued(ann)] == [(first, "running")]

        break_off(ray_head)
        known = first
        for _ in range(2):  # what was resumed has another submission, which the page stops as well
            assert asked(port, "/stop", "POST", bearer)[0] == 200
            for page in pages:
                page.wait(is_stopped, "it is stopped", WAIT)
            wait_until(lambda: queued(ann)[0].is_ended, "the queue has seen its end")
            assert queued(ann)[0].state == "stopped"
            status, _, said = asked(port, "/stop", "POST", bearer)
            assert status == 409 and "must run to be stopped" in said
            assert asked(port, "/resume", "POST", bearer)[0] == 200
            for page in pages:
                page.wait(is_at_work, "it goes on", WAIT)
            assert queued(ann)[0].id not in (first, known)
            known = queued(ann)[0].id
        for page in pages:
            page.wait(lambda items: items["head"]["finished"], "the end", WAIT)
            page.wait(lambda items: items["report"].get("phase") == "done", "the verdict", WAIT)
            assert "pair" in page.items["report"]["sentence"]
            assert page.items["problem"] is None
            page.close()

    wait_until(lambda: queued(ann)[0].is_ended, "the queue has seen its end")
    assert [job.state for job in queued(ann)] == ["succeeded", "stopped", "stopped"]
    with Client(ray_head.address, find_token(ray_head.token_file)) as cluster:
        left = {job.id for job in cluster.jobs(every=True)}
        assert left == {job.id for job in queued(ann)}, "nothing prints any more"
    ann.gatesearch("fetch", "lined-up")
    listed = json.loads(ann.gatesearch("results", "lined-up", "--phase", "all", "--json"))
    assert {record["state"] for record in listed} == {"complete"}
    assert len(listed) == 8
    whole = list(range(1, 201))
    assert all([point["epoch"] for point in record["curve"]] == whole for record in listed)
