"""A real Ray head on loopback for tests, with token auth: started and ended by us, nothing left.

`running_head()` is a context manager; tests take the `ray_head` fixture of tests/conftest.py.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from server_process import end_with_parent, free_ports

from deploy.service.start import PORTS

MARK = "GATESEARCH_TEST_HEAD"  # in the environment of every process of the head and its nodes
NODE = "GATESEARCH_TEST_NODE"  # in that of every process of one other node
READY_SECONDS = 120
END_SECONDS = 120


@dataclass(frozen=True)
class RayHead:
    """A head that runs: where it is, and what opens it."""

    address: str  #: of the dashboard
    cluster: str  #: what RAY_ADDRESS says to a driver that joins
    token: str = field(repr=False)
    token_file: Path
    home: Path  #: HOME of the cluster's user; job folders are in home/gatesearch/runs
    programs: Path  #: the first folder on the PATH of jobs, empty at first
    pid: int
    metrics: str  #: what the node's agent exports for Prometheus


def exported_metrics(head: RayHead) -> list[str]:
    """Return the lines that the node's agent exports; none while it has not come up."""
    try:
        with urllib.request.urlopen(head.metrics, timeout=10) as answer:
            return list(answer.read().decode().splitlines())
    except OSError:
        return []


@contextlib.contextmanager
def running_head(cpus: int = 2, most_nodes: int = 0) -> Iterator[RayHead]:
    """Start a head, yield it when it answers, end it, and assert that no process of it is left.

    most_nodes: how many nodes of one CPU Ray's autoscaler may start beside it.
    """
    # Ray's Unix sockets lie deep below its folder and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="gs-", dir="/tmp"))
    try:
        home = folder / "home"
        programs = home / "bin"
        programs.mkdir(parents=True)
        token_file = folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(secrets.token_hex(32))
        ports = free_ports(9)
        command, environment = (
            _command(folder, ports, cpus),
            _environment(folder, programs, token_file),
        )
        if most_nodes:
            command.append(f"--autoscaling-config={_autoscaling(folder, ports[1], most_nodes)}")
            environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        with (folder / "head.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        try:
            head = RayHead(
                f"http://127.0.0.1:{ports[0]}",
                f"127.0.0.1:{ports[1]}",
                token_file.read_text(),
                token_file,
                home,
                programs,
                process.pid,
                f"http://127.0.0.1:{ports[1 + PORTS.index('metrics-export-port')]}/metrics",
            )
            _wait_until(lambda: _answers(head) or process.poll() is not None, READY_SECONDS)
            assert process.poll() is None and _answers(head), (
                f"the head did not start: {(folder / 'head.log').read_text()[-3000:]}"
            )
            yield head
        finally:
            process.send_signal(signal.SIGTERM)  # to the head alone: it ends its own in order
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            _wait_until(lambda: not _left(folder), END_SECONDS)
            left = {pid: _command_of(pid) for pid in _left(folder)}
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            assert not left, f"processes of the head were left behind: {left}"
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def running_node(head: RayHead) -> Iterator[Callable[[], None]]:
    """Start a node of one CPU beside a head, once the head knows it; yield what kills it with -9.

    It is killed at the end in any case: of a node nothing is kept.
    """
    name = secrets.token_hex(8)
    mark = f"{NODE}={name}"
    folder = head.home.parent
    command = [sys.executable, str(Path(__file__).with_name("ray_node.py")), head.cluster]
    _wait_until(lambda: _nodes_told(head) > 0, READY_SECONDS)
    before = _nodes_told(head)
    with (folder / f"node-{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=_environment(folder, head.programs, head.token_file) | {NODE: name},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )

    def kill() -> None:
        _kill_all(lambda: _marked(mark))
        process.wait()

    try:
        _wait_until(
            lambda: _nodes_told(head) > before or process.poll() is not None, 4 * READY_SECONDS
        )
        said = (folder / f"node-{name}.log").read_text()[-3000:]
        assert _nodes_told(head) > before, f"the node did not start: {said}"
        yield kill
    finally:
        kill()


def kill_head(head: RayHead) -> None:
    """Kill a head with -9, and the drivers of jobs with it, as a machine that is lost."""
    nodes = f"{NODE}="
    _kill_all(lambda: set(_left(head.home.parent)).difference(_marked(nodes)))


def _kill_all(found: Callable[[], Iterable[int]]) -> None:
    """Kill processes with -9 until there are none: some have just begun others."""

    def none_left() -> bool:
        left = list(found())
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    _wait_until(none_left, END_SECONDS)


def _command(folder: Path, ports: list[int], cpus: int) -> list[str]:
    names = ("dashboard-port", *PORTS)
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
        *(f"--{name}={port}" for name, port in zip(names, ports, strict=True)),
        *("--min-worker-port=0", "--max-worker-port=0"),  # any free ones
        *(f"--temp-dir={folder}", f"--num-cpus={cpus}", "--num-gpus=0"),
        *("--object-store-memory=100000000", "--disable-usage-stats"),
    ]


#: What Ray's autoscaler demands of a configuration, and what processes of this machine do not need.
_NO_COMMANDS = (
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"),
    *("setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


def _autoscaling(folder: Path, port: int, most_nodes: int) -> Path:
    """Write the configuration of a cluster whose nodes are processes of this machine."""
    types = {
        "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": most_nodes,
        },
    }
    provider = {
        "type": "fake_multinode",
        "gcs_address": f"127.0.0.1:{port}",
        "use_node_id_as_ip": True,  # nodes share the address
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    path = folder / "autoscaling.json"
    config = {
        "cluster_name": "growing",
        "max_workers": most_nodes,
        "provider": provider,
        "available_node_types": types,
        "head_node_type": "ray.head.default",
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 0.1,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in _NO_COMMANDS},
        "file_mounts_sync_continuously": False,
    }
    path.write_text(json.dumps(config))
    return path


def _environment(folder: Path, programs: Path, token_file: Path) -> dict[str, str]:
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == "GATESEARCH_CACHE"  # of the run of tests: its processes share it
        or (not name.startswith(("RAY_", "PYTEST", "GATESEARCH_")) and name != "PYTHONPATH")
    }
    return inherited | {
        MARK: str(folder),
        "HOME": str(programs.parent),
        "PATH": os.pathsep.join(path),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Otherwise the node takes the network card's address and listens on every interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "2",
    }


def _answers(head: RayHead) -> bool:
    request = urllib.request.Request(
        f"{head.address}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


def nodes_alive(head: RayHead) -> int:
    """Return how many nodes live, the head included."""
    request = urllib.request.Request(
        f"{head.address}/api/v0/nodes", headers={"Authorization": f"Bearer {head.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        nodes = json.load(answer)["data"]["result"]["result"]
    return sum(node["state"] == "ALIVE" for node in nodes)


def _nodes_told(head: RayHead) -> int:
    """Return how many nodes live; none while the head is too young to tell."""
    with contextlib.suppress(OSError):
        return nodes_alive(head)
    return 0


def _wait_until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        return command.replace("\0", " ").strip()
    return ""


def _left(folder: Path) -> list[int]:
    """Return the processes that carry this head's mark, zombies aside."""
    return _marked(f"{MARK}={folder}")


def _marked(mark: str) -> list[int]:
    """Return the processes in whose environment a variable begins so, zombies aside."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            variables = environment.read_bytes().split(b"\0")
            if any(variable.startswith(mark.encode()) for variable in variables):
                found.append(int(environment.parent.name))
    return found
