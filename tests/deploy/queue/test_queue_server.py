"""The queue's own process: who gets in, and what outlives kill -9. Its cluster is away."""

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from aiohttp.test_utils import TestClient, TestServer
from installed import GATESEARCH, gatesearch
from server_process import end_with_parent, free_ports
from servers import Postgres
from waiting import wait_until

from deploy.client import Client, find_token
from deploy.errors import ClusterError
from deploy.queue.dispatch import Dispatcher
from deploy.queue.gateway import Gateway
from deploy.queue.requests import Requests
from deploy.queue.serve import open_queue
from deploy.queue.server import Server
from deploy.service import down

JOB = """\
name: {name}
task: {{name: adding, length: 8, examples: 60}}
arms: [lstm]
space: {{depth: 1, hidden_size: 4}}
training: {{max_epochs: 2}}
search: {{trials: 2, pruner: none}}
confirm: {{seeds: 0}}
"""


class Place:
    """A folder from which commands go to a queue of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, self.closed = free_ports(2)
        self.address = f"http://127.0.0.1:{port}"
        self.state = folder / "service" / "queue"

    @contextmanager
    def serving(
        self, program: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """Run the queue's process, before a cluster that is not there. program: what runs it."""
        command = [*program, GATESEARCH, "queue", "serve"]
        command += ["--port", self.address.rpartition(":")[2]]
        command += ["--address", f"http://127.0.0.1:{self.closed}", "--cluster-root", "/runs"]
        command += options
        with (self.folder / "queue.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )
        try:
            wait_until(self._answers, "the queue answers")
            yield process
        finally:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.ask("GET", "/api/version", self.token())[0] == 200
        return False

    def token(self, name: str = "") -> str:
        return (self.folder / f"{name}.token" if name else self.state / "token").read_text().strip()

    def ask(self, method: str, path: str, token: str | None, **headers: str) -> tuple[int, str]:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def run(self, *arguments: str, user: str | None = None, code: int = 0) -> str:
        """Run a command as a user, or as whoever started the queue."""
        token = self.folder / f"{user}.token" if user else self.state / "token"
        options = ["--address", self.address, "--token-file", str(token)]
        return gatesearch(*arguments, *options, cwd=self.folder, code=code)

    def add_user(self, name: str) -> None:
        file = self.folder / f"{name}.token"
        file.touch(mode=0o600)
        with self.client() as cluster:
            file.write_text(cluster.queue().add_user(name, admin=False, weight=1))

    def client(self, name: str = "") -> Client:
        """Return what commands use, as a user: it takes no process to start."""
        token = self.folder / f"{name}.token" if name else self.state / "token"
        return Client(self.address, find_token(token))

    def submit(self, name: str, user: str) -> str:
        (self.folder / f"{name}.yaml").write_text(JOB.format(name=name))
        with self.client(user) as cluster:
            return cluster.submit(self.folder / f"{name}.yaml", name=name).id

    def names(self) -> list[str | None]:
        with self.client() as cluster:
            return [job.name for job in cluster.queue().list().jobs]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("GATESEARCH_SERVICE", str(tmp_path / "service"))
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)
    return Place(tmp_path)


def test_the_queue_lets_nobody_in_and_outlives_a_kill(place: Place) -> None:
    with place.serving() as process:
        place.add_user("ann")
        bob = place.folder / "bob.token"
        bob.touch(mode=0o600)
        bob.write_text(place.run("queue", "user", "add", "bob"))
        token = place.token("ann")
        refused = {
            "no token": (401, None, {}),
            "a wrong token": (403, "0" * 64, {}),
            "a token changed": (403, token[:-1] + ("0" if token[-1] != "0" else "1"), {}),
            "a foreign host": (403, token, {"Host": "evil.example"}),
            "a foreign origin": (403, token, {"Origin": "https://evil.example"}),
            "an origin of nowhere": (403, token, {"Origin": "null"}),
        }
        for path in (
            "/queue",
            "/metrics",
            "/api/jobs/",
            "/api/jobs/x/logs",
            "/api/jobs/x/logs/tail",
            "/else",
        ):
            for what, (status, shown, headers) in refused.items():
                assert place.ask("GET", path, shown, **headers)[0] == status, (path, what)
        own = place.address.removeprefix("http://").replace("127.0.0.1", "localhost")
        assert place.ask("GET", "/queue", token, Host=own, Origin=f"http://{own}")[0] == 200
        listening = {
            one.laddr.ip
            for one in psutil.Process(process.pid).net_connections("inet")
            if one.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

        assert 'jobs{user="ann",state="queued"} 0' in place.ask("GET", "/metrics", token)[1]

        first = place.submit("one", "ann")
        place.submit("two", "ann")
        (place.folder / "three.yaml").write_text(JOB.format(name="three"))
        options = ("--priority", "3", "--notify", "http://127.0.0.1:1/planted")
        place.run("submit", "three.yaml", *options, user="bob")
        assert place.names() == ["one", "three", "two"]
        process.kill()
        process.wait()
    with place.serving():
        assert place.names() == ["one", "three", "two"]
        assert place.submit("one", "ann") == first and len(place.names()) == 3
        refusal = place.run("stop", first, user="bob", code=2)
        assert "only ann or an admin may change this job, not bob" in refusal
        assert "place 1" in place.run("status", first, user="bob")
        with place.client("bob") as cluster:
            places = {job.name: job.queue and job.queue.place for job in cluster.jobs()}
        assert places == {"one": 1, "three": 2, "two": 3}
        place.run("queue", "change", first, "--move", "2", user="ann")
        assert place.names() == ["two", "three", "one"]
        with place.client("ann") as cluster:
            assert cluster.stop("one").state == "stopped"
        place.run("queue", "change", "one", "--resume", user="ann")
        assert place.names() == ["two", "three", "one"]
        with place.client() as cluster:
            cluster.queue().remove_user("bob")
        with place.client("bob") as cluster, pytest.raises(ClusterError) as refusal:
            cluster.jobs()
        assert "still good" in refusal.value.rule and "queue user add" in refusal.value.remedy
        shown = place.run("queue")
        assert "0 of 1 slots are taken" in shown and "The cluster does not answer" in shown
        assert re.search(r"^\s*ann +1 +0 *$", shown, re.MULTILINE)

        tokens = [place.token(name) for name in ("ann", "bob")]
        kept = [file for file in place.folder.rglob("*") if file.suffix != ".token"]
        for file in kept:
            assert not file.is_file() or not any(t.encode() in file.read_bytes() for t in tokens)
        log = (place.folder / "queue.log").read_text()
        assert "planted" not in log and "gsq." not in log
        for running in psutil.process_iter(["cmdline"]):
            assert not any(each in " ".join(running.info["cmdline"] or []) for each in tokens)


def test_a_queue_outlives_its_terminal_and_a_service_that_is_ended_beside_it(place: Place) -> None:
    with place.serving(("nohup",)) as process:
        said = (place.folder / "queue.log").read_text()
        assert f"listens on {place.address.removeprefix('http://')}" in said
        assert f"is in {place.state / 'token'}" in said
        process.send_signal(signal.SIGHUP)
        assert down() is False
        assert place.ask("GET", "/queue", place.token())[0] == 200 and process.poll() is None
        process.terminate()
        assert process.wait(60) == 0


def test_a_queue_in_a_database_goes_on_after_a_kill_on_another_machine(
    place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--database", postgres.database())
    with place.serving(options=options):
        place.add_user("ann")
        place.submit("one", "ann")
    monkeypatch.setenv("GATESEARCH_SERVICE", str(place.folder / "another"))
    place.state = place.folder / "another" / "queue"
    with place.serving(options=options), place.client("ann") as cluster:
        assert [(job.name, job.state) for job in cluster.jobs()] == [("one", "queued")]
        assert place.submit("two", "ann") and place.names() == ["one", "two"]
    assert {path.name for path in place.state.iterdir()} == {"token"}
    assert postgres.password not in (place.folder / "queue.log").read_text()


def test_a_queue_that_gets_no_port_does_not_say_that_it_listens(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(place.address.rpartition(":")[2])))
        taken.listen()
        port = place.address.rpartition(":")[2]
        said = gatesearch("queue", "serve", "--port", port, cwd=place.folder, code=2)
    assert f"port {port} must be free" in said and "listens" not in said


def test_whoever_waits_for_a_job_outlasts_a_queue_that_is_started_anew(place: Place) -> None:
    (place.folder / "four.yaml").write_text(JOB.format(name="four"))
    command = [GATESEARCH, "submit", "four.yaml", "--wait", "--address", place.address]
    command += ["--token-file", str(place.folder / "ann.token")]
    with place.serving() as process:
        place.add_user("ann")
        waiting = subprocess.Popen(
            command, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert waiting.stdout is not None and "gatesearch-four" in waiting.stdout.readline()
        process.kill()
        process.wait()
    with place.serving(), waiting:  # it asks more often than a queue takes to start
        with place.client() as cluster:
            cluster.stop("four")
        said, _ = waiting.communicate(timeout=240)
    assert waiting.returncode == 1 and "has been stopped" in said


def test_the_queue_hears_while_a_request_waits_for_its_database(tmp_path: Path) -> None:
    store, packages, signer = open_queue(tmp_path)
    ann = store.put_user("ann", admin=False, weight=1)
    address = "http://127.0.0.1:1"
    cluster = Client(address, None)
    dispatcher = Dispatcher(store, packages, cluster, 1, None)
    requests = Requests(store, packages, signer, dispatcher, None)
    gateway = Gateway(address, None, store)
    server = Server(store, packages, requests, gateway, dispatcher, lambda _: None)
    headers = {"Authorization": f"Bearer {signer.sign('ann', ann.number)}"}
    held, back = threading.Event(), threading.Event()

    def hold() -> None:  # as a thread does that connects to a server that is away
        with store.alone():
            held.set()
            back.wait(5.0)

    async def ask() -> None:
        async with TestClient(TestServer(server.app())) as client:
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait()
            began = time.monotonic()
            asked = asyncio.create_task(client.get("/queue", headers=headers))
            await asyncio.sleep(0.2)
            assert time.monotonic() - began < 2.0 and not asked.done()
            back.set()
            async with await asked as answer:
                assert answer.status == 200
            holder.join()

    try:
        with cluster:
            asyncio.run(ask())
    finally:
        store.close()


def test_a_cluster_without_a_queue_says_so(place: Place) -> None:
    """A stand-in for a bare head: it answers as one does to whoever asks for its version."""
    program = (
        "import http.server, sys\n"
        "class Head(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        '        self.wfile.write(b\'{"ray_version": "2.60.0"}\')\n'
        "    def log_message(self, *_): pass\n"
        f"http.server.HTTPServer(('127.0.0.1', {place.closed}), Head).serve_forever()\n"
    )
    head = subprocess.Popen([sys.executable, "-c", program])
    place.address = f"http://127.0.0.1:{place.closed}"
    (place.folder / "ann.token").write_text("0123")
    (place.folder / "one.yaml").write_text(JOB.format(name="one"))

    def up() -> bool:
        with suppress(OSError):
            return place.ask("GET", "/", None)[0] == 200
        return False

    try:
        wait_until(up, "it answers")
        for words in (["queue"], ["submit", "one.yaml", "--priority", "3"]):
            said = place.run(*words, user="ann", code=2)
            assert "must go to a queue" in said and "Kueue" in said
    finally:
        head.kill()
        head.wait()
