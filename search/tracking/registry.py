"""The best model of each arm in MLflow's model registry, as ONNX: no pickle is written or read.

A job's models are versions of one registered model. The alias `champion-ARM` names an arm's best
one, `champion` the best of all. What is there already, by the digest of its file, is not added
again: each step may be cut short and repeated.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.tracking import mlflow_compat
from search.tracking.mlflow_compat import Fault
from search.tracking.stored import digest_of

MODEL = "model.onnx"
CHAMPION = "champion"
_DIGEST, _ARM = "gatesearch.digest", "arm"
_STEPS = 8  #: of the sequences of an input example


@dataclass(frozen=True)
class ExportedModel:
    """A model that an export has written."""

    content: bytes
    metadata: dict[str, Any]  #: what the export says of it, as in search/export/export.py

    @classmethod
    def read(cls, path: Path) -> "ExportedModel":
        """Read model.onnx. Raises ValueError where that is none of an export."""
        import onnx

        content = path.read_bytes()
        try:
            found = {each.key: each.value for each in onnx.load_from_string(content).metadata_props}
            return cls(content, dict(json.loads(found["gatesearch"])))
        except Exception as error:  # protobuf documents no class
            raise ValueError(f"{path} must be a model that an export has written") from error

    @property
    def arm(self) -> str:
        """The model's arm."""
        return str(self.metadata["arm"])

    @property
    def digest(self) -> str:
        """A digest of the file."""
        return digest_of(self.content)


def register(
    client: Any,
    experiment: str,
    job: str,
    model: ExportedModel,
    run_id: str | None,
    aliases: Sequence[str],
    store: Callable[[str, Path], bool],
) -> None:
    """Have the registry hold a model under these aliases.

    run_id: of the trial that trained it. store(uri, folder) copies a folder's files to a URI of
    MLflow's where this process writes them, and returns whether it does.
    """
    name = registered_name(job)
    found = _version(client, name, model)
    if found is None:
        _create_registered(client, name, job)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow's own code, about itself
            logged = _log(client, experiment, model, run_id, store)
        # A server resolves models:/ID itself; a client of a database would ask another database.
        local = client.tracking_uri.startswith("sqlite:")
        found = client.create_model_version(
            name,
            logged.artifact_location if local else f"models:/{logged.model_id}",
            run_id,
            tags={_DIGEST: model.digest, _ARM: model.arm},
            description=_description(model),
            model_id=logged.model_id,
        ).version
    known = client.get_registered_model(name).aliases
    for alias in aliases:
        if str(known.get(alias)) != str(found):
            client.set_registered_model_alias(name, alias, str(found))


def registered_name(job: str) -> str:
    """Return the name of a job's registered model."""
    return f"gatesearch-{job}"


def _version(client: Any, name: str, model: ExportedModel) -> str | None:
    """Return the version that is this model, if there is one."""
    for found in client.search_model_versions(f"name = '{name}'"):
        if found.tags.get(_DIGEST) == model.digest and found.tags.get(_ARM) == model.arm:
            return str(found.version)
    return None


def _create_registered(client: Any, name: str, job: str) -> None:
    about = f"The best model of each arm of the gatesearch job {job}, for onnxruntime."
    try:
        client.create_registered_model(name, {"gatesearch.job": job}, about)
    except Exception as error:
        if mlflow_compat.fault_of(error) is not Fault.EXISTS:
            raise


def _description(model: ExportedModel) -> str:
    told = model.metadata
    return (
        f"Trial {told['trial']} of arm {model.arm}, as it was after epoch {told['epoch']}. Its "
        "input x holds raw values [batch, time, features], or symbols [batch, time]; lengths "
        "[batch] says how many steps of each sequence count."
    )


def _log(
    client: Any,
    experiment: str,
    model: ExportedModel,
    run_id: str | None,
    store: Callable[[str, Path], bool],
) -> Any:
    """Return the logged model of the experiment with the model's files in it."""
    condition = f"tags.`{_DIGEST}` = '{model.digest}'"
    known = client.search_logged_models([experiment], condition)
    logged = known[0] if known else None
    if logged is None:
        label = f"{model.arm}-{model.metadata['trial']}"
        tags = {_DIGEST: model.digest, _ARM: model.arm}
        logged = client.create_logged_model(experiment, label, run_id, tags, model_type="onnx")
    if str(logged.status) != "READY":
        with tempfile.TemporaryDirectory(prefix="gatesearch-model-") as draft:
            folder = Path(draft) / "model"
            _save(model, folder, logged.model_id, run_id)
            if not store(logged.artifact_location, folder):
                client.log_model_artifacts(logged.model_id, str(folder))
        logged = client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _save(model: ExportedModel, folder: Path, model_id: str, run_id: str | None) -> None:
    """Write a model in MLflow's ONNX flavour, with signature and input example."""
    import mlflow.onnx
    import onnx
    from mlflow.models import Model, ModelSignature

    proto = onnx.load_from_string(model.content)
    inputs, outputs = (_schema(each) for each in (proto.graph.input, proto.graph.output))
    mlflow.onnx.save_model(
        proto,
        str(folder),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=ModelSignature(inputs, outputs),
        input_example=example(model),
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime")],
        save_as_external_data=False,
        onnx_execution_providers=["CPUExecutionProvider"],
    )


def _schema(values: Any) -> Any:
    import onnx
    from mlflow.types import Schema, TensorSpec

    found: list[Any] = []
    for value in values:
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_value or -1 for axis in tensor.shape.dim)
        element = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        found.append(TensorSpec(element, shape, value.name))
    return Schema(found)


def example(model: ExportedModel) -> dict[str, Any]:
    """Return two sequences of different lengths: the training data's mean, or symbol 0."""
    import numpy as np

    told = model.metadata
    steps = max(1, min(_STEPS, int(told["task"]["longest"])))
    lengths = np.array([steps, (steps + 1) // 2], np.int64)
    if told["task"]["kind"] == "next-token":
        return {"x": np.zeros((2, steps), np.int64), "lengths": lengths}
    x = np.zeros((2, steps, _width(model)), np.float32)
    mean = (told.get("scaling") or {}).get("mean") or ()
    x[..., : len(mean)] = mean  # what a task adds to its features is not scaled
    return {"x": x, "lengths": lengths}


def _width(model: ExportedModel) -> int:
    import onnx

    graph = onnx.load_from_string(model.content).graph
    (shape,) = (each.type.tensor_type.shape for each in graph.input if each.name == "x")
    return int(shape.dim[2].dim_value)
