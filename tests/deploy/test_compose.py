"""Compose files are valid, start the whole service, and keep the rules of the Kubernetes files."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from manifest_schemas import compose_faults
from manifests import DEPLOY, SECRET, URL_WITH_PASSWORD, Document, pinned, strings
from ray.scripts.scripts import start

FILES = sorted((DEPLOY / "compose").glob("*.yaml"))
Faults = Iterator[str]


def composed() -> Document:
    """Return what compose makes of both files: services with what they extend."""
    whole, gpu = (yaml.safe_load(path.read_text()) for path in FILES)
    for name, service in gpu["services"].items():
        base = whole["services"][service["extends"]["service"]]
        whole["services"][name] = base | {k: v for k, v in service.items() if k != "extends"}
    return dict(whole)


def contained(found: Document) -> Faults:
    for name, service in found["services"].items():
        if service.get("read_only") is not True:
            yield f"{name} writes into its image"
        if service.get("cap_drop") != ["ALL"] or "cap_add" in service:
            yield f"{name} keeps capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain privileges"
        if service.get("user", "0:0").startswith("0") or "privileged" in service:
            yield f"{name} runs as root"
        for volume in service.get("volumes", []):
            if volume.startswith(("/", ".", "~")):
                yield f"{name} has a folder of the machine's: {volume}"


def limited(found: Document) -> Faults:
    for name, service in found["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if set(limits) != {"cpus", "memory", "pids"}:
            yield f"{name} has no limits"
        if "max-size" not in service.get("logging", {}).get("options", {}):
            yield f"{name} may fill the disk with what it says"


def images_pinned(found: Document) -> Faults:
    for name, service in found["services"].items():
        if not pinned(service["image"]):
            yield f"{name}: {service['image']}"


def nothing_public(found: Document) -> Faults:
    for name, service in found["services"].items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name} is open to the world: {port}"
        if service.get("network_mode") == "host":
            yield f"{name} is on the machine's own network"
    if found["networks"].get("data") != {"internal": True}:
        yield "the network of the data leads out"
    for name in ("database", "store"):
        if set(found["services"][name]["networks"]) != {"data"}:
            yield f"{name} is on another network than that of the data"


def no_secret(found: Document) -> Faults:
    for text in strings(found):
        if URL_WITH_PASSWORD.search(text) or "${" in text:
            yield f"a secret that is no file: {text[:40]}"
    for name, service in found["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) and not value.startswith("/run/secrets/"):
                yield f"{name}: {variable} is in clear"
            place, _, secret = value.rpartition("/")
            if place == "/run/secrets" and secret not in service.get("secrets", []):
                yield f"{name}: {variable} names a file that it does not get"


def with_login(found: Document) -> Faults:
    services = found["services"]
    for name in ("head", "worker", "gpu-worker"):
        if services[name]["environment"].get("RAY_AUTH_TOKEN_PATH") != "/run/secrets/auth_token":
            yield f"{name} takes part without a token"
    if "--app-name=basic-auth" not in services["tracking"]["command"]:
        yield "MLflow asks for no login"
    if not any(word.startswith("--allowed-hosts=") for word in services["tracking"]["command"]):
        yield "MLflow takes requests by any name"
    if services["store"]["entrypoint"] != ["/bin/sh", "/store.sh"]:
        yield "SeaweedFS is started in another way than with accounts and on loopback"
    if "POSTGRES_PASSWORD_FILE" not in services["database"]["environment"]:
        yield "PostgreSQL has no password"


def healthy(found: Document) -> Faults:
    for name, service in found["services"].items():
        check = service.get("healthcheck", {})
        if not check or (check.get("disable") and not service["restart"].startswith("on-failure")):
            yield f"nobody asks how {name} is"


RULES: dict[str, Callable[[Document], Faults]] = {
    rule.__name__: rule
    for rule in (
        contained,
        limited,
        images_pinned,
        nothing_public,
        no_secret,
        with_login,
        healthy,
    )
}
#: rule -> (service or network, its key, the value that it gets; None removes it)
BREACHES: list[tuple[str, str, str, Any]] = [
    ("contained", "services/store", "read_only", None),
    ("contained", "services/head", "cap_drop", ["NET_RAW"]),
    ("contained", "services/tracking", "user", "0:0"),
    ("contained", "services/worker", "volumes", ["/:/host"]),
    ("limited", "services/worker", "deploy", None),
    ("images_pinned", "services/database", "image", "postgres:17-alpine"),
    ("nothing_public", "services/head", "ports", ["8265:8265"]),
    ("nothing_public", "networks/data", "internal", False),
    ("no_secret", "services/tracking/environment", "PGPASSWORD", "hunter2"),
    ("no_secret", "services/worker", "secrets", []),
    ("with_login", "services/gpu-worker/environment", "RAY_AUTH_TOKEN_PATH", None),
    ("with_login", "services/tracking", "command", ["mlflow", "server"]),
    ("healthy", "services/door", "healthcheck", None),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_follows_the_compose_specification(path: Any) -> None:
    assert compose_faults(yaml.safe_load(path.read_text())) == []


def test_a_key_that_compose_does_not_know_is_a_fault() -> None:
    found = composed()
    found["services"]["head"]["cap_dropp"] = ["ALL"]
    assert compose_faults(found) != []


@pytest.mark.parametrize("rule", RULES)
def test_the_service_keeps_every_rule(rule: str) -> None:
    assert list(RULES[rule](composed())) == []


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: "-".join(breach[:3]))
def test_a_breach_of_a_rule_is_found(breach: tuple[str, str, str, Any]) -> None:
    rule, where, key, value = breach
    found = copy.deepcopy(composed())
    place = found
    for part in where.split("/"):
        place = place[part]
    if value is None:
        del place[key]
    else:
        place[key] = value
    assert list(RULES[rule](found)) != []


def test_every_rule_has_a_breach() -> None:
    assert {breach[0] for breach in BREACHES} == set(RULES)


def test_secrets_are_those_that_the_script_makes_and_configs_those_of_kubernetes() -> None:
    found = composed()
    script = (DEPLOY / "secrets.sh").read_text()
    [names] = re.findall(r"for name in ((?:[\w \n]|\\)+); do", script)
    made = set(names.replace("\\", " ").split())
    assert set(found["secrets"]) == made
    for name, secret in found["secrets"].items():
        assert secret == {"file": f"../secrets/{name}"}
    for config in found["configs"].values():
        assert (DEPLOY / "compose" / config["file"]).is_file()
    used = {name for service in found["services"].values() for name in service.get("secrets", [])}
    assert used == made


def test_nobody_is_the_database_s_superuser() -> None:
    services = composed()["services"]
    both = {"database_mlflow", "database_studies"}
    for name, service in services.items():
        secrets = set(service.get("secrets", []))
        assert ("database_superuser" in secrets) is (name == "database")
        assert name == "database" or len(both & secrets) <= 1


def test_the_head_takes_no_trial_and_workers_join_it() -> None:
    services = composed()["services"]
    head = services["head"]["command"]
    assert {"--head", "--num-cpus=0", "--num-gpus=0"} <= set(head)
    [port] = [word.split("=")[1] for word in head if word.startswith("--port")]
    for name in ("worker", "gpu-worker"):
        assert f"--address=head:{port}" in services[name]["command"]
        assert services[name]["depends_on"] == {"head": {"condition": "service_healthy"}}
    cpus = services["worker"]["deploy"]["resources"]["limits"]["cpus"]
    assert f"--num-cpus={cpus}" in services["worker"]["command"]
    [device] = services["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert services["head"]["volumes"] == services["worker"]["volumes"] == ["runs:/data"]


def test_shared_memory_holds_the_object_store_and_options_are_ray_s_own() -> None:
    known = {name for option in start.params for name in option.opts}
    for name in ("head", "worker", "gpu-worker"):
        service = composed()["services"][name]
        words = [word for word in service["command"] if word.startswith("--")]
        assert {word.split("=")[0] for word in words} <= known
        [store] = [word for word in words if word.startswith("--object-store-memory")]
        assert int(store.split("=")[1]) < int(service["shm_size"].removesuffix("gb")) * 2**30
