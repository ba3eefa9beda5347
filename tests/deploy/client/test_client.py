"""Jobs on a real Ray head with token auth, from submit to the results on the laptop."""

import contextlib
import itertools
import os
import secrets
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import ray
from faulty_server import faulty
from ray_head import RayHead

from deploy.client import Client, Submission, Token, find_token
from deploy.client.commands import run_command
from deploy.client.connection import Connection
from deploy.client.journal import WatchedCluster
from deploy.client.post import NO_AGENT
from deploy.errors import ClusterError, NoAgentError

pytestmark = pytest.mark.timeout(180)
ENOUGH = 60.0
Does = Callable[[str], None]
#: Stands on the cluster in place of `gatesearch run FILE --root ROOT`: $2 is FILE. It forks nothing
#: itself, since Ray leaves to itself what a shell forks in the moment when it is stopped.
STAND_IN = """\
#!/bin/sh
read -r _ name < "$2"
. "$HOME/commands/$name"
"""


@pytest.fixture(scope="module", autouse=True)
def stand_in(ray_head: RayHead) -> None:
    program = ray_head.programs / "gatesearch"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (ray_head.home / "commands").mkdir()


@pytest.fixture
def cluster(ray_head: RayHead) -> Iterator[Client]:
    with Client(ray_head.address, find_token(ray_head.token_file)) as client:
        yield client
        assert client.warnings == []


@pytest.fixture
def name() -> str:
    return f"vowels-{secrets.token_hex(4)}"  # no two tests submit the same job


@pytest.fixture
def job(tmp_path: Path, name: str) -> Path:
    file = tmp_path / "vowels.yaml"
    file.write_text(f"name: {name}\n")
    return file


@pytest.fixture
def does(ray_head: RayHead, name: str) -> Does:
    """Sets the shell command that the job of this test runs from now on."""

    def set_command(command: str) -> None:
        (ray_head.home / "commands" / name).write_text(f"{command}\n")

    set_command("true")
    return set_command


def test_without_a_token_nothing_is_shown(ray_head: RayHead) -> None:
    with (
        Client(ray_head.address) as client,
        pytest.raises(ClusterError, match=r"must carry the cluster's token \(none") as refusal,
    ):
        client.jobs()
    assert refusal.value.exit_code == 2 and "RAY_AUTH_TOKEN" in refusal.value.remedy


def test_a_wrong_token_is_refused_and_not_shown(ray_head: RayHead, job: Path, name: str) -> None:
    with Client(ray_head.address, Token("0123456789abcdef", "the-file")) as client:
        socket = Connection(ray_head.address, Token("0123456789abcdef", "the-file"))
        for request in (
            client.jobs,
            lambda: client.submit(job, name=name),
            lambda: list(socket.stream("/api/jobs/any/logs/tail")),
        ):
            with pytest.raises(ClusterError, match="refuses the token from the-file") as refusal:
                request()
            assert "0123456789abcdef" not in str(refusal.value)


def test_the_nodes_are_listed_with_what_they_offer_to_trials(cluster: Client) -> None:
    # A head that answers has not always counted itself yet.
    deadline = time.monotonic() + ENOUGH
    while not (nodes := cluster.nodes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    [node] = nodes
    assert (node.head, node.cores, node.cards, node.card) == (True, 2, 0, None)
    assert node.memory_bytes > 2**30
    assert cluster.ray_version() == ray.__version__


def test_a_job_finds_its_file_and_data_and_is_followed_to_its_end(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    (job.parent / "gestures.npz").write_bytes(b"many gestures\n")
    does('cat "$2" "$(dirname "$2")/gestures.npz" && seq 3000')
    submission = cluster.submit(job, [Path("gestures.npz")], name=name)
    assert submission.started
    log = "".join(cluster.follow(submission.id))
    assert job.read_text() + "many gestures\n" in log
    assert log.splitlines()[-3000:] == [str(number) for number in range(1, 3001)]
    assert cluster.logs(submission.id) == log
    status = cluster.status(submission.id)
    assert (status.state, status.name, status.exit_code) == ("succeeded", name, 0)
    assert cluster.jobs()[0] == status


def test_a_submission_is_started_once_and_goes_on_after_its_end(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    does("while :; do sleep 0.1; done")
    first = cluster.submit(job, name=name)
    second = cluster.submit(job, name=name)
    assert first.started and not second.started and second.id == first.id
    assert second.state in ("pending", "running")
    job.write_text(job.read_text() + "# another job of the same name\n")
    with pytest.raises(ClusterError, match=rf"that of another job .* \({first.id}\)"):
        cluster.submit(job, name=name)
    job.write_text(job.read_text().replace("# another job of the same name\n", ""))

    assert cluster.stop(first.id).state == "stopped"
    does("true")
    resumed = cluster.submit(job, name=name)
    assert (resumed.started, resumed.id, resumed.continues) == (True, f"{first.id}-2", first.id)
    assert cluster.wait(resumed.id, ENOUGH).state == "succeeded"

    finished = cluster.submit(job, name=name)
    assert (finished.started, finished.id, finished.state) == (False, resumed.id, "succeeded")
    again = cluster.submit(job, name=name, again=True)
    assert (again.started, again.id, again.continues) == (True, f"{first.id}-3", resumed.id)
    elsewhere = cluster.submit(job, name=name, root="/elsewhere")
    assert elsewhere.started and not elsewhere.id.startswith(first.id)
    for submission in (again, elsewhere):
        assert cluster.wait(submission.id, ENOUGH).state == "succeeded"


def test_a_submit_waits_for_a_head_that_has_just_begun_and_says_so(
    job: Path, name: str, does: Does, ray_head: RayHead
) -> None:
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        server.fault = "well"

    token = find_token(ray_head.token_file)
    with (
        faulty(int(ray_head.address.rpartition(":")[2])) as server,
        Client(server.uri, token, tell=tell) as client,
    ):
        server.fault = "no-agent"
        submission = client.submit(job, name=name)
        assert submission.started
        assert client.wait(submission.id, ENOUGH).state == "succeeded"
        server.fault = "no-agent"
        with contextlib.suppress(ClusterError):  # its log would come through a web socket
            client.standing(submission.id)
    assert len(told) == 2
    assert all("must have its agent up to take jobs" in text for text in told)


def test_a_head_that_never_takes_jobs_is_not_waited_for_without_end(
    job: Path, name: str, ray_head: RayHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.client.patience.PAUSES", (0.01, 0.01))
    with (
        faulty(int(ray_head.address.rpartition(":")[2])) as server,
        Client(server.uri, find_token(ray_head.token_file)) as client,
    ):
        server.fault = "no-agent"
        with pytest.raises(NoAgentError):
            client.submit(job, name=name)
        assert name not in {each.name for each in client.jobs()}


def test_ray_says_so_where_it_has_no_agent() -> None:
    """Of deploy.client.post.NO_AGENT, which Ray does not document."""
    (folder,) = ray.__path__
    assert NO_AGENT in Path(folder, "dashboard", "modules", "job", "job_head.py").read_text()


def test_two_who_submit_the_same_job_at_once_start_it_once(
    cluster: Client, job: Path, name: str, does: Does, ray_head: RayHead
) -> None:
    does("sleep 1")
    submitted: list[Submission] = []

    def submit() -> None:
        with Client(ray_head.address, find_token(ray_head.token_file)) as client:
            submitted.append(client.submit(job, name=name))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(submission.started for submission in submitted) == [False, False, False, True]
    assert len({submission.id for submission in submitted}) == 1
    assert cluster.wait(submitted[0].id, ENOUGH).state == "succeeded"


def test_a_stopped_job_may_end_in_good_order(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    # It needs longer than the 3 s after which Ray kills a job by default.
    does("trap 'sleep 4; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    submission = cluster.submit(job, name=name)
    with contextlib.closing(cluster.follow(submission.id)) as log:
        next(text for text in log if "\nready" in f"\n{text}")
    stopped = cluster.stop(submission.id)
    assert stopped.state == "stopped"
    assert "saved" in cluster.logs(submission.id).splitlines()
    assert cluster.stop(submission.id) == stopped


def test_a_job_is_stopped_even_before_it_has_begun(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    does("exec sleep 1000")
    submission = cluster.submit(job, name=name)
    assert cluster.stop(submission.id).state == "stopped"


def test_who_watches_a_job_stops_what_it_was_resumed_as(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    does("exec sleep 1000")
    watched = WatchedCluster(cluster)
    first = cluster.submit(job, name=name)
    watched.stop(first.id)
    cluster.stop(first.id)
    with pytest.raises(ClusterError, match="must run to be stopped; it is stopped"):
        watched.stop(first.id)
    resumed = cluster.submit(job, name=name)
    assert resumed.continues == first.id
    while not cluster.wait(resumed.id, 1.0).is_ended:  # Ray drops it while the supervisor starts
        with contextlib.suppress(ClusterError):  # it has just ended
            watched.stop(first.id)
    assert cluster.find(resumed.id).state == "stopped"


def test_a_failed_job_shows_its_last_lines(
    cluster: Client, job: Path, name: str, does: Does
) -> None:
    does("echo out of memory; echo what a pity >&2; exit 3")
    submission = cluster.submit(job, name=name)
    assert cluster.wait(submission.id, ENOUGH).is_ended
    status = cluster.status(submission.id)
    assert (status.state, status.exit_code) == ("failed", 3)
    assert status.message == "Job entrypoint command failed with exit code 3"
    assert status.last_lines == ("out of memory", "what a pity")


@pytest.mark.usefixtures("does")
def test_an_unknown_job_is_refused_with_the_nearest(cluster: Client, job: Path, name: str) -> None:
    submission = cluster.submit(job, name=name)
    for request in (cluster.status, cluster.logs, cluster.stop, cluster.find):
        with pytest.raises(ClusterError, match=f"the nearest is {name}") as refusal:
            request(name[:-1])
        assert refusal.value.exit_code == 2
    assert cluster.find(name).id == submission.id
    assert cluster.wait(submission.id, ENOUGH).is_ended


def test_a_cluster_without_gatesearch_says_so_in_the_log(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["/bin/sh", "-c", run_command("job/vowels.yaml", str(tmp_path))],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 127
    assert "gatesearch must be installed on the cluster" in ran.stderr


def test_twenty_megabytes_of_results_come_home(
    cluster: Client, job: Path, name: str, does: Does, ray_head: RayHead, tmp_path: Path
) -> None:
    folder = ray_head.home / "gatesearch" / "runs" / name
    (folder / "best").mkdir(parents=True)
    (folder / "best" / "weights.safetensors").write_bytes(os.urandom(20_000_000))
    (folder / "job.journal").write_text('{"record":"driver"}\n')
    submission = cluster.submit(job, name=name)
    before = {known.id for known in cluster.jobs(every=True)}
    fetched = cluster.fetch(submission.id, tmp_path / "laptop")
    assert fetched == tmp_path / "laptop" / name
    for file in ("best/weights.safetensors", "job.journal"):
        assert (fetched / file).read_bytes() == (folder / file).read_bytes()
    assert {known.id for known in cluster.jobs(every=True)} == before  # the fetch itself is gone
    assert cluster.wait(submission.id, ENOUGH).is_ended


def test_missing_results_are_reported_with_their_place(
    cluster: Client, job: Path, name: str, does: Does, tmp_path: Path
) -> None:
    does('echo "root: $4"')
    submission = cluster.submit(job, name=name, root="~/other runs")
    with pytest.raises(ClusterError, match=f"other runs/{name}: the job's folder must exist"):
        cluster.fetch(submission.id, tmp_path / "laptop")
    assert not (tmp_path / "laptop").exists()
    assert cluster.wait(submission.id, ENOUGH).is_ended
    assert "/other runs\n" in cluster.logs(submission.id)


@contextlib.contextmanager
def breaking_proxy(address: str, step: int) -> Iterator[tuple[str, "itertools.count[int]"]]:
    """A TCP proxy that breaks web sockets off, the nth after n times `step` bytes; a count too."""
    parts = urlsplit(address)
    opened, broken = itertools.count(1), itertools.count()
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, limit: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if b"Upgrade: websocket" in data:
                    limit[0] = step * next(opened)
                limit[0] -= len(data)
                if limit[0] < 0:
                    next(broken)
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with contextlib.ExitStack() as stack:
            threads = []
            while True:
                try:
                    client = stack.enter_context(listener.accept()[0])
                except OSError:
                    break
                head = stack.enter_context(
                    socket.create_connection((parts.hostname, parts.port or 80))
                )
                limit = [1 << 40]
                for pair in ((client, head), (head, client)):
                    threads.append(threading.Thread(target=pump, args=(*pair, limit)))
                    threads[-1].start()
            for thread in threads:
                thread.join(ENOUGH)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", broken
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join()


def test_a_connection_that_breaks_off_loses_and_doubles_nothing(
    cluster: Client, job: Path, name: str, does: Does, ray_head: RayHead
) -> None:
    does("seq 20000; sleep 2; seq 20001 24000")
    submission = cluster.submit(job, name=name)
    with (
        breaking_proxy(ray_head.address, 50_000) as (address, broken),
        Client(address, find_token(ray_head.token_file)) as client,
    ):
        log = "".join(client.follow(submission.id))
    numbers = [line for line in log.splitlines() if line.isdecimal()]
    counts = Counter(numbers)
    assert [number for number in counts if counts[number] != 1] == []
    assert numbers == [str(number) for number in range(1, 24001)]
    assert next(broken) > 0
