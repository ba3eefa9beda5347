"""Files of a checkpoint: tensors (safetensors) and state (JSON) in a folder, whole or not there.

A store gives a draft to write to, which takes its place once the files are on disk. state.json
carries the digest of the tensors' file, so that a copy that was cut short is recognised too.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainables.checkpoints.base import CheckpointError
from trainables.files import sync_folder, write_new

FORMAT = 1
TENSORS, STATE = "model.safetensors", "state.json"


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint's files to a folder, which is made if need be, and to disk.

    The folder is a store's draft (Store.writing): only the store makes it a checkpoint. Tensors
    must be contiguous and share no memory; state is plain JSON with finite numbers. Raises OSError
    where the disk does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save(tensors)
    write_new(folder / TENSORS, content)
    digest = hashlib.sha256(content).hexdigest()
    described = {"format": FORMAT, "tensors_sha256": digest, **state}
    write_new(folder / STATE, json.dumps(described, allow_nan=False).encode())
    sync_folder(folder)


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and state of a checkpoint. Raises CheckpointError where it is not whole."""
    try:
        content = (folder / TENSORS).read_bytes()
        state = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} is no whole checkpoint: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{folder} is of another format than {FORMAT}")
    if hashlib.sha256(content).hexdigest() != state.get("tensors_sha256"):
        raise CheckpointError(f"{folder}/{TENSORS} has another digest than {STATE} says")
    try:
        return load(content), state
    except SafetensorError as error:
        raise CheckpointError(f"{folder}/{TENSORS} cannot be read: {error}") from error
