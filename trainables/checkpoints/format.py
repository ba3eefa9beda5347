"""Checkpoints: a folder with tensors (safetensors) and state (JSON), whole or not there at all.

    CheckpointError (ValueError)    a folder that is no whole checkpoint, or not of this trial

A checkpoint is written beside its place, brought to disk, and renamed. state.json carries the
digest of the tensors' file, so that a copy that was cut short is recognised too.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainables.checkpoints.base import CheckpointError as CheckpointError

FORMAT = 1
TENSORS, STATE = "model.safetensors", "state.json"


def write(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint to the folder; one that is there already is replaced.

    Tensors must be contiguous and share no memory; state is plain JSON with finite numbers.
    Raises OSError where the disk does; nothing is left of the attempt then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        content = save(tensors)
        digest = hashlib.sha256(content).hexdigest()
        _write(draft / TENSORS, content)
        described = {"format": FORMAT, "tensors_sha256": digest, **state}
        _write(draft / STATE, json.dumps(described, allow_nan=False).encode())
        _sync(draft)
        _replace(draft, folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and state of a checkpoint; CheckpointError where it is not whole."""
    try:
        content = (folder / TENSORS).read_bytes()
        state = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no whole checkpoint: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{folder} is of another format than {FORMAT}")
    if hashlib.sha256(content).hexdigest() != state.get("tensors_sha256"):
        raise CheckpointError(f"{folder}/{TENSORS} is not what {STATE} says was written")
    try:
        return load(content), state
    except SafetensorError as error:
        raise CheckpointError(f"{folder}/{TENSORS} cannot be read: {error}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(draft: Path, folder: Path) -> None:
    """Rename the draft into place; a folder with something in it has to step aside first."""
    with contextlib.suppress(FileNotFoundError, OSError):
        folder.rmdir()
    if not folder.exists():
        draft.rename(folder)
        return
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    folder.rename(aside)
    try:
        draft.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
