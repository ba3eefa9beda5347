"""Two users, five jobs each, two at once, the head killed twice: nothing lost, doubled or mixed."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from installed import gatesearch, records
from queued import check_order_and_shares, events
from server_process import free_ports
from waiting import wait_until

from deploy.client import Client, ClusterJob, find_token
from deploy.service import state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
JOB = """\
name: {name}
task: {{name: adding, length: 8, examples: 60}}
arms: [lstm]
space: {{depth: 1, hidden_size: {size}}}
training: {{max_epochs: 60}}
search: {{trials: 2, pruner: none}}
confirm: {{seeds: 0}}
resources: {{max_concurrent: 1}}
"""
USERS = ("ann", "bob")
#: Hidden sizes by which each job's trials are known.
SIZES = {
    f"{user}{number}": 4 + 5 * i + number for i, user in enumerate(USERS) for number in range(5)
}


class Place:
    """A folder with a service of its own, two users, and their ten jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(3)

    def up(self) -> state.Service:
        options = ("--port", "--mlflow-port", "--queue-port")
        ports = [text for pair in zip(options, map(str, self.ports), strict=True) for text in pair]
        gatesearch("up", *ports, "--cpus", "2", "--jobs", "2", cwd=self.folder, seconds=900)
        service = state.find_service()
        assert service is not None
        return service

    def add_user(self, name: str) -> None:
        file = self.folder / f"{name}.token"
        file.touch(mode=0o600)
        file.write_text(gatesearch("queue", "user", "add", name, cwd=self.folder))

    def client(self, user: str) -> Client:
        address = f"http://127.0.0.1:{self.ports[2]}"
        return Client(address, find_token(self.folder / f"{user}.token"))

    def jobs(self) -> list[ClusterJob]:
        with self.client("ann") as cluster:
            return cluster.jobs()

    def ended(self) -> int:
        return sum(job.is_ended for job in self.jobs())

    def trains(self) -> bool:
        """Return whether a job that holds a slot has trained something."""
        running = [job.name or "" for job in self.jobs() if job.state == "running"]
        journals = [self.folder / "runs" / name / "job.journal" for name in running]
        return any(file.exists() and b'"report"' in file.read_bytes() for file in journals)

    def wait_for(self, number: int) -> None:
        """Wait until so many jobs have ended and another one is at work."""
        for _ in range(6):  # each wait has a bound that one job's run may reach on a busy machine
            with suppress(AssertionError):
                wait_until(lambda: self.ended() >= number, f"{number} jobs have ended")
                break
        if number < len(SIZES):
            wait_until(self.trains, "another one trains")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("GATESEARCH_SERVICE", str(tmp_path / "service"))
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)
    yield Place(tmp_path)
    gatesearch("down", cwd=tmp_path)
    assert not state.processes()


def test_two_users_share_two_slots_while_the_head_is_killed_twice(place: Place) -> None:
    service = place.up()
    for user in USERS:
        place.add_user(user)
    for name, size in SIZES.items():
        file = place.folder / f"{name}.yaml"
        file.write_text(JOB.format(name=name, size=size))
        with place.client(name[:-1]) as cluster:
            assert cluster.submit(file, name=name).started
    for number in (2, 5):
        place.wait_for(number)
        os.kill(service.head, signal.SIGKILL)
        wait_until(lambda: state.find_service() is None, "the head is gone")
        service = place.up()
    place.wait_for(len(SIZES))

    jobs = place.jobs()
    assert {job.name: job.state for job in jobs} == dict.fromkeys(SIZES, "succeeded")
    assert len(jobs) == len(SIZES)
    assert any(job.attempt > 1 for job in jobs)
    check_secrets(place, service)
    gatesearch("down", cwd=place.folder)
    found_events = events(state.queue_folder())
    told = [(entry.split("-")[1], user, event) for entry, user, event in found_events]
    check_order_and_shares(told, 2)
    for name, size in SIZES.items():
        found = records(place.folder, name)
        assert [(each["number"], each["state"]) for each in found] == [
            (0, "complete"),
            (1, "complete"),
        ]
        assert {each["config"]["hidden_size"] for each in found} == {size}
        assert all(epochs_of(each) == list(range(1, 61)) for each in found)


def epochs_of(record: dict[str, Any]) -> list[int]:
    """Return the epochs of a trial's curve."""
    return [point["epoch"] for point in record["curve"]]


def check_secrets(place: Place, service: state.Service) -> None:
    """Assert that users' tokens are in no file, command line or environment of the service."""
    tokens = [(place.folder / f"{user}.token").read_text().strip().encode() for user in USERS]
    for folder in (place.folder, state.scratch()):
        for file in folder.rglob("*"):
            if file.suffix != ".token" and file.is_file() and not file.is_symlink():
                with suppress(FileNotFoundError):
                    content = file.read_bytes()
                    assert not any(token in content for token in tokens), file
    found = state.processes()
    assert service.parts <= {process.pid for process in found}
    for process in found:
        with suppress(psutil.Error):
            shown = json.dumps([process.cmdline(), process.environ()]).encode()
            assert not any(token in shown for token in tokens)
