"""What starts clusters and servers is consistent, closed to strangers, and holds no password."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from packaging.requirements import Requirement
from ray._private import ray_constants
from ray.scripts.scripts import start

from deploy.client import Client
from deploy.client.connection import DEFAULT_ADDRESS
from search.job.spec import JobSpec

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
MANIFESTS = sorted(DEPLOY.rglob("*.yaml"))
DOCKERFILE = (DEPLOY / "image" / "Dockerfile").read_text()
COMPOSE_FILES = sorted((DEPLOY / "compose").glob("*.yaml"))
COMPOSE, GPU_COMPOSE = (yaml.safe_load(path.read_text()) for path in COMPOSE_FILES)
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text()
GPU = "nvidia.com/gpu"
PINS = dict(line.strip().split("==") for line in CONSTRAINTS.splitlines() if "==" in line)


def kuberay(kind: str) -> dict[str, Any]:
    parts = [
        part
        for file in ("cluster.yaml", "job.yaml")
        for part in yaml.safe_load_all((DEPLOY / "kuberay" / file).read_text())
    ]
    [found] = [part for part in parts if part["kind"] == kind]
    return dict(found)


def cluster_specs() -> list[dict[str, Any]]:
    """Return what the standing cluster is, and the one that a RayJob brings along."""
    return [kuberay("RayCluster")["spec"], kuberay("RayJob")["spec"]["rayClusterSpec"]]


def pods() -> Iterator[dict[str, Any]]:
    for spec in cluster_specs():
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            yield group["template"]["spec"]


def gpu_groups() -> Iterator[dict[str, Any]]:
    for spec in cluster_specs():
        [group] = [group for group in spec["workerGroupSpecs"] if group["groupName"] == "gpu"]
        yield group


def gibibytes(text: str) -> int:
    """Return bytes of "12Gi" (Kubernetes) or "5gb" (Compose, where it is the same unit)."""
    return int(text.removesuffix("Gi").removesuffix("gb")) * 2**30


def secrets_in(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every value whose key, or whose variable's name, says that it is a secret."""
    if isinstance(value, dict):
        for name, inner in [*value.items(), (value.get("name"), value.get("value"))]:
            if isinstance(inner, str) and re.search("(?i)password|secret_.*key|token$", str(name)):
                yield name, inner
            yield from secrets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner)


def image_environment() -> dict[str, str]:
    [block] = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.M)
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_says_how_it_is_used_and_holds_no_secret(path: Path) -> None:
    text = path.read_text()
    assert list(yaml.safe_load_all(text))
    assert text.startswith("#")
    for name, value in secrets_in(list(yaml.safe_load_all(text))):
        assert value.startswith(("${", "~/")), name  # a variable, or the path of a file


def test_the_image_carries_what_it_copies_and_runs_as_nobody_special() -> None:
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M):
        *sources, _ = line.split()
        for source in sources:
            assert (REPOSITORY / source).exists(), source
            ignore = (DEPLOY / "image" / "Dockerfile.dockerignore").read_text().splitlines()
            assert f"!{source}" in ignore
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M)[-1] == "1000"
    assert "--constraint constraints.txt" in DOCKERFILE


@pytest.mark.parametrize("tag", ["", "+cpu"])
def test_torch_s_build_is_chosen_by_its_local_version(tag: str) -> None:
    assert re.findall("^ARG (.+)$", DOCKERFILE, re.M) == [
        *("TORCH_INDEX", "TORCH_BUILD=cpu", "DEVICE=cpu")
    ]
    [pin] = [line for line in CONSTRAINTS.splitlines() if line.startswith("torch==")]
    assert Requirement(pin).specifier.contains(f"{PINS['torch']}{tag}")


@pytest.mark.parametrize(
    "file", ["deploy/image/Dockerfile", "deploy/ray/cluster.yaml", "Makefile", ".ci/run"]
)
def test_no_package_index_is_named_where_packages_are_installed(file: str) -> None:
    text = (REPOSITORY / file).read_text()
    assert "https://" not in text
    for url in re.findall(r"index-url[ =](\S+)", text):
        assert url == '"${TORCH_INDEX}"'


def test_nodes_ask_for_a_token_and_keep_jobs_on_the_volume() -> None:
    environment = image_environment()
    assert environment["RAY_AUTH_MODE"] == "token"
    root = Path(environment["GATESEARCH_ROOT"])
    for pod in pods():
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "runs"]
        claim = volume["persistentVolumeClaim"]["claimName"]
        assert claim == kuberay("PersistentVolumeClaim")["metadata"]["name"]
        for container in pod["containers"]:
            [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "runs"]
            assert Path(mount["mountPath"]) in root.parents


def test_the_kubernetes_cluster_is_of_the_ray_version_that_is_locked() -> None:
    cluster = kuberay("RayCluster")
    for spec in cluster_specs():
        assert spec["rayVersion"] == PINS["ray"]
        assert spec["authOptions"]["mode"] == "token"
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    [version] = re.findall(r'^version = "(.+)"', (REPOSITORY / "pyproject.toml").read_text(), re.M)
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            build = "-cuda" if GPU in container["resources"]["limits"] else ""
            assert container["image"] == f"gatesearch:{version}{build}"
            # Ray reads a container's limits as what it may give away.
            assert container["resources"]["limits"] == container["resources"]["requests"]
    policy = kuberay("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert policy["policyTypes"] == ["Ingress"]


def test_the_kubernetes_job_brings_its_own_job_file_and_resumes_when_it_is_tried_again() -> None:
    job = kuberay("RayJob")["spec"]
    [name, text] = next(iter(kuberay("ConfigMap")["data"].items()))
    JobSpec.loads(text, name)
    command = job["entrypoint"].split()
    assert command[:2] == ["gatesearch", "run"] and command[2] == f"/job/{name}"
    assert job["backoffLimit"] > 0  # each try goes on in the same folder of the volume
    assert job["shutdownAfterJobFinishes"]
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    [mount] = [mount for mount in head["containers"][0]["volumeMounts"] if mount["name"] == "job"]
    assert mount["mountPath"] == "/job"


def test_the_ray_up_file_follows_rays_schema_and_is_closed() -> None:
    text = (DEPLOY / "ray" / "cluster.yaml").read_text()
    spec = yaml.safe_load(text)
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(spec, json.loads(schema.read_text()))
    for command in (*spec["head_start_ray_commands"], *spec["worker_start_ray_commands"]):
        if "ray start" in command:
            assert "RAY_AUTH_MODE=token" in command
    [head] = [line for line in spec["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in head and "--num-cpus=0" in head


def test_compose_publishes_nothing_beyond_this_machine_and_needs_passwords() -> None:
    needed = set()
    for path in COMPOSE_FILES:
        text = path.read_text()
        for name, service in yaml.safe_load(text)["services"].items():
            for port in service.get("ports", []):
                assert port.startswith("127.0.0.1:"), name
        variables = set(re.findall(r"\$\{(\w+)", text))
        # Each of them stops the start if it is not set.
        assert set(re.findall(r"\$\{(\w+):\?", text)) == variables
        needed |= variables
    example = (DEPLOY / "compose" / "example.env").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.M)) == needed


@pytest.mark.parametrize("secret", ["deploy/compose/.env", ".env", "other.env"])
def test_a_file_of_passwords_is_neither_committed_nor_sent_to_other_machines(secret: str) -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", secret], cwd=REPOSITORY, check=False)
    assert ignored.returncode == 0
    excluded = yaml.safe_load((DEPLOY / "ray" / "cluster.yaml").read_text())["rsync_exclude"]
    assert any(fnmatch(f"/{secret}", f"/{pattern}") for pattern in excluded)


def test_compose_starts_mlflow_with_what_the_image_has() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = {Requirement(text).name for text in project["dependencies"]}
    assert {"mlflow", "psycopg2-binary", "boto3"} <= named
    mlflow = COMPOSE["services"]["mlflow"]
    uri = mlflow["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert uri.startswith("postgresql+psycopg2://")
    assert not any("POSTGRES_PASSWORD" in word for word in mlflow["command"])
    [bucket] = [word for word in mlflow["command"] if word.startswith("--artifacts-destination")]
    assert f'"{bucket.removeprefix("--artifacts-destination=s3://")}"' in "".join(
        COMPOSE["services"]["buckets"]["command"]
    )


def test_the_addresses_in_the_instructions_are_the_client_s_own() -> None:
    for path in ("kuberay/cluster.yaml", "ray/cluster.yaml"):
        assert f"--address {DEFAULT_ADDRESS}" in (DEPLOY / path).read_text()
    assert Client(DEFAULT_ADDRESS).address == DEFAULT_ADDRESS


@pytest.mark.parametrize(("device", "compiler"), [("cpu", ""), ("cuda", "gcc libc6-dev")])
def test_the_image_for_cards_has_the_compiler_that_triton_needs(device: str, compiler: str) -> None:
    [added] = re.findall(r"^ +(\$\(test .*\)) \\$", DOCKERFILE, re.M)
    done = subprocess.run(
        ["sh", "-c", f"echo {added}"], env={"DEVICE": device}, capture_output=True, text=True
    )
    assert done.stdout.strip() == compiler


def test_the_build_of_the_image_ends_where_no_job_could_run_in_it() -> None:
    [install] = re.findall(r"^RUN pip install .* \.(?:.*\\\n)+.*$", DOCKERFILE, re.M)
    assert "&& gatesearch doctor" in install
    assert "import torch, triton; assert torch.version.cuda" in install


def test_the_libraries_of_torch_s_cuda_build_are_pinned_once() -> None:
    assert {"triton", "cuda-toolkit", "nvidia-cublas", "nvidia-cudnn-cu13"} <= set(PINS)
    names = [line.split("==")[0].lower() for line in CONSTRAINTS.splitlines() if "==" in line]
    assert len(set(names)) == len(names)


def test_gpu_workers_start_when_a_trial_asks_and_only_on_nodes_with_cards() -> None:
    for group in gpu_groups():
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
        pod = group["template"]["spec"]
        assert pod["runtimeClassName"] == "nvidia"
        assert pod["nodeSelector"] == {f"{GPU}.present": "true"}
        assert pod["tolerations"][0]["key"] == GPU
        [container] = pod["containers"]
        assert int(container["resources"]["limits"][GPU]) >= 1


def test_shared_memory_holds_the_object_store_of_every_gpu_worker() -> None:
    for group in gpu_groups():
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert volume["emptyDir"]["medium"] == "Memory"
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        memory = gibibytes(container["resources"]["limits"]["memory"])
        store = memory * ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION
        assert store < gibibytes(volume["emptyDir"]["sizeLimit"]) < memory
    for service in GPU_COMPOSE["services"].values():
        [store] = [word for word in service["command"] if word.startswith("--object-store")]
        assert int(store.split("=")[1]) < gibibytes(service["shm_size"])


def test_the_cluster_of_compose_gives_cards_to_its_worker_and_no_trial_to_its_head() -> None:
    head, worker = (GPU_COMPOSE["services"][name] for name in ("head", "gpu-worker"))
    assert {"--head", "--num-cpus=0", "--num-gpus=0"} <= set(head["command"])
    [port] = [word.split("=")[1] for word in head["command"] if word.startswith("--port")]
    assert f"--address=head:{port}" in worker["command"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert worker["depends_on"] == {"head": {"condition": "service_healthy"}}
    root = Path(image_environment()["GATESEARCH_ROOT"])
    for service in (head, worker):
        assert service["volumes"] == [f"runs:{root.parent}"]
        assert "RAY_AUTH_TOKEN" in service["environment"]


def test_every_option_of_ray_start_is_one_that_ray_has() -> None:
    known = {name for option in start.params for name in option.opts}
    text = "\n".join(path.read_text() for path in MANIFESTS)
    commands = re.findall(r"ray start (.*(?:\n +--.*)*)", text)
    words = [word for command in commands for word in command.split()]
    words += [word for service in GPU_COMPOSE["services"].values() for word in service["command"]]
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert len(options) > 5 and options <= known


@pytest.mark.parametrize("path", sorted((DEPLOY / "jobs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_job_to_start_from_is_valid(path: Path) -> None:
    job = JobSpec.load(path)
    assert (job.resources.gpus > 0) is (path.stem == "gpu")


def test_the_ray_up_file_examines_every_machine() -> None:
    setup = yaml.safe_load((DEPLOY / "ray" / "cluster.yaml").read_text())["setup_commands"]
    assert setup[-1].endswith("bin/gatesearch doctor")
    assert setup[-1].split("/bin/")[0] in setup[-2]
