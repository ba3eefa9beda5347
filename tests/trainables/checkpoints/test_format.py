"""A checkpoint is whole or it is refused."""

import json
from pathlib import Path

import pytest
import torch

from trainables.checkpoints.base import CheckpointError
from trainables.checkpoints.format import STATE, TENSORS, read_checkpoint, write_checkpoint
from trainables.files import replacing_folder


def tensors() -> dict[str, torch.Tensor]:
    return {"weights": torch.arange(1000.0), "step": torch.tensor(3.0)}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a" / "b", tensors(), {"curve": [0.1, 1e-300]})
    found, state = read_checkpoint(tmp_path / "a" / "b")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())
    assert state["curve"] == [0.1, 1e-300]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_checkpoint_takes_the_place_of_an_empty_folder_or_another_checkpoint(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for number in range(3):
        with replacing_folder(folder) as draft:  # as a store does
            write_checkpoint(draft, tensors(), {"number": number})
        assert read_checkpoint(folder)[1]["number"] == number
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("name", [TENSORS, STATE])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_half_written_checkpoint_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    write_checkpoint(tmp_path / "c", tensors(), {"number": 1})
    path = tmp_path / "c" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "c")


def test_a_missing_file_a_changed_byte_and_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_checkpoint(tmp_path / "nowhere")
    folder = tmp_path / "c"
    write_checkpoint(folder, tensors(), {})
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)
    with pytest.raises(CheckpointError, match="another digest"):
        read_checkpoint(folder)
    state = json.loads((folder / STATE).read_text())
    (folder / STATE).write_text(json.dumps({**state, "format": 99}))
    with pytest.raises(CheckpointError, match="another format"):
        read_checkpoint(folder)


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    write_checkpoint(folder, tensors(), {"number": 1})
    with pytest.raises(ValueError, match="JSON"), replacing_folder(folder) as draft:
        write_checkpoint(draft, tensors(), {"number": float("nan")})
    assert read_checkpoint(folder)[1]["number"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
