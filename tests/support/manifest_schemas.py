"""Strict schemas of what deploy/ describes: no key that is not known, no value of another type.

Those of Kubernetes and of compose come from packages. That of KubeRay's kinds is written down here
from its API reference (docs/reference/api.md of ray-project/kuberay, v1.6.2), with Kubernetes' own
schema for what lies within: a field that a later version adds is added here when a file uses it.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

KUBERNETES = "v1.37.0-local-strict"
_DEFINITIONS = "_definitions.json"
_ADDRESS = f"https://kubernetes.io/api/{_DEFINITIONS}"  # as it names itself

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def each(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """Return the schema of an object that has no other keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def core(name: str) -> Schema:
    """Return a reference to a type of Kubernetes' core API."""
    return {"$ref": f"{_ADDRESS}#/$defs/io.k8s.api.core.v1.{name}"}


METADATA: Schema = {"$ref": f"{_ADDRESS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
CLUSTER = closed(
    ("headGroupSpec",),
    upgradeStrategy=closed(type=one_of("Recreate", "None")),
    authOptions=closed(enableK8sTokenAuth=TRUTH, secretName=TEXT, mode=one_of("disabled", "token")),
    suspend=TRUTH,
    managedBy=one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    autoscalerOptions=closed(
        resources=core("ResourceRequirements"),
        image=TEXT,
        imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
        securityContext=core("SecurityContext"),
        idleTimeoutSeconds=COUNT,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        version=one_of("v1", "v2"),
        env=each(core("EnvVar")),
        envFrom=each(core("EnvFromSource")),
        volumeMounts=each(core("VolumeMount")),
    ),
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=TRUTH,
    gcsFaultToleranceOptions=closed(
        redisUsername=closed(valueFrom=core("EnvVarSource"), value=TEXT),
        redisPassword=closed(valueFrom=core("EnvVarSource"), value=TEXT),
        externalStorageNamespace=TEXT,
        redisAddress=TEXT,
    ),
    headGroupSpec=closed(
        ("template", "rayStartParams"),
        template=core("PodTemplateSpec"),
        headService=core("Service"),
        enableIngress=TRUTH,
        resources=TEXTS,
        labels=TEXTS,
        rayStartParams=TEXTS,
        serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer"),
    ),
    rayVersion=TEXT,
    workerGroupSpecs=each(
        closed(
            ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
            suspend=TRUTH,
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            idleTimeoutSeconds=COUNT,
            resources=TEXTS,
            labels=TEXTS,
            rayStartParams=TEXTS,
            template=core("PodTemplateSpec"),
            scaleStrategy=closed(workersToDelete=each(TEXT)),
            numOfHosts=COUNT,
        )
    ),
)
JOB = closed(
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate=core("PodTemplateSpec"),
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=closed(backoffLimit=COUNT),
    managedBy=one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=TEXT,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=COUNT,
    preRunningDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes=TRUTH,
    suspend=TRUTH,
)
PATCH = closed(
    ("op", "path"),
    op=one_of("add", "replace", "remove", "test"),
    path=TEXT,
    value=True,  # type: ignore[arg-type]
)
_TARGET = closed(group=TEXT, version=TEXT, kind=TEXT, name=TEXT, labelSelector=TEXT)
#: What our kustomizations use of https://kubectl.docs.kubernetes.io/references/kustomize/
KUSTOMIZATION = closed(
    ("apiVersion", "kind"),
    apiVersion=TEXT,
    kind=one_of("Kustomization", "Component"),
    namespace=TEXT,
    resources=each(TEXT),
    components=each(TEXT),
    images=each(closed(("name",), name=TEXT, newName=TEXT, newTag=TEXT, digest=TEXT)),
    configMapGenerator=each(closed(("name", "files"), name=TEXT, files=each(TEXT))),
    generatorOptions=closed(disableNameSuffixHash=TRUTH),
    labels=each(closed(("pairs",), pairs=TEXTS, includeSelectors=TRUTH, includeTemplates=TRUTH)),
    patches=each(closed(("target",), target=_TARGET, path=TEXT, patch=TEXT)),
    replacements=each(
        closed(
            source=closed(kind=TEXT, name=TEXT, fieldPath=TEXT),
            targets=each(
                closed(select=_TARGET, fieldPaths=each(TEXT), options=closed(create=TRUTH))
            ),
        )
    ),
)


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def _kubernetes(name: str) -> Schema:
    file = _package("kubernetes_validate") / "kubernetes-json-schema" / KUBERNETES / name
    return dict(json.loads(file.read_text()))


@cache
def _registry() -> "Registry[Any]":
    definitions = Resource.from_contents(_kubernetes(_DEFINITIONS), DRAFT202012)
    return Registry().with_resource(_ADDRESS, definitions)


def _of_kind(version: str, kind: str) -> Schema:
    if version == "ray.io/v1":
        spec = {"RayCluster": CLUSTER, "RayJob": JOB}[kind]
        required = ("apiVersion", "kind", "metadata", "spec")
        return closed(required, apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=spec)
    if version.startswith("kustomize.config.k8s.io/"):
        return KUSTOMIZATION
    return _kubernetes(f"{kind.lower()}-{version.replace('/', '-').replace('.k8s.io', '')}.json")


def faults(document: dict[str, Any]) -> list[str]:
    """Return what a Kubernetes, KubeRay or kustomize document says against its schema."""
    schema = _of_kind(document["apiVersion"], document["kind"])
    return _told(Draft202012Validator(schema, registry=_registry()), document)


def compose_faults(document: dict[str, Any]) -> list[str]:
    """Return what a compose file says against the Compose Specification."""
    vendored = _package("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    return _told(validator_for(schema)(schema), document)


def patch_faults(patch: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the form of a list of operations (RFC 6902)."""
    return _told(Draft202012Validator(each(PATCH)), patch)


def _told(validator: Any, document: Any) -> list[str]:
    return [
        f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message[:300]}"
        for error in validator.iter_errors(document)
    ]
