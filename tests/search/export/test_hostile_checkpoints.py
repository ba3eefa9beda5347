"""A checkpoint that someone changed is refused in a sentence, and nothing is exported."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_jobs import SmallJob, small_job
from safetensors.torch import load, save

from search.export.export import export
from spaces.errors import GatesearchError

WRONG: tuple[Any, ...] = (..., None, "\x1b[31m", -1, 10**400, 0.5, True, [], [1], {}, {"a": 1})
KEYS = ("format", "config", "seed", "data", "curve", "best_epoch", "diverged", "metrics")
STATES = [
    (key, value)
    for key in KEYS
    for value in WRONG
    if value is not True or key not in ("diverged", "format")  # where it may be so, or means 1
]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SmallJob:
    job = small_job(tmp_path_factory.mktemp("hostile") / "job")
    job.add()
    return job


@pytest.fixture
def checkpoint(job: SmallJob) -> Any:
    """The folder of a checkpoint, which is sound again after a test."""
    (folder,) = (job.folder / "checkpoints").iterdir()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    yield folder
    for path, content in before.items():
        path.write_bytes(content)


def refused(job: SmallJob, out: Path) -> None:
    """Try an export: a sentence, and nothing is there."""
    with pytest.raises(GatesearchError, match=r"must (be readable|have)|nothing was exported"):
        export(job.results, out)
    assert not out.exists()


@pytest.mark.parametrize(("key", "value"), STATES, ids=lambda part: repr(part)[:10])
def test_any_state(key: str, value: Any, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    state = json.loads((checkpoint / "state.json").read_bytes())
    parent = state["curve"][0] if key == "metrics" else state
    if value is ...:
        del parent[key]
    else:
        parent[key] = value
    (checkpoint / "state.json").write_text(json.dumps(state))
    refused(job, tmp_path / "out")


@pytest.mark.parametrize("text", ["[" * 100_000, "", "[]", "null", "{"])
def test_a_state_that_is_none(text: str, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "state.json").write_text(text)
    refused(job, tmp_path / "out")


def test_a_checkpoint_that_nobody_changed_is_exported(job: SmallJob, tmp_path: Path) -> None:
    export(job.results, tmp_path / "out")
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize("change", ["gone", "short", "one for all", "nan", "bool", "of nothing"])
def test_any_weights(change: str, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    name = "best"  # a complete trial keeps these alone
    tensors = load((checkpoint / "model.safetensors").read_bytes())
    match change:
        case "gone":
            del tensors[name]
        case "short":
            tensors[name] = tensors[name][:3].clone()
        case "one for all":
            tensors[name] = tensors[name][:1].clone()
        case "nan":
            tensors[name] = tensors[name] * float("nan")
        case "bool":
            tensors[name] = tensors[name].bool()
        case "of nothing":
            tensors[name] = torch.zeros(0)
    content = save(tensors)
    (checkpoint / "model.safetensors").write_bytes(content)
    state = json.loads((checkpoint / "state.json").read_bytes())
    state["tensors_sha256"] = hashlib.sha256(content).hexdigest()
    (checkpoint / "state.json").write_text(json.dumps(state))
    refused(job, tmp_path / "out")
