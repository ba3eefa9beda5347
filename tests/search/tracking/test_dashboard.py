"""MLflow's pages over the runs folder: a real server on the loopback interface."""

import os
import signal
import urllib.request
from pathlib import Path

import psutil
import pytest
from mlflow_server import start_dashboard
from server_process import free_ports

from search.tracking.dashboard import address, serve
from spaces.errors import InputError


def test_dashboard_serves_until_it_is_interrupted_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text("raise SystemExit('a foreign search/')")
    (port,) = free_ports(1)
    process = start_dashboard(tmp_path, port)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert f"http://127.0.0.1:{port}/" in line
        servers = psutil.Process(process.pid).children(recursive=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
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
