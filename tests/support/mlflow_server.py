"""A real MLflow server on the loopback interface: over a folder's database, or with accounts."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server_process import end_with_parent, free_ports
from waiting import wait_until

from deploy.healthy import is_healthy
from search.tracking.mlflow_compat import SERVER_ENVIRONMENT

_PROGRAM = (
    "import sys; from pathlib import Path; from search.tracking.dashboard import serve; "
    "serve(Path(sys.argv[1]), port=int(sys.argv[2]), allowed=sys.argv[3:])"
)


def start_dashboard(root: Path, port: int, *allowed: str) -> "subprocess.Popen[bytes]":
    """Start the dashboard of a runs folder in a process of its own, working in that folder."""
    command = [sys.executable, "-P", "-c", _PROGRAM, str(root), str(port), *allowed]
    return subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def running_server(root: Path, port: int) -> Iterator[str]:
    """Serve a folder as the dashboard does; yield the server's URI once it answers."""
    process = start_dashboard(root, port)
    try:
        assert process.stdout is not None
        assert b"MLflow shows" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


ADMIN = "admin"
_SECONDS = 240.0  # a bound that only a hang reaches


@contextmanager
def running_with_accounts(
    home: Path, password: str, database: str, artifacts: str, environment: dict[str, str]
) -> Iterator[str]:
    """Serve MLflow to ADMIN alone, who has this password; yield the server's URI.

    database, artifacts: URIs of where it keeps these. environment: what they need.
    """
    (port,) = free_ports(1)
    uri = f"http://127.0.0.1:{port}"
    accounts = home / "accounts.ini"
    accounts.write_text(
        f"[mlflow]\ndefault_permission = READ\nadmin_username = {ADMIN}\n"
        f"admin_password = unused\ndatabase_uri = sqlite:///{home}/accounts.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database, "--artifacts-destination", artifacts]
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=home,
            env={**os.environ, **SERVER_ENVIRONMENT, **environment, **own},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
    try:
        wait_until(lambda: is_healthy(f"{uri}/health"), "MLflow answers", _SECONDS)
        yield uri
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
