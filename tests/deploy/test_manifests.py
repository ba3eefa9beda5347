"""What starts clusters and servers is valid, consistent, and does what its first lines say."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from manifest_schemas import faults, patch_faults
from manifests import (
    DEPLOY,
    KUBERAY,
    SECRET,
    TARGETS,
    Document,
    cluster_specs,
    kustomizations,
    of_kind,
    pods,
    rendered,
    resources,
    version,
)
from packaging.requirements import Requirement
from ray._private import ray_constants

from deploy.client import Client
from deploy.client.connection import DEFAULT_ADDRESS
from search.job.spec import JobSpec

REPOSITORY = DEPLOY.parent
MANIFESTS = sorted(DEPLOY.rglob("*.yaml"))
DOCKERFILE = (DEPLOY / "image" / "Dockerfile").read_text()
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text()
PINS = dict(line.strip().split("==") for line in CONSTRAINTS.splitlines() if "==" in line)
GPU = "nvidia.com/gpu"


def image_environment() -> dict[str, str]:
    *_, block = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.M)
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


def gibibytes(text: str) -> int:
    return int(text.removesuffix("Gi")) * 2**30


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_says_what_it_is_and_how_it_is_used(path: Path) -> None:
    text = path.read_text()
    assert list(yaml.safe_load_all(text))
    assert text.startswith("#")


# The image


def test_the_image_carries_what_it_copies_and_runs_as_nobody_special() -> None:
    ignore = (DEPLOY / "image" / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", DOCKERFILE, re.M):
        *sources, _ = line.split()
        for source in sources:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in ignore or ("!deploy" in ignore and source.startswith("deploy/"))
    assert "deploy/secrets" in ignore[ignore.index("!deploy") :], "secrets stay out of it"
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M)[-1] == "1000:1000"
    assert "--constraint constraints.txt" in DOCKERFILE
    assert re.search("^HEALTHCHECK ", DOCKERFILE, re.M)


def test_the_image_starts_from_a_digest_and_holds_nothing_that_builds_it() -> None:
    [base] = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.M)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    stages = re.findall(r"^FROM (.+)$", DOCKERFILE, re.M)
    assert stages == ["${PYTHON} AS build", "${PYTHON}"]
    final = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert "pip install" not in final and "pip uninstall --yes pip" in DOCKERFILE
    assert not re.search(r"^ADD |curl|wget", DOCKERFILE, re.M)
    assert not any(SECRET.search(line) for line in re.findall("^ARG (.+)$", DOCKERFILE, re.M))


@pytest.mark.parametrize(("device", "compiler"), [("cpu", ""), ("cuda", "gcc libc6-dev")])
def test_the_image_for_cards_alone_has_the_compiler_that_triton_needs(
    device: str, compiler: str
) -> None:
    [added] = re.findall(
        r'test "\$\{DEVICE\}" = cpu \\\n +\|\| \{ (.*install .*) \\$', DOCKERFILE, re.M
    )
    script = f'test "${{DEVICE}}" = cpu || {{ {added.replace("apt-get", "echo")}; }}'
    done = subprocess.run(
        ["sh", "-c", script], env={"DEVICE": device}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip().endswith(compiler) and bool(done.stdout) is bool(compiler)


def test_the_build_of_the_image_ends_where_no_job_could_run_in_it() -> None:
    assert "RUN gatesearch doctor" in DOCKERFILE
    assert "import torch, triton; assert torch.version.cuda" in DOCKERFILE


@pytest.mark.parametrize("tag", ["", "+cpu"])
def test_torch_s_build_is_chosen_by_its_local_version(tag: str) -> None:
    arguments = re.findall("^ARG (.+)$", DOCKERFILE, re.M)[1:]
    assert arguments == ["TORCH_INDEX", "TORCH_BUILD=cpu", "DEVICE=cpu"]
    [pin] = [line for line in CONSTRAINTS.splitlines() if line.startswith("torch==")]
    assert Requirement(pin).specifier.contains(f"{PINS['torch']}{tag}")


def test_the_image_has_what_the_servers_need() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = {Requirement(text).name for text in project["dependencies"]}
    assert {"mlflow", "psycopg2-binary", "boto3"} <= named
    assert [Requirement(text).name for text in project["optional-dependencies"]["server"]] == [
        "flask-wtf"
    ]
    assert '".[server]"' in DOCKERFILE


def test_the_libraries_of_torch_s_cuda_build_are_pinned_once() -> None:
    assert {"triton", "cuda-toolkit", "nvidia-cublas", "nvidia-cudnn-cu13"} <= set(PINS)
    names = [line.split("==")[0].lower() for line in CONSTRAINTS.splitlines() if "==" in line]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("given", [True, False])
def test_a_file_s_secret_becomes_a_variable_and_the_file_s_name_is_gone(
    given: bool, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cr$t 'x\n")
    environment = {"PATH": "/usr/bin:/bin", "OTHER_FILE": "stays"}
    if given:
        environment["PGPASSWORD_FILE"] = str(tmp_path / "secret")
    command = [DEPLOY / "image" / "with-secrets", "env", "-0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    left = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert left.get("PGPASSWORD") == ("s3cr$t 'x" if given else None)
    assert "PGPASSWORD_FILE" not in left and left["OTHER_FILE"] == "stays"


def test_a_secret_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD_FILE": str(tmp_path / "absent")}
    command = [DEPLOY / "image" / "with-secrets", "echo", "started"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and done.stdout == ""


def test_secrets_are_made_once_and_only_their_owner_gets_at_them(tmp_path: Path) -> None:
    command = ["sh", DEPLOY / "secrets.sh", tmp_path / "made"]
    subprocess.run(command, check=True)
    first = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert len(set(first.values())) == len(first) == 9
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in first.values())
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    subprocess.run(command, check=True)
    assert first == {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}


@pytest.mark.parametrize(
    "secret", ["deploy/secrets/auth_token", "deploy/compose/.env", "other.env"]
)
def test_a_file_of_passwords_is_never_committed(secret: str) -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", secret], cwd=REPOSITORY, check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize(
    "file", ["deploy/image/Dockerfile", "deploy/ray/cluster.yaml", "Makefile", ".ci/run"]
)
def test_no_package_index_is_named_where_packages_are_installed(file: str) -> None:
    text = (REPOSITORY / file).read_text()
    assert "https://" not in text
    for url in re.findall(r"index-url[ =](\S+)", text):
        assert url == '"${TORCH_INDEX}"'


# Kubernetes


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_applied_follows_strict_schemas(target: str) -> None:
    found = rendered(TARGETS[target])
    assert {f"{one['kind']}: {fault}" for one in found for fault in faults(one)} == set()


def test_every_file_follows_strict_schemas_before_an_overlay_changes_it() -> None:
    for one in resources():
        assert faults(one) == [], one["metadata"]["name"]


@pytest.mark.parametrize(
    "path", kustomizations(), ids=lambda path: str(path.parent.relative_to(KUBERAY))
)
def test_kustomizations_are_valid_and_name_what_is_there(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    assert faults(found) == []
    for name in (*found.get("resources", []), *found.get("components", [])):
        place = path.parent / name
        assert place.is_file() or (place / "kustomization.yaml").is_file(), name
    for generator in found.get("configMapGenerator", []):
        assert all((path.parent / name).is_file() for name in generator["files"])
    for patch in found.get("patches", []):
        text = patch["patch"] if "patch" in patch else (path.parent / patch["path"]).read_text()
        operations = yaml.safe_load(text)
        assert isinstance(operations, dict) or patch_faults(operations) == []


def test_what_is_wrong_is_found() -> None:
    cluster: Document = yaml.safe_load((KUBERAY / "cluster" / "cluster.yaml").read_text())
    cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    cluster["spec"]["autoscaling"] = True
    assert len(faults(cluster)) == 2


@pytest.mark.parametrize("component", ["kueue", "monitoring"])
@pytest.mark.parametrize("target", ["local", "job"])
def test_components_can_be_added(component: str, target: str) -> None:
    found = rendered(TARGETS[target], component)
    assert [fault for one in found for fault in faults(one)] == []
    if component == "kueue":
        kind = {"local": "RayCluster", "job": "RayJob"}[target]
        [one] = of_kind(kind, found)
        assert one["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gatesearch"
    else:
        assert "metrics" in {one["metadata"]["name"] for one in of_kind("NetworkPolicy", found)}


@pytest.mark.parametrize("target", TARGETS)
def test_nodes_ask_for_a_token_and_keep_jobs_on_the_volume(target: str) -> None:
    environment = image_environment()
    assert environment["RAY_AUTH_MODE"] == "token"
    root = Path(environment["GATESEARCH_ROOT"])
    for pod in pods(rendered(TARGETS[target])):
        if pod.role in ("head", "worker"):
            [volume] = [volume for volume in pod.spec["volumes"] if volume["name"] == "runs"]
            assert volume["persistentVolumeClaim"]["claimName"] == "gatesearch-runs"
            mounts = pod.spec["containers"][0]["volumeMounts"]
            [mount] = [mount for mount in mounts if mount["name"] == "runs"]
            assert Path(mount["mountPath"]) in root.parents


@pytest.mark.parametrize("target", TARGETS)
def test_clusters_are_of_the_ray_version_that_is_locked_and_take_no_trial_on_the_head(
    target: str,
) -> None:
    for spec in cluster_specs(rendered(TARGETS[target])):
        assert spec["rayVersion"] == PINS["ray"]
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        for group in spec["workerGroupSpecs"]:
            assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]


@pytest.mark.parametrize("target", TARGETS)
def test_jobs_that_name_no_tracking_server_use_that_of_the_cluster(target: str) -> None:
    for spec in cluster_specs(rendered(TARGETS[target])):
        [container] = spec["headGroupSpec"]["template"]["spec"]["containers"]
        values = {one["name"]: one.get("value") for one in container["env"]}
        assert values["GATESEARCH_TRACKING_URI"] == "http://gatesearch-tracking:5000"


def test_secrets_of_kubernetes_are_those_that_the_script_makes() -> None:
    script = (DEPLOY / "secrets.sh").read_text()
    [names] = re.findall(r"for name in ((?:[\w \n]|\\)+); do", script)
    text = "".join(path.read_text() for path in KUBERAY.rglob("*.yaml"))
    used = set(re.findall(r"name: gatesearch, key: (\w+)", text))
    used |= set(re.findall(r"\{key: (\w+_\w+), path", text))
    assert used | {"auth_token"} == set(names.replace("\\", " ").split())


def test_nobody_but_the_database_holds_its_superuser_s_password() -> None:
    for pod in pods(rendered(TARGETS["gpu"])):
        holds = "database_superuser" in str(pod.spec)
        assert holds is (pod.labels["app.kubernetes.io/component"] == "database")
        if pod.role == "worker":
            assert "database" not in str(pod.spec), "trials have no need of the journal"


def test_the_kubernetes_job_brings_its_own_job_file_and_resumes_when_it_is_tried_again() -> None:
    found = rendered(TARGETS["job"])
    [job], [config] = of_kind("RayJob", found), of_kind("ConfigMap", found)
    [name, text] = next(iter(config["data"].items()))
    JobSpec.loads(text, name)
    spec = job["spec"]
    command = spec["entrypoint"].split()
    assert command[:2] == ["gatesearch", "run"] and command[2] == f"/job/{name}"
    assert spec["backoffLimit"] > 0 and spec["shutdownAfterJobFinishes"]
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    [mount] = [mount for mount in head["containers"][0]["volumeMounts"] if mount["name"] == "job"]
    assert mount["mountPath"] == "/job"
    assert of_kind("RayCluster", found) == [], "the job's cluster goes with it"
    [volume] = [volume for volume in head["volumes"] if volume["name"] == "job"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_gpu_workers_start_when_a_trial_asks_and_only_on_nodes_with_cards() -> None:
    [spec] = cluster_specs(rendered(TARGETS["gpu"]))
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["cpu", "spot", "gpu"]
    pod = spec["workerGroupSpecs"][2]["template"]["spec"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["nodeSelector"] == {f"{GPU}.present": "true"}
    assert pod["tolerations"][0]["key"] == GPU
    [container] = pod["containers"]
    assert int(container["resources"]["limits"][GPU]) >= 1
    assert container["image"] == f"gatesearch-cuda:{version()}"


def test_spot_workers_tolerate_and_choose_spot_nodes() -> None:
    [spec] = cluster_specs(rendered(TARGETS["gpu"]))
    [spot] = [group for group in spec["workerGroupSpecs"] if group["groupName"] == "spot"]
    pod = spot["template"]["spec"]
    assert {"cloud.google.com/gke-spot", "spot"} <= {one["key"] for one in pod["tolerations"]}
    assert "nodeAffinity" in pod["affinity"]


@pytest.mark.parametrize("target", TARGETS)
def test_shared_memory_holds_the_object_store_of_every_node(target: str) -> None:
    for pod in pods(rendered(TARGETS[target])):
        if pod.role in ("head", "worker"):
            container = pod.spec["containers"][0]
            [volume] = [volume for volume in pod.spec["volumes"] if volume["name"] == "shm"]
            assert volume["emptyDir"]["medium"] == "Memory"
            assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
            memory = gibibytes(container["resources"]["limits"]["memory"])
            store = memory * ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION
            assert store < gibibytes(volume["emptyDir"]["sizeLimit"]) < memory


def test_a_database_s_settings_agree_on_both_targets() -> None:
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    tracking = next(p for p in pods(rendered(TARGETS["local"])) if p.role == "Deployment")
    assert tracking.spec["containers"][0]["command"] == compose["tracking"]["command"]
    images = {c["image"] for p in pods(rendered(TARGETS["local"])) for c in p.spec["containers"]}
    assert {service["image"] for service in compose.values()} == images


# Other files


def test_the_addresses_in_the_instructions_are_the_client_s_own() -> None:
    files = [*(DEPLOY / "ray").glob("*.yaml"), *(DEPLOY / "compose").glob("*.yaml")]
    for path in files:
        assert f"--address {DEFAULT_ADDRESS}" in path.read_text()
    assert Client(DEFAULT_ADDRESS).address == DEFAULT_ADDRESS


@pytest.mark.parametrize("path", sorted((DEPLOY / "jobs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_job_to_start_from_is_valid(path: Path) -> None:
    job = JobSpec.load(path)
    assert (job.resources.gpus > 0) is (path.stem == "gpu")
