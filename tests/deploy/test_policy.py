"""No pod of deploy/kuberay lets in, shows or may do more than its service needs: a table of rules.

A rule returns the faults that it finds. BREACHES has, for every rule, a change that it must find.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from manifests import (
    SECRET,
    TARGETS,
    URL_WITH_PASSWORD,
    Document,
    Pod,
    cluster_specs,
    of_kind,
    pinned,
    pods,
    rendered,
    resources,
    strings,
)

from deploy.client.client import STOP_SECONDS

Faults = Iterator[str]
#: Kinds of volumes that PodSecurity "restricted" admits.
VOLUMES = {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
LASTING = {"Deployment", "StatefulSet", "head", "worker"}


def restricted(found: list[Document]) -> Faults:
    for pod in pods(found):
        context = pod.spec.get("securityContext", {})
        if not (context.get("runAsNonRoot") and context.get("runAsUser", 0) > 0):
            yield f"{pod.name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name} has no seccompProfile"
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(name):
                yield f"{pod.name} has {name}"
        for container in pod.containers():
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{pod.name}/{container['name']} may gain privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.name}/{container['name']} keeps capabilities"
        for volume in pod.spec.get("volumes", []):
            if not set(volume) - {"name"} <= VOLUMES:
                yield f"{pod.name} has a volume of the machine's: {volume['name']}"


def read_only(found: list[Document]) -> Faults:
    for pod in pods(found):
        for container in pod.containers():
            if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
                yield f"{pod.name}/{container['name']} writes into its image"
        written = {
            mount["mountPath"]
            for container in pod.containers()
            for mount in container.get("volumeMounts", [])
            if "emptyDir" in _volume(pod, mount["name"])
        }
        if pod.role in ("head", "worker") and not {"/tmp", "/home/gatesearch"} <= written:
            yield f"{pod.name} has nowhere to write"
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{pod.name} may fill its machine's disk: {volume['name']}"


def _volume(pod: Pod, name: str) -> Document:
    return next((one for one in pod.spec.get("volumes", []) if one["name"] == name), {})


def without_account(found: list[Document]) -> Faults:
    accounts = {one["metadata"]["name"] for one in of_kind("ServiceAccount", resources())}
    for one in of_kind("ServiceAccount", found):
        if one.get("automountServiceAccountToken") is not False:
            yield f"{one['metadata']['name']} gives out its token"
    for pod in pods(found):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} carries its account's token"
        if pod.spec.get("serviceAccountName") not in accounts:
            yield f"{pod.name} has no account of its own"
        tokens = {
            volume["name"]
            for volume in pod.spec.get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            if "serviceAccountToken" in source
        }
        for container in pod.containers():
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            if tokens & mounted and container["name"] != "autoscaler":
                yield f"{pod.name}/{container['name']} has the account's token"


def limited(found: list[Document]) -> Faults:
    for pod in pods(found):
        for container in pod.containers():
            resources = container.get("resources", {})
            wanted = {"cpu", "memory"} | (
                set() if container["name"] == "autoscaler" else {"ephemeral-storage"}
            )
            for part in ("requests", "limits"):
                if not wanted <= set(resources.get(part, {})):
                    yield f"{pod.name}/{container['name']} has no {part}"
            if pod.role == "worker" and resources.get("limits") != resources.get("requests"):
                yield f"{pod.name}: Ray gives away limits, and what is requested is less"


def images_pinned(found: list[Document]) -> Faults:
    for pod in pods(found):
        for container in pod.containers():
            if container["name"] != "autoscaler" and not pinned(container["image"]):
                yield f"{pod.name}/{container['name']}: {container['image']}"


def no_secret(found: list[Document]) -> Faults:
    for one in of_kind("Secret", found):
        yield f"a secret in clear: {one['metadata']['name']}"
    for text in (text for one in found for text in strings(one)):
        if URL_WITH_PASSWORD.search(text):
            yield f"a URL with a password: {text[:40]}"
    for pod in pods(found):
        for container in pod.containers():
            for variable in container.get("env", []):
                value = variable.get("value", "")
                named = SECRET.search(variable["name"]) and not value.startswith("/run/secrets/")
                if named and "secretKeyRef" not in variable.get("valueFrom", {}):
                    yield f"{pod.name}: {variable['name']} is in clear"


def nothing_public(found: list[Document]) -> Faults:
    for kind in ("Ingress", "HTTPRoute"):
        for one in of_kind(kind, found):
            yield f"{kind} {one['metadata']['name']}"
    for one in of_kind("Service", found):
        if one["spec"].get("type", "ClusterIP") != "ClusterIP" or "externalIPs" in one["spec"]:
            yield f"{one['metadata']['name']} is open to the world"
    for spec in cluster_specs(found):
        if spec["headGroupSpec"].get("serviceType") != "ClusterIP":
            yield "the head is open to the world"
        if spec["headGroupSpec"].get("enableIngress"):
            yield "the head has an ingress"
    for pod in pods(found):
        for container in pod.containers():
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{pod.name} takes a port of its machine"


def walled(found: list[Document]) -> Faults:
    """Policies refuse what they do not name, and cover every pod, whatever cluster it is of."""
    # A job's pods are covered by the policies of the service, which is there before.
    policies = [one["spec"] for one in of_kind("NetworkPolicy", [*found, *resources()])]
    if of_kind("Namespace", found):
        policies = [one["spec"] for one in of_kind("NetworkPolicy", found)]
    everything: Document = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if everything not in policies:
        yield "nothing is refused by default"
    for policy in policies:
        for rule, side in ((r, s) for s in ("ingress", "egress") for r in policy.get(s, [])):
            peers = rule.get("from" if side == "ingress" else "to", [])
            if not peers or ("ports" not in rule and policy["podSelector"] != _RAY):
                yield f"{policy['podSelector']}: {side} for anybody, or on any port"
            for peer in peers:
                if peer.get("namespaceSelector") == {} or peer.get("podSelector") == {}:
                    yield f"{policy['podSelector']}: {side} for pods of any name"
                if peer.get("ipBlock", {}).get("cidr", "").endswith("/0"):
                    yield f"{policy['podSelector']}: {side} for the whole internet"
    for pod in pods(found):
        chosen = [one for one in policies if one["podSelector"] and _chooses(one, pod)]
        if not {"Ingress", "Egress"} <= {kind for one in chosen for kind in one["policyTypes"]}:
            yield f"no policy is for {pod.name}"


_RAY = {"matchLabels": {"app.kubernetes.io/component": "ray"}}


def _chooses(policy: Document, pod: Pod) -> bool:
    return policy["podSelector"]["matchLabels"].items() <= pod.labels.items()


def with_login(found: list[Document]) -> Faults:
    for spec in cluster_specs(found):
        if spec.get("authOptions") != {"mode": "token", "secretName": "gatesearch"}:
            yield "a Ray cluster takes jobs without a token"
    for pod in pods(found):
        for container in pod.containers():
            words = container.get("command", [])
            if words[:2] == ["mlflow", "server"]:
                if "--app-name=basic-auth" not in words:
                    yield "MLflow asks for no login"
                if not any(word.startswith("--allowed-hosts=") for word in words):
                    yield "MLflow takes requests by any name"
                if any(word.startswith("--cors-allowed-origins") for word in words):
                    yield "MLflow takes requests of foreign pages"
            started = words == ["/bin/sh", "/scripts/store.sh"] and "ports" not in container
            if "seaweedfs" in container.get("image", "") and not started:
                yield "SeaweedFS is started in another way than with accounts and on loopback"
            variables = {one["name"]: one for one in container.get("env", [])}
            if "postgres:" in container.get("image", ""):
                if "POSTGRES_PASSWORD_FILE" not in variables:
                    yield "PostgreSQL has no password"
                if "POSTGRES_HOST_AUTH_METHOD" in variables:
                    yield "PostgreSQL asks for no password"


def time_to_stop(found: list[Document]) -> Faults:
    for pod in pods(found):
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if pod.role in LASTING and grace <= STOP_SECONDS + 15:
            yield f"{pod.name} is killed while a job writes its state"


def probed(found: list[Document]) -> Faults:
    for pod in pods(found):
        for container in pod.containers():
            lasting = pod.role in LASTING and container["name"] != "autoscaler"
            if lasting and not {"livenessProbe", "readinessProbe"} <= set(container):
                yield f"{pod.name}/{container['name']} has no probes"


def in_its_namespace(found: list[Document]) -> Faults:
    for one in of_kind("Namespace", found):
        level = one["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            yield "Kubernetes itself refuses nothing"
    for one in found:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != "gatesearch":
            yield f"{one['kind']} {one['metadata']['name']} lies elsewhere"


RULES: dict[str, Callable[[list[Document]], Faults]] = {
    rule.__name__: rule
    for rule in (
        restricted,
        read_only,
        without_account,
        limited,
        images_pinned,
        no_secret,
        nothing_public,
        walled,
        with_login,
        time_to_stop,
        probed,
        in_its_namespace,
    )
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rule", RULES)
def test_what_is_applied_keeps_every_rule(rule: str, target: str) -> None:
    assert list(RULES[rule](list(rendered(TARGETS[target])))) == []


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"in_its_namespace", "walled"}))
def test_every_file_keeps_every_rule_before_an_overlay_changes_it(rule: str) -> None:
    assert list(RULES[rule](list(resources()))) == []


def _head(found: list[Document]) -> Document:
    spec: Document = of_kind("RayCluster", found)[0]["spec"]["headGroupSpec"]["template"]["spec"]
    return spec


def _spec(kind: str, name: str, found: list[Document]) -> Document:
    [one] = [one for one in of_kind(kind, found) if one["metadata"]["name"] == name]
    spec: Document = one["spec"]
    return spec


def _container(name: str, found: list[Document]) -> Document:
    one: Document
    [one] = [c for pod in pods(found) for c in pod.spec["containers"] if c["name"] == name]
    return one


def _context(name: str, found: list[Document]) -> Document:
    context: Document = _container(name, found)["securityContext"]
    return context


def _set(place: Document, key: str, value: Any) -> None:
    if value is None:
        del place[key]
    else:
        place[key] = value


#: rule -> (what is changed of what, its key, the value that it gets; None removes it)
BREACHES: list[tuple[str, Callable[[list[Document]], Document], str, Any]] = [
    ("restricted", lambda d: _context("mlflow", d), "capabilities", None),
    ("restricted", lambda d: _head(d)["securityContext"], "seccompProfile", None),
    ("restricted", lambda d: _head(d)["securityContext"], "runAsUser", 0),
    (
        "restricted",
        lambda d: of_kind("RayCluster", d)[0]["spec"]["autoscalerOptions"],
        "securityContext",
        None,
    ),
    (
        "read_only",
        lambda d: _container("door", d)["securityContext"],
        "readOnlyRootFilesystem",
        None,
    ),
    ("read_only", lambda d: _head(d)["volumes"][1], "emptyDir", {}),
    (
        "without_account",
        lambda d: of_kind("ServiceAccount", d)[0],
        "automountServiceAccountToken",
        True,
    ),
    (
        "without_account",
        lambda d: _head(d)["containers"][0]["volumeMounts"][0],
        "name",
        "account",
    ),
    ("limited", lambda d: _container("postgres", d)["resources"], "limits", {"cpu": "1"}),
    ("images_pinned", lambda d: _container("postgres", d), "image", "postgres:17"),
    ("images_pinned", lambda d: _container("door", d), "image", "gatesearch:latest"),
    (
        "no_secret",
        lambda d: _container("mlflow", d),
        "env",
        [{"name": "PGPASSWORD", "value": "hunter2"}],
    ),
    ("no_secret", lambda d: _container("mlflow", d), "command", ["postgresql://a:b@host/c"]),
    ("nothing_public", lambda d: of_kind("Service", d)[0]["spec"], "type", "LoadBalancer"),
    ("nothing_public", lambda d: _container("door", d)["ports"][0], "hostPort", 8333),
    ("walled", lambda d: _spec("NetworkPolicy", "deny-all", d)["podSelector"], "matchLabels", {}),
    (
        "walled",
        lambda d: _spec("NetworkPolicy", "ray-head", d)["ingress"][0]["from"][0],
        "namespaceSelector",
        {},
    ),
    ("walled", lambda d: _spec("NetworkPolicy", "submitter", d)["egress"][0], "to", []),
    (
        "walled",
        lambda d: of_kind("RayCluster", d)[0]["spec"]["headGroupSpec"]["template"],
        "metadata",
        {"labels": {"ray.io/cluster": "gatesearch"}},
    ),
    ("with_login", lambda d: of_kind("RayCluster", d)[0]["spec"], "authOptions", None),
    ("with_login", lambda d: _container("mlflow", d), "command", ["mlflow", "server"]),
    ("with_login", lambda d: _container("seaweedfs", d), "command", ["weed", "server", "-s3"]),
    ("time_to_stop", _head, "terminationGracePeriodSeconds", 30),
    ("probed", lambda d: _container("mlflow", d), "livenessProbe", None),
    ("in_its_namespace", lambda d: of_kind("Service", d)[0]["metadata"], "namespace", "default"),
]


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: f"{breach[0]}-{breach[2]}")
def test_a_breach_of_a_rule_is_found(
    breach: tuple[str, Callable[[list[Document]], Document], str, Any],
) -> None:
    rule, place, key, value = breach
    found = copy.deepcopy(list(rendered(TARGETS["gpu"])))
    _set(place(found), key, value)
    assert list(RULES[rule](found)) != []


def test_every_rule_has_a_breach() -> None:
    assert {breach[0] for breach in BREACHES} == set(RULES)
