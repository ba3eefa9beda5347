"""MLflow's pages over the runs folder: a real server on the loopback interface."""

import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from mlflow_server import start_dashboard
from server_process import free_ports

from search.tracking.dashboard import address, allowed_origins, serve
from spaces.errors import InputError

#: What a browser sends that opens the pages, and the status that a search is answered with.
AS_OPENED = {
    "here": ({"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"}, 200),
    "by name": ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 200),
    "from another machine": ({"Host": "gpu01:{port}", "Origin": "http://gpu01:{port}"}, 200),
    "behind a proxy": ({"Host": "runs.example", "Origin": "https://runs.example"}, 200),
    "a foreign page": ({"Host": "127.0.0.1:{port}", "Origin": "http://evil.example"}, 403),
    "a name turned to us": ({"Host": "evil.example:{port}"}, 403),
}


def answered(port: int, headers: dict[str, str]) -> int:
    """Ask for experiments as the pages do; return the status of the answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/search",
        data=b'{"max_results": 10}',
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_dashboard_serves_until_it_is_interrupted_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text("raise SystemExit('a foreign search/')")
    (port,) = free_ports(1)
    process = start_dashboard(tmp_path, port, "gpu01", "https://runs.example")
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert f"http://127.0.0.1:{port}/" in line
        servers = psutil.Process(process.pid).children(recursive=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        for asked, (headers, status) in AS_OPENED.items():
            sent = {name: text.format(port=port) for name, text in headers.items()}
            assert answered(port, sent) == status, asked
        with pytest.raises(InputError, match=f"127.0.0.1:{port} must be free"):
            serve(tmp_path, port=port)
    finally:
        process.send_signal(signal.SIGINT)  # the mirror's tests end theirs with SIGTERM
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert servers
    assert not [server for server in servers if server.is_running()]
    assert (tmp_path / "mlflow.db").exists()


def test_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must have the runs"):
        serve(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be free"):
        serve(tmp_path, host="192.0.2.1", port=free_ports(1)[0])


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / ".mlflow.db.lock").mkdir()  # root may write anywhere
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="must take a new database"):
        serve(tmp_path, port=free_ports(1)[0])


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("::1", "http://[::1]:5000"),
        ("node.example", "http://node.example:5000"),
    ],
)
def test_address_shown_can_be_opened(host: str, shown: str) -> None:
    assert address(host, 5000) == shown


@pytest.mark.parametrize("port", [-1, 0, 65_536, 70_000])
def test_number_that_is_no_port_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(InputError, match=f"must be a port's number, not {port}"):
        serve(tmp_path, port=port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.2"])
def test_a_dashboard_for_other_machines_answers_under_the_names_of_this_one(host: str) -> None:
    origins = allowed_origins(host, 5000)
    assert {"http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"} <= set(origins)
    here = "http://127.0.0.2:5000" if host == "127.0.0.2" else f"http://{socket.gethostname()}:5000"
    assert here in origins
    assert not [origin for origin in origins if "*" in origin]


def test_a_dashboard_on_loopback_allows_no_more_than_mlflow_does() -> None:
    assert allowed_origins("127.0.0.1", 5000) == []


@pytest.mark.parametrize(
    "name", ["*", "", "a b", "http://", "gpu01:", "ftp://gpu01", "gpu01/x", "a,b", "gpu01:123456"]
)
def test_a_name_that_no_browser_sends_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="must be NAME, NAME:PORT or"):
        allowed_origins("0.0.0.0", 5000, [name])
