"""The image's demand, tried without Docker: nothing is written but what manifests mount.

Head and worker run in mount namespaces of their own, with a read-only root, the volumes that the
manifests give them, their user, and no capability.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import contained
import pytest
import yaml
from contained import Container
from laptop import Laptop
from manifests import DEPLOY, documents, pods, resources
from server_process import free_ports
from waiting import wait_until

from deploy.healthy import is_healthy
from deploy.service.start import PORTS

MARK = "GATESEARCH_TEST_CONTAINER"
OBJECTS = 200_000_000  # bytes of Ray's object store
JOB = DEPLOY / "jobs" / "quickstart.yaml"
#: What a log has where something could not be written.
REFUSED = re.compile(rb"(?i)read-only file system|EROFS|permission denied|no space left")
#: Addresses of the nodes, in a network that this test has for itself.
HEAD, WORKER = "127.0.0.2", "127.0.0.3"
ADDRESS = f"http://{HEAD}:8265"


def _namespaces() -> bool:
    return (
        os.geteuid() == 0
        and all(map(shutil.which, ("unshare", "setpriv", "mount")))
        and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    )


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not _namespaces(), reason="only root may make mount namespaces here"),
]


@dataclass(frozen=True)
class Part:
    """A head or a worker, by its manifest."""

    container: Container
    command: list[str]


def kuberay() -> dict[str, Part]:
    """Return the pods of KubeRay, which makes a command of their parameters."""
    found = {pod.name: pod.spec for pod in pods(resources())}
    (spec,) = (one["spec"] for one in resources() if one["kind"] == "RayCluster")
    given = spec["headGroupSpec"]["rayStartParams"].items()
    start = ["ray", "start", "--block", "--metrics-export-port=8080"]
    options = ["--head", "--port=6379", *(f"--{name}={value}" for name, value in given)]
    return {
        "head": Part(contained.of_pod(found["head"], "ray-head"), [*start, *options]),
        "worker": Part(contained.of_pod(found["cpu"], "ray-worker"), start),
    }


def compose() -> dict[str, Part]:
    """Return the services of compose."""
    (file,) = documents(DEPLOY / "compose" / "compose.yaml")
    found = {name: file["services"][name] for name in ("head", "worker")}
    return {name: Part(contained.of_service(one), one["command"]) for name, one in found.items()}


@dataclass
class Cluster:
    """A head and a worker in containers."""

    folder: Path
    parts: dict[str, Part]
    environment: dict[str, str]
    token_file: Path
    running: "dict[str, subprocess.Popen[bytes]]"

    @property
    def shared(self) -> Path:
        """What both have at the volume that they share."""
        return self.folder / "shared"

    def started(self, name: str, part: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a command in the container of a part; name: of its log."""
        stage = self.folder / f"root-{name}"
        stage.mkdir()
        return contained.start(
            self.parts[part].container,
            command,
            self.environment,
            stage=stage,
            shared=self.shared,
            log=self.log(name),
        )

    @contextmanager
    def node(self, name: str, options: Sequence[str], shown: bytes) -> Iterator[None]:
        """Run a node of Ray, with options that take the place of its manifest's.

        shown: what the head's list of nodes has once the node is up.
        """
        command = [*self.parts[name].command, *options]
        command += ["--num-gpus=0", f"--object-store-memory={OBJECTS}"]
        process = self.running[name] = self.started(name, name, command)
        nodes, token = f"{ADDRESS}/api/v0/nodes?limit=9", self.environment["RAY_AUTH_TOKEN"]
        try:
            wait_until(
                lambda: is_healthy(nodes, token, shown) or process.poll() is not None, "it is up"
            )
            assert process.poll() is None, self.log(name).read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)

    def log(self, name: str) -> Path:
        """Return the file with what a command says."""
        return self.folder / f"{name}.log"

    def logs(self) -> Iterator[tuple[str, bytes]]:
        """Yield what the nodes have said, and Ray's logs in their /tmp."""
        for name, process in self.running.items():
            yield name, self.log(name).read_bytes()
            inside = Path(f"/proc/{process.pid}/root/tmp")
            for file in inside.glob("ray/session_2*/logs/**/*"):
                if file.is_file():
                    yield f"{name}: {file.relative_to(inside)}", file.read_bytes()


@contextmanager
def cluster(parts: dict[str, Part]) -> Iterator[Cluster]:
    """Run a head and a worker with two processors."""
    folder = Path(tempfile.mkdtemp(prefix="gs-", dir="/tmp"))
    token_file = folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(secrets.token_hex(32))
    environment = contained.image_environment(DEPLOY / "image" / "Dockerfile") | {
        MARK: str(folder),
        "RAY_AUTH_TOKEN": token_file.read_text(),
        "OMP_NUM_THREADS": "1",
    }
    found = Cluster(folder, parts, environment, token_file, {})
    found.shared.mkdir()
    user = parts["head"].container.user
    os.chown(found.shared, user, user)
    ports = [f"--{name}={port}" for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)]
    own = [each for each in ports if not each.startswith(("--port=", "--ray-client"))]
    joins = [f"--node-ip-address={WORKER}", f"--address={HEAD}:6379", "--num-cpus=2", *own]
    try:
        with (
            found.node("head", [f"--node-ip-address={HEAD}"], HEAD.encode()),
            found.node("worker", joins, WORKER.encode()),
        ):
            yield found
        wait_until(lambda: not _left(folder), "no process is left")
    finally:
        for pid in _left(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def _left(folder: Path) -> list[int]:
    """Return the processes of a cluster's containers, zombies aside."""
    mark, found = f"{MARK}={folder}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


@pytest.mark.parametrize("manifest", [kuberay, compose])
def test_a_job_comes_to_its_verdict_and_export_where_only_the_volumes_can_be_written(
    manifest: Callable[[], dict[str, Part]], tmp_path: Path
) -> None:
    spec = yaml.safe_load(JOB.read_text())
    spec["training"]["max_epochs"] = 3
    spec["search"]["trials"] = 2
    spec["confirm"]["seeds"] = 2
    with contained.own_network(), cluster(manifest()) as there:
        laptop = Laptop(tmp_path / "laptop", ADDRESS, there.token_file)
        (laptop.folder / "quickstart.yaml").write_text(yaml.safe_dump(spec))
        submission = laptop.gatesearch("submit", "quickstart.yaml").split()[0]
        log = laptop.gatesearch("logs", submission, "-f")
        status = json.loads(laptop.gatesearch("status", submission, "--json"))
        assert (status["state"], status["exit_code"]) == ("succeeded", 0), log
        check_confined(there)
        laptop.gatesearch("fetch", submission)
        listed = json.loads(laptop.gatesearch("results", "quickstart", "--phase", "all", "--json"))
        assert len(listed) == 12
        folder = laptop.folder / "runs" / "quickstart"
        assert json.loads((folder / "verdict.json").read_text())
        assert (folder / "best" / "model.onnx").is_file()
        export = ["gatesearch", "export", "quickstart", "--root", "/data/runs"]
        exporting = there.started("export", "head", [*export, "--out", "/data/exported"])
        assert exporting.wait(300) == 0, there.log("export").read_text()
        assert list((there.shared / "exported").rglob("model.onnx"))
        said = [*there.logs(), ("job", log.encode()), ("export", there.log("export").read_bytes())]
        assert len(said) > 20
        refused = [(name, REFUSED.findall(text)) for name, text in said if REFUSED.search(text)]
        assert not refused


def check_confined(there: Cluster) -> None:
    """Assert that every process of the containers is as its manifest has it."""
    containers = [part.container for part in there.parts.values()]
    expected = [{"/proc", *(volume.path for volume in one.volumes)} for one in containers]
    user = " ".join(4 * [str(containers[0].user)])
    seen = _left(there.folder)
    assert len(seen) > 6
    for pid in seen:
        assert contained.rights(pid) == {
            **{"Uid": user, "Gid": user, "Groups": "", "NoNewPrivs": "1"},
            **dict.fromkeys(("CapPrm", "CapEff", "CapBnd", "CapAmb"), 16 * "0"),
        }
        assert contained.writable(pid) in expected
