"""Files of `ray up` follow Ray's schema, open no port, and start spot workers with a token."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from manifests import DEPLOY, Document, strings
from ray.scripts.scripts import start

FILES = sorted((DEPLOY / "ray").glob("*.yaml"))
Faults = Iterator[str]


def read(name: str) -> Document:
    found: Document = yaml.safe_load((DEPLOY / "ray" / f"{name}.yaml").read_text())
    return found


def with_token(found: Document) -> Faults:
    for command in (*found["head_start_ray_commands"], *found["worker_start_ray_commands"]):
        if "ray start" in command and "RAY_AUTH_MODE=token" not in command:
            yield f"asks for no token: {command}"
    if found["file_mounts"].get("~/.ray/auth_token") != "~/.ray/auth_token":
        yield "the token does not reach every machine"
    if "chmod 600 ~/.ray/auth_token" not in found["setup_commands"]:
        yield "others of a machine may read the token"


def no_open_port(found: Document) -> Faults:
    [head] = [line for line in found["head_start_ray_commands"] if "--head" in line]
    if "--dashboard-host=127.0.0.1" not in head:
        yield "the Jobs API listens on every interface"
    provider = found["provider"]
    if provider["type"] in ("aws", "gcp") and provider.get("use_internal_ips") is not True:
        yield "machines are reached by public addresses"
    for name, kind in found.get("available_node_types", {}).items():
        node = kind["node_config"]
        if provider["type"] == "aws":
            if not node.get("SecurityGroupIds") or not node.get("SubnetIds"):
                yield f"{name}: Ray makes a security group that lets the internet in to ssh"
            if node.get("MetadataOptions", {}).get("HttpTokens") != "required":
                yield f"{name}: a machine's credentials are read without a session"
        elif any("accessConfigs" in one for one in node["networkInterfaces"]):
            yield f"{name} has a public address"
    if "security_group" in provider:
        yield "a security group of Ray's making, which is open to ssh"


def no_secret(found: Document) -> Faults:
    for secret in ("deploy/secrets/auth_token", "deploy/compose/.env", "other.env"):
        excluded = found["rsync_exclude"]
        parts = [secret, str(Path(secret).parent), f"/{secret}"]
        if not any(fnmatch(part, pattern) for part in parts for pattern in excluded):
            yield f"{secret} goes to every machine"
    for text in strings(found):
        if re.search("AKIA|BEGIN .*PRIVATE KEY|password=", text):
            yield f"a secret in clear: {text[:20]}"


def least_rights(found: Document) -> Faults:
    kinds = found.get("available_node_types", {})
    key = {"aws": "IamInstanceProfile", "gcp": "serviceAccounts"}.get(found["provider"]["type"])
    if key is None:
        return
    rights = {
        name: str(kind["node_config"].get(key, "the cloud's own choice"))
        for name, kind in kinds.items()
    }
    if "gatesearch-head" not in rights["head"]:
        yield "the head may do what Ray gives it: everything with machines"
    for name, right in rights.items():
        if name != "head" and "gatesearch-worker" not in right:
            yield f"{name} may do more than trials need: {right}"


def growing(found: Document) -> Faults:
    kinds = found.get("available_node_types", {})
    for name, kind in kinds.items():
        text = str(kind["node_config"])
        if name == "head":
            if kind["resources"] != {"CPU": 0}:
                yield "the head takes trials"
        elif kind["min_workers"] != 0 or not ("'spot'" in text or "SPOT" in text):
            yield f"{name} costs when nothing runs, or is no spot machine"
    if kinds and found["provider"]["cache_stopped_nodes"] is not False:
        yield "machines that stopped cost, and keep the token"
    if "--num-cpus=0" not in str(found["head_start_ray_commands"]):
        yield "the head takes trials"


RULES: dict[str, Callable[[Document], Faults]] = {
    rule.__name__: rule for rule in (with_token, no_open_port, no_secret, least_rights, growing)
}
#: rule -> (file, place, key, the value that it gets; None removes it)
BREACHES: list[tuple[str, str, str, Any, Any]] = [
    ("with_token", "aws", "", "file_mounts", {}),
    (
        "with_token",
        "gcp",
        "",
        "worker_start_ray_commands",
        ["ray start --address=$RAY_HEAD_IP:6379"],
    ),
    ("no_open_port", "cluster", "head_start_ray_commands", 1, "ray start --head --num-cpus=0"),
    ("no_open_port", "aws", "available_node_types/spot/node_config", "SecurityGroupIds", None),
    ("no_open_port", "aws", "provider", "use_internal_ips", False),
    ("no_open_port", "aws", "available_node_types/head/node_config", "MetadataOptions", None),
    (
        "no_open_port",
        "gcp",
        "available_node_types/head/node_config/networkInterfaces/0",
        "accessConfigs",
        [],
    ),
    ("no_secret", "cluster", "", "rsync_exclude", [".git"]),
    ("least_rights", "aws", "available_node_types/head/node_config", "IamInstanceProfile", None),
    ("least_rights", "gcp", "available_node_types/spot/node_config", "serviceAccounts", None),
    ("growing", "aws", "available_node_types/spot/node_config", "InstanceMarketOptions", None),
    ("growing", "gcp", "available_node_types/gpu-spot", "min_workers", 1),
]


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_file_follows_ray_s_schema(name: str) -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(read(name), json.loads(schema.read_text()))


@pytest.mark.parametrize("name", [path.stem for path in FILES])
@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_every_rule(rule: str, name: str) -> None:
    assert list(RULES[rule](read(name))) == []


@pytest.mark.parametrize(
    "breach", BREACHES, ids=lambda breach: f"{breach[0]}-{breach[1]}-{breach[3]}"
)
def test_a_breach_of_a_rule_is_found(breach: tuple[str, str, str, Any, Any]) -> None:
    rule, name, where, key, value = breach
    found = copy.deepcopy(json.loads(json.dumps(read(name))))  # without what YAML shares
    place = found
    for part in where.split("/") if where else ():
        place = place[int(part) if part.isdigit() else part]
    if value is None:
        del place[key]
    else:
        place[key] = value
    assert list(RULES[rule](found)) != []


def test_every_rule_has_a_breach() -> None:
    assert {breach[0] for breach in BREACHES} == set(RULES)


def test_every_option_of_ray_start_is_one_that_ray_has() -> None:
    known = {name for option in start.params for name in option.opts}
    for path in FILES:
        commands = re.findall(r"ray start (.*(?:\n +--.*)*)", path.read_text())
        words = [word for command in commands for word in command.split()]
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        assert len(options) > 4 and options <= known


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_machine_is_examined(name: str) -> None:
    setup = read(name)["setup_commands"]
    assert setup[-1].endswith("bin/gatesearch doctor")
    assert setup[-1].split("/bin/")[0] in setup[-2]


def test_the_head_s_policy_on_aws_is_for_machines_of_this_cluster_alone() -> None:
    policy = json.loads((DEPLOY / "ray" / "aws-head-policy.json").read_text())
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action
            changes = not action.startswith("ec2:Describe")
            if (changes and statement["Resource"] == "*") or "instance/*" in str(
                statement["Resource"]
            ):
                assert "Condition" in statement, action
