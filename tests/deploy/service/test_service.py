"""The service on one machine: it takes jobs, keeps strangers out, and leaves nothing behind."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from installed import GATESEARCH, gatesearch
from server_process import free_ports
from waiting import wait_until

from deploy.service import state

pytestmark = pytest.mark.timeout(2400)
BUSY = 900.0  # seconds in which a head is started four times
JOB = """\
name: served
task: {name: adding, length: 8, examples: 60}
arms: [lstm]
space: {depth: 1, hidden_size: 4}
training: {max_epochs: 2}
search: {trials: 2, pruner: none}
confirm: {seeds: 0}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a service of the test's own, which has ended when the test has."""
    monkeypatch.setenv("GATESEARCH_SERVICE", str(tmp_path / "service"))
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)
    (tmp_path / "job.yaml").write_text(JOB)
    yield tmp_path
    gatesearch("down", cwd=tmp_path)
    assert not state.processes()


def up(place: Path) -> state.Service:
    port, mlflow_port = free_ports(2)
    options = ("--port", str(port), "--mlflow-port", str(mlflow_port), "--cpus", "1")
    said = gatesearch("up", *options, cwd=place, seconds=BUSY)
    service = state.find_service()
    assert service is not None and service.address in said
    return service


def answer(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def ended(place: Path, job: str) -> bool:
    return json.loads(gatesearch("status", job, "--json", cwd=place))["state"] == "succeeded"


def test_a_job_is_submitted_watched_and_read_without_a_flag(place: Path) -> None:
    service = up(place)
    assert answer(f"{service.address}/api/jobs/") == 401
    assert answer(f"{service.address}/api/jobs/", Authorization="Bearer " + 64 * "0") in (401, 403)
    assert answer(f"{service.mlflow}/health") == 200
    pages = f"{service.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert (answer(pages), answer(pages, Host="evil.example")) == (200, 403)
    listening = {
        one.laddr.ip
        for process in state.processes()
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert (service.token_file.stat().st_mode & 0o077) == 0
    said = gatesearch("up", cwd=place)
    assert "runs already" in said and "Starting" not in said

    gatesearch("submit", "job.yaml", cwd=place)
    assert "served" in gatesearch("logs", "served", "-f", cwd=place)
    wait_until(lambda: ended(place, "served"), "the job has succeeded")
    (place / "elsewhere").mkdir()
    listed = json.loads(gatesearch("results", "served", "--json", cwd=place / "elsewhere"))
    assert [record["state"] for record in listed] == ["complete", "complete"]

    token = service.token_file.read_text()
    for process in state.processes():
        with contextlib.suppress(psutil.Error):
            assert token not in " ".join(process.cmdline())
    gatesearch("down", cwd=place)
    assert not state.processes() and not state.scratch().exists()
    assert "No service" in gatesearch("down", cwd=place)


@pytest.mark.slow
def test_a_head_that_was_killed_is_started_again_and_its_job_goes_on(place: Path) -> None:
    service = up(place)
    (place / "job.yaml").write_text(JOB.replace("max_epochs: 2", "max_epochs: 300"))
    gatesearch("submit", "job.yaml", cwd=place)
    journal = place / "runs" / "served" / "job.journal"
    wait_until(lambda: journal.exists() and b"report" in journal.read_bytes(), "it trains")
    os.kill(service.head, signal.SIGKILL)
    wait_until(lambda: state.find_service() is None, "the head is gone")
    up(place)
    gatesearch("submit", "job.yaml", cwd=place)
    wait_until(lambda: ended(place, "served"), "the job has succeeded")
    listed = json.loads(gatesearch("results", "served", "--json", cwd=place))
    assert [(record["number"], record["state"]) for record in listed] == [
        (0, "complete"),
        (1, "complete"),
    ]


def test_a_head_that_ends_before_its_node_is_up_is_started_again(place: Path) -> None:
    (port,) = map(str, free_ports(1))
    log = place / "up.log"
    with log.open("wb") as said:
        starting = subprocess.Popen(
            [GATESEARCH, "up", "--port", port, "--cpus", "1"], cwd=place, stdout=said, stderr=said
        )
    try:
        wait_until(lambda: bool(nodes()), "a node starts")
        (node,) = nodes()
        node.kill()
        assert starting.wait(BUSY) == 0, log.read_text()
    finally:
        starting.kill()
        starting.wait()
    assert "try 2 of 4" in log.read_text()
    service = state.find_service()
    assert service is not None and service.address in log.read_text()
    assert len(nodes()) == 1 and nodes() != [node]
    assert answer(f"{service.address}/api/jobs/", **bearer(service)) == 200


def nodes() -> list[psutil.Process]:
    """Return the service's node of Ray, while it has one."""
    found = []
    for process in state.processes():
        with contextlib.suppress(psutil.Error):
            if process.name() == "raylet":
                found.append(process)
    return found


def bearer(service: state.Service) -> dict[str, str]:
    """Return the header that opens a service's head."""
    return {"Authorization": f"Bearer {service.token_file.read_text()}"}


def test_what_a_fault_has_left_is_found_by_its_mark(place: Path) -> None:
    service = up(place)
    (state.folder() / state.STATE).unlink()  # as if it had not been written yet
    assert state.find_service() is None
    assert "has ended" in gatesearch("down", cwd=place)
    assert not psutil.pid_exists(service.head) and not state.processes()


def test_two_commands_do_not_start_the_service_at_once(place: Path) -> None:
    state.folder().mkdir()
    lock = os.open(state.folder(), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as the other one holds it
    try:
        assert "another one is at it" in gatesearch("up", cwd=place, code=2)
    finally:
        os.close(lock)
    assert not state.processes()


def test_a_port_that_is_taken_is_refused(place: Path) -> None:
    (port,) = map(str, free_ports(1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        said = gatesearch("up", "--port", port, cwd=place, code=2)
    assert f"--port: port {port} must be free" in said
    assert not state.processes() and not list(state.folder().iterdir())
