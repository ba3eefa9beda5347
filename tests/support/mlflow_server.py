"""A real MLflow server on the loopback interface, over a folder's database."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
