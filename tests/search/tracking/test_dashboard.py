"""MLflow's pages over the runs folder: a real server on the loopback interface."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from test_tracking_process import free_port

from search.tracking.dashboard import _url, serve
from spaces.errors import InputError

_PROGRAM = (
    "import sys; from pathlib import Path; from search.tracking.dashboard import serve; "
    "serve(Path(sys.argv[1]), port=int(sys.argv[2]))"
)


def members(group: int) -> list[str]:
    """The processes whose parent, or group, is this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if group in (int(fields[1]), int(fields[2])) and fields[0] != "Z":
            found.append(path.parent.name)
    return found


def test_dashboard_serves_until_it_is_interrupted_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text("raise SystemExit('a foreign search/')")
    port = free_port()
    command = [sys.executable, "-P", "-c", _PROGRAM, str(tmp_path), str(port)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert f"http://127.0.0.1:{port}/" in line
        servers = members(process.pid)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        with pytest.raises(InputError, match=f"127.0.0.1:{port} cannot be listened on"):
            serve(tmp_path, port=port)
    finally:
        process.send_signal(signal.SIGINT)  # the mirror's tests end theirs with SIGTERM
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert servers
    assert not [server for server in servers if members(int(server))]
    assert (tmp_path / "mlflow.db").exists()


def test_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no runs here"):
        serve(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be listened on"):
        serve(tmp_path, host="192.0.2.1", port=free_port())


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / ".mlflow.db.lock").mkdir()  # root may write anywhere
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="could not be made"):
        serve(tmp_path, port=free_port())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("::1", "http://[::1]:5000"),
        ("node.example", "http://node.example:5000"),
    ],
)
def test_address_shown_can_be_opened(host: str, address: str) -> None:
    assert _url(host, 5000) == address


def test_port_zero_and_beyond_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        serve(tmp_path, port=70_000)
    with pytest.raises(InputError):
        serve(tmp_path, port=0)
