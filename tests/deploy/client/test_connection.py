"""Every way in which an address can be wrong has an error of its own that says what to do."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.client import Client, Token
from deploy.client.connection import find_address, is_loopback
from deploy.client.package import Package
from deploy.errors import ClusterError, JobRefusedError


@contextlib.contextmanager
def server(status: int, body: str = "", **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A web server that gives one answer to everything; yields its URL and the tokens it got."""
    tokens: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}", tokens
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("given", "environ", "address"),
    [
        (None, {}, "http://127.0.0.1:8265"),
        ("https://ray.example/team/", {}, "https://ray.example/team"),
        ("http://[::1]:8265", {"RAY_ADDRESS": "http://other:8265"}, "http://[::1]:8265"),
        (None, {"RAY_ADDRESS": "http://head:8265"}, "http://head:8265"),
        (None, {"RAY_ADDRESS": "head:6379"}, "http://127.0.0.1:8265"),
        (
            None,
            {"RAY_API_SERVER_ADDRESS": "http://a:1", "RAY_ADDRESS": "http://b:2"},
            "http://a:1",
        ),
    ],
)
def test_the_address_is_found_where_ray_looks(
    given: str | None, environ: dict[str, str], address: str
) -> None:
    assert find_address(given, environ) == address


@pytest.mark.parametrize(
    "given",
    [
        "head:8265",
        "ray://head:10001",
        "http://",
        "http://h:port",
        "http://h/?x=1",
        "http://[::",
        "http://...",
        f"http://{'a' * 64}.example",
        "",
    ],
)
def test_what_is_no_dashboard_url_is_refused(given: str) -> None:
    with pytest.raises(ClusterError, match="must be the URL of a Ray dashboard") as refusal:
        find_address(given, {})
    assert refusal.value.exit_code == 2


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ClusterError, match="must hold no user name") as refusal:
        find_address("http://me:hunter2@head:8265", {})
    assert "hunter2" not in str(refusal.value)


def test_a_token_over_plain_http_to_another_machine_is_warned_of() -> None:
    token = Token("t0ken", "here")
    assert "unencrypted" in Client("http://ray.example:8265", token).warnings[0]
    for safe in ("https://ray.example", "http://127.0.0.1:8265", "http://localhost:8265"):
        assert Client(safe, token).warnings == []


@pytest.mark.parametrize("address", ["http://[::", "null", "", "http://10.0.0.1", "http://a.b"])
def test_what_is_no_address_of_this_machine_is_not_taken_for_one(address: str) -> None:
    assert not is_loopback(address)


def test_no_token_is_warned_of() -> None:
    assert "no token" in Client("http://127.0.0.1:8265").warnings[0]


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as held:  # bound and not listening: nobody else takes the port
        held.bind(("127.0.0.1", 0))
        with pytest.raises(
            ClusterError, match=r"no Ray head can be reached \(Connection refused\)"
        ):
            Client(f"http://127.0.0.1:{held.getsockname()[1]}").jobs()


def test_an_unknown_host_is_unreachable() -> None:
    with pytest.raises(ClusterError, match="no Ray head can be reached") as failure:
        Client("http://no-such-host.invalid:8265").jobs()
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(
    ("status", "body", "rule"),
    [
        (200, "<html>hello</html>", "not JSON"),
        (404, "not found", "must be that of a Ray head's Jobs API"),
        (200, '{"version": "1.0"}', "must be that of a Ray head"),
        (502, "Bad\nGateway", "answered 502 to /api/version: Gateway"),
    ],
)
def test_another_server_is_not_taken_for_a_ray_head(
    tmp_path: Path, status: int, body: str, rule: str
) -> None:
    job = tmp_path / "job.yaml"
    job.touch()
    with (
        server(status, body) as (address, _),
        Client(address) as client,
        pytest.raises(ClusterError, match=re.escape(rule)),
    ):
        client.submit(job, name="vowels")


@pytest.mark.parametrize(
    ("status", "told", "shown", "code"),
    [
        (401, {"rule": "the request must carry a token", "remedy": "add a user"}, "http://127.", 2),
        (403, {"rule": "the token must be good", "remedy": "add a user"}, "http://127.", 2),
        (502, {"place": "head", "rule": "nobody answers", "remedy": "wait"}, "head: nobody", 1),
        (400, {"place": "--move", "rule": "must be 1", "remedy": "give 1"}, "--move: must be", 2),
    ],
)
def test_what_a_queue_says_is_passed_on(
    status: int, told: dict[str, str], shown: str, code: int
) -> None:
    with (
        server(status, json.dumps(told)) as (address, _),
        Client(address) as client,
        pytest.raises(ClusterError) as failure,
    ):
        client.jobs()
    said = str(failure.value)
    assert told["rule"] in said and told["remedy"] in said and shown in said
    assert failure.value.exit_code == code


@pytest.mark.parametrize("status", [401, 403])
def test_what_ray_says_of_a_token_names_the_clusters_own(status: int) -> None:
    for text in ("Unauthorized", "[]", '{"rule": 3}'):
        with (
            server(status, text) as (address, _),
            Client(address) as client,
            pytest.raises(ClusterError, match="the cluster") as failure,
        ):
            client.jobs()
        assert "queue" not in str(failure.value)


def test_an_upload_that_is_too_large_is_a_refusal_of_that_job() -> None:
    package = Package("job/job.yaml", 64 * "0", b"content")
    with (
        server(413) as (address, _),
        Client(address) as client,
        pytest.raises(JobRefusedError, match="refuses an upload of this size"),
    ):
        client.start("one", package, name="one", root=None, digest=64 * "0")


def test_a_token_follows_no_redirect() -> None:
    with (
        server(200, "[]") as (elsewhere, tokens),
        server(302, Location=elsewhere) as (address, _),
        Client(address, Token("t0ken", "here")) as client,
    ):
        with pytest.raises(ClusterError, match="must not redirect elsewhere"):
            client.jobs()
        assert tokens == []


def test_the_login_of_a_netrc_does_not_replace_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with server(200, "[]") as (address, tokens), Client(address, Token("t0ken", "here")) as client:
        client.jobs()
    assert tokens == ["Bearer t0ken"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with server(502) as (proxy, asked), server(200, "[]") as (address, _):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with Client(address) as client:
            assert client.jobs() == []
        assert asked == []


@pytest.mark.parametrize("answer", ["[]", "{}", '{"data": null}', '{"data": {"result": {}}}'])
def test_another_list_of_nodes_is_an_error_that_names_the_cluster(answer: str) -> None:
    with (
        server(200, answer) as (address, _),
        pytest.raises(ClusterError, match="list of nodes cannot be read") as failure,
    ):
        Client(address).nodes()
    assert failure.value.place == address
