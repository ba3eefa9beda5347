"""What deploy/ describes, as tests ask for it: documents, pods and containers of Kubernetes."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERAY = DEPLOY / "kuberay"
#: What a user applies, from its folder: name of the case -> folder.
TARGETS = {"local": "overlays/local", "gpu": "overlays/gpu", "job": "job"}
Document = dict[str, Any]
SECRET = re.compile(r"(?i)password|secret|token|passphrase|credential")
URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
_DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


@cache
def version() -> str:
    """Return the project's version."""
    project = DEPLOY.parent / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])


def pinned(image: str) -> bool:
    """Return whether an image stays the same: foreign ones by digest, ours by version."""
    own = (f"gatesearch:{version()}", f"gatesearch-cuda:{version()}")
    return image in own or _DIGEST.fullmatch(image) is not None


def documents(path: Path) -> list[Document]:
    return list(yaml.load_all(path.read_text(), yaml.CSafeLoader))


def kustomizations() -> list[Path]:
    return sorted(KUBERAY.rglob("kustomization.yaml"))


@cache
def resources() -> tuple[Document, ...]:
    """Return every resource as it is written, before an overlay changes it."""
    found: list[Document] = []
    for path in sorted(KUBERAY.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            found += [one for one in documents(path) if isinstance(one, dict) and "kind" in one]
    without_spec = ("Namespace", "ServiceAccount")
    return tuple(one for one in found if "spec" in one or one["kind"] in without_spec)


@cache
def rendered(folder: str, component: str | None = None) -> tuple[Document, ...]:
    """Return what is applied: what kustomize makes of a folder, with one component more.

    Skips where there is no kubectl, which has kustomize within.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the overlays, is not there")
    place = KUBERAY / folder
    if component is None:
        return _rendered(place)
    beside = KUBERAY / f".{component}-{folder.replace('/', '-')}"
    beside.mkdir()
    try:
        (beside / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
            f"resources: [../{folder}]\ncomponents: [../components/{component}]\n"
        )
        return _rendered(beside)
    finally:
        shutil.rmtree(beside)


def _rendered(place: Path) -> tuple[Document, ...]:
    done = subprocess.run(["kubectl", "kustomize", place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))


def of_kind(kind: str, found: Iterable[Document]) -> list[Document]:
    return [one for one in found if one["kind"] == kind]


@dataclass(frozen=True)
class Pod:
    """A pod that a document has Kubernetes make."""

    name: str
    labels: dict[str, str]
    spec: Document
    role: str  #: head, worker, submitter or the kind of what makes it
    autoscaler: Document | None = None  #: what KubeRay adds to a head, as a container

    def containers(self) -> list[Document]:
        added = [] if self.autoscaler is None else [{"name": "autoscaler", **self.autoscaler}]
        return [*self.spec.get("initContainers", []), *self.spec["containers"], *added]


def cluster_specs(found: Iterable[Document]) -> Iterator[Document]:
    """Yield what standing clusters are, and those that RayJobs bring along."""
    for one in found:
        if one["kind"] == "RayCluster":
            yield one["spec"]
        elif one["kind"] == "RayJob" and "rayClusterSpec" in one["spec"]:
            yield one["spec"]["rayClusterSpec"]


def pods(found: Iterable[Document]) -> Iterator[Pod]:
    found = list(found)
    for one in found:
        name = f"{one['kind']} {one['metadata']['name']}"
        spec = one.get("spec", {})
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield _pod(name, spec["template"], one["kind"])
        if one["kind"] == "RayJob":
            yield _pod(f"{name}: submitter", spec["submitterPodTemplate"], "submitter")
    for spec in cluster_specs(found):
        # KubeRay gives them these labels, and the autoscaler this container.
        head = spec["headGroupSpec"]["template"]
        yield _pod("head", head, "head", {"ray.io/node-type": "head"}, spec["autoscalerOptions"])
        for group in spec["workerGroupSpecs"]:
            label = {"ray.io/node-type": "worker"}
            yield _pod(group["groupName"], group["template"], "worker", label)


def _pod(
    name: str,
    template: Document,
    role: str,
    more: dict[str, str] | None = None,
    autoscaler: Document | None = None,
) -> Pod:
    labels = template.get("metadata", {}).get("labels", {}) | (more or {})
    return Pod(name, labels, template["spec"], role, autoscaler)


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
