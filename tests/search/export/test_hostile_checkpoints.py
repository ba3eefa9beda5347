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

WRONG: tuple[Any, ...] = (..., None, "\x1b[31m", -1, 10**400, True, [], [1], {}, {"a": 1})


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


def refused_or_sound(job: SmallJob, out: Path) -> None:
    """Try an export: all of it is there, or a sentence and nothing."""
    try:
        export(job.results, out)
    except GatesearchError as error:
        assert str(error) and not out.exists()


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:10])
@pytest.mark.parametrize(
    "key", ["format", "config", "seed", "data", "curve", "best_epoch", "diverged", "metrics"]
)
def test_any_state(key: str, value: Any, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    state = json.loads((checkpoint / "state.json").read_bytes())
    parent = state["curve"][0] if key == "metrics" else state
    if value is ...:
        del parent[key]
    else:
        parent[key] = value
    (checkpoint / "state.json").write_text(json.dumps(state))
    refused_or_sound(job, tmp_path / "out")


@pytest.mark.parametrize("text", ["[" * 100_000, "", "[]", "null", "{"])
def test_a_state_that_is_none(text: str, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "state.json").write_text(text)
    refused_or_sound(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["gone", "short", "nan", "bool", "of nothing"])
def test_any_weights(change: str, job: SmallJob, checkpoint: Path, tmp_path: Path) -> None:
    name = "best"  # a complete trial keeps these alone
    tensors = load((checkpoint / "model.safetensors").read_bytes())
    match change:
        case "gone":
            del tensors[name]
        case "short":
            tensors[name] = tensors[name][:3].clone()
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
    refused_or_sound(job, tmp_path / "out")
