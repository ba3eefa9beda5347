"""A trained model's weights in one file, with all that is needed to build the model again.

The format is safetensors. Its metadata has one key, "gatesearch": JSON with "config" (a
TrialConfig), "task" (a TaskInfo), and what else the writer adds.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.tasks import TaskInfo
from spaces.text import first_line
from trainables.layers.model import Model

KEY = "gatesearch"


def pack_model(model: Model, metadata: dict[str, Any]) -> bytes:
    """Return the content of a weights file. metadata: plain JSON with "config" and "task"."""
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    return save(tensors, {KEY: json.dumps(metadata, allow_nan=False)})


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a weights file. Raises InputError where the file holds no model."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no mapping")
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise _refused(path, error) from error
    return metadata


def _refused(path: str | Path, error: Exception) -> InputError:
    return InputError.of(
        str(path),
        f"the file must hold the weights of an export; it cannot be read: {first_line(error)}",
        "give the weights.safetensors of an exported folder",
    )


def load_model(path: str | Path) -> Model:
    """Return the model of a weights file, ready for evaluation.

    It takes x [T, B, I] and lengths [B] (see Model.forward), with features scaled as the metadata's
    "scaling" says, if it is there, and predicts targets scaled as "target_scaling" says. Raises
    InputError where the file holds no model.
    """
    metadata = read_metadata(Path(path))
    try:
        model = Model(TrialConfig(**metadata["config"]), TaskInfo.from_dict(metadata["task"]))
        model.load_state_dict(load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _refused(path, error) from error  # of metadata or tensors that someone changed
    return model.eval()
