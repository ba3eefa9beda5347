"""Starts the service: a Ray head with the Jobs API, MLflow's pages of its folder, and a queue."""

import fcntl
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from deploy.errors import ClusterError
from deploy.files import TOKEN, write_whole
from deploy.healthy import is_healthy
from deploy.service import state
from deploy.service.state import Service
from deploy.service.stop import down, end_processes

READY_SECONDS = 180.0
#: Of Ray's head, which ends where its node is not up within 30 s, as on a busy machine.
HEAD_TRIES = 4
LAST_LINES = 5  # of a log, where a part does not start
_HOST = "127.0.0.1"
_answers = partial(is_healthy, patience=20.0)  # a machine on which all starts is slow
#: Options of `ray start` for a head that shares its machine with others, beside the dashboard's.
PORTS = (
    "port",
    "object-manager-port",
    "node-manager-port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_USUAL_PORT, _USUAL_MLFLOW_PORT, _USUAL_QUEUE_PORT = 8265, 5000, 8266


def up(
    root: Path,
    port: int | None = None,
    mlflow_port: int | None = None,
    cpus: int | None = None,
    *,
    queue_port: int | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Service, bool]:
    """Start the service unless it runs; return it, and whether it was started.

    root: folder of the jobs' folders. port, mlflow_port, queue_port: None is the usual one where
    that is free, or any free one. cpus: None is all cores. jobs: how many run at once. say: takes
    what is waited for. Raises ClusterError where a part does not start, and then nothing of it is
    left; and while another command starts the service.
    """
    folder = state.folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _alone(folder):
        if (running := state.find_service()) is not None:
            return running, False
        down()  # what a fault has left
        return _start(folder, root, (port, mlflow_port, queue_port), cpus, jobs, say), True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: `down` would end what another command is starting."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with ExitStack() as held:
        held.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            rule = "one command at a time must start the service; another one is at it"
            raise ClusterError.refused(str(folder), rule, "wait for the other one") from error
        except OSError:
            pass  # a file system without locks
        yield


def _start(
    folder: Path,
    root: Path,
    ports: Sequence[int | None],
    cpus: int | None,
    jobs: int,
    say: Callable[[str], None],
) -> Service:
    """Start all parts, or leave nothing of them; see `up`. ports: of head, pages and queue."""
    root.mkdir(parents=True, exist_ok=True)
    usual = (_USUAL_PORT, _USUAL_MLFLOW_PORT, _USUAL_QUEUE_PORT)
    options = ("--port", "--mlflow-port", "--queue-port")
    free = [_free(*one) for one in zip(ports, usual, options, strict=True)]
    address, mlflow, queue = (f"http://{_HOST}:{port}" for port in free)
    environment, token = _environment(folder, root), secrets.token_hex(32)
    with ExitStack() as undo:
        undo.callback(down)
        write_whole(folder / TOKEN, token.encode())
        # One after the other: each may take long on a busy machine.
        head = _started_head(free[0], cpus, environment, token, say)
        command = _ours("dashboard", "--root", str(root), "--port", str(free[1]))
        pages = _begin(command, environment, folder / state.MLFLOW_LOG)
        _wait(pages, lambda: _answers(f"{mlflow}/health"), folder / state.MLFLOW_LOG)
        command = _ours("queue", "serve", "--address", address, "--port", str(free[2]))
        command += ["--jobs", str(jobs), "--cluster-root", str(root)]
        command += ["--token-file", str(folder / TOKEN)]
        waits = _begin(command, environment, folder / state.QUEUE_LOG)
        service = Service(address, mlflow, str(root), head.pid, pages.pid, queue, waits.pid)
        state.write(service)
        _wait(
            waits,
            lambda: _answers(f"{queue}/api/version", _read(service.queue_token_file)),
            folder / state.QUEUE_LOG,
        )
        undo.pop_all()
    return service


def _started_head(
    port: int, cpus: int | None, environment: dict[str, str], token: str, say: Callable[[str], None]
) -> "subprocess.Popen[bytes]":
    """Start Ray's head, the service's first part, and wait for its node."""
    # It answers before it has a node of its own, and ends where it gets none.
    nodes = f"http://{_HOST}:{port}/api/v0/nodes?limit=1"
    log = state.folder() / state.HEAD_LOG
    for number in range(2, HEAD_TRIES + 2):
        head = _begin(_head(port, _new_scratch(), cpus), environment, log)
        try:
            _wait(head, lambda: _answers(nodes, token, b"ALIVE"), log)
            break
        except ClusterError:
            if head.poll() is None or number > HEAD_TRIES:
                raise
        say(
            "Ray's head has ended before its node was up, as on a busy machine. "
            f"It is started again, and waited for: try {number} of {HEAD_TRIES}."
        )
        end_processes()
    return head


def _ours(*arguments: str) -> list[str]:
    """Return the command line of one of gatesearch's own commands."""
    return [sys.executable, "-P", "-m", "search.cli", *arguments]


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _begin(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a part, which outlives this command."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _head(port: int, scratch: Path, cpus: int | None) -> list[str]:
    own = [f"--{name}={number}" for name, number in zip(PORTS, _free_ports(), strict=True)]
    return [
        *(sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--node-ip-address={_HOST}", f"--dashboard-host={_HOST}", f"--dashboard-port={port}"),
        *own,
        *("--min-worker-port=0", "--max-worker-port=0"),  # any free ones
        *(f"--temp-dir={scratch}", "--disable-usage-stats"),
        *([] if cpus is None else [f"--num-cpus={cpus}"]),
    ]


def _environment(folder: Path, root: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return kept | {
        state.MARK: str(folder),
        "PATH": os.pathsep.join(path),
        "GATESEARCH_ROOT": str(root),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN),
        # Otherwise the node takes the network card's address and listens on every interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def _new_scratch() -> Path:
    """Make Ray's own folder. Raises ClusterError where somebody else's is there."""
    scratch = state.scratch()
    try:
        scratch.mkdir(mode=0o700)
    except OSError as error:
        rule = f"must be a folder that can be made ({error.strerror})"
        raise ClusterError(str(scratch), rule, "remove what is there") from error
    return scratch


def _free(wanted: int | None, usual: int, option: str) -> int:
    """Return the wanted port, or the usual one, or any free one where none is wanted."""
    for port in (wanted or usual, 0):
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_HOST, port))
                return int(probe.getsockname()[1])
        except OSError as error:
            if wanted is not None:
                rule = f"port {wanted} must be free ({error.strerror})"
                raise ClusterError.refused(option, rule, "give another one") from error
    raise ClusterError(option, "a port must be free; none is", "end other programs")


def _free_ports() -> list[int]:
    """Return free ports, one for each of PORTS, that do not collide with workers' ones."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < len(PORTS):
            probe = held.enter_context(socket.socket())
            probe.bind((_HOST, 0))
            if not 10002 <= (port := probe.getsockname()[1]) <= 19999:
                found.append(port)
        return found


def _wait(part: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    """Return when a part answers. Raises ClusterError where it ends or takes too long."""
    until = time.monotonic() + READY_SECONDS
    while not ready():
        ended = part.poll() is not None
        if ended or time.monotonic() > until:
            what = "has ended" if ended else f"must answer within {READY_SECONDS:.0f} s"
            last = " | ".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
            rule = f"the service {what}: {last or 'it says nothing'}"
            raise ClusterError(str(log), rule, "mend the cause, and start it again")
        time.sleep(0.2)
