"""A weights file builds its model again, and nothing else passes for one."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.cells import VARIANTS
from trainables.export.weights import load_model, pack_model, read_metadata
from trainables.layers.model import Model

INFO = TaskInfo("tiny", "classification", 3, 2, 9, METRICS["classification"][0], "ab")


@pytest.mark.parametrize("name", [*VARIANTS, ("transformer", "encoder")], ids="-".join)
def test_a_model_is_the_same_after_a_round_trip(name: tuple[str, str], tmp_path: Path) -> None:
    config = TrialConfig(
        cell=name[0], gates=name[1], depth=2, hidden_size=4, learning_rate=0.1, max_epochs=1
    )
    draw = torch.Generator().manual_seed(3)
    model = Model(config, INFO, draw).eval().requires_grad_(False)
    for tensor in [*model.parameters(), *model.buffers()]:  # no two the same, as after training
        tensor.uniform_(0.1, 0.9, generator=draw)
    metadata = {"config": config.model_dump(mode="json"), "task": asdict(INFO), "extra": [1.5]}
    metadata = json.loads(json.dumps(metadata))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pack_model(model, metadata))
    again = load_model(path)
    assert again.config == config
    assert again.info == INFO
    assert not again.training
    assert read_metadata(path) == metadata
    for kind in ("named_parameters", "named_buffers"):
        found, expected = dict(getattr(again, kind)()), dict(getattr(model, kind)())
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    x_TBI, lengths_B = torch.randn(9, 3, INFO.inputs, generator=draw), torch.tensor([4, 9, 1])
    with torch.no_grad():
        assert torch.equal(again(x_TBI, lengths_B), model(x_TBI, lengths_B))


def test_what_holds_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        load_model(path)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="cannot be read"):
        load_model(path)


@pytest.mark.parametrize(
    "metadata",
    [
        *([], None, "x", {}, {"config": 3, "task": {}}, {"config": {}, "task": None}),
        {"config": {"cell": "lstm", "gates": "\x1b[31m"}, "task": {}},
        {"config": {"cell": "lstm", "gates": "standard", "depth": 1, "hidden_size": 4}, "task": []},
    ],
)
def test_metadata_that_someone_changed_are_refused(metadata: object, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path, {"gatesearch": json.dumps(metadata)})
    with pytest.raises(InputError, match="cannot be read") as refusal:
        load_model(path)
    assert str(refusal.value).replace("\n", "").isprintable()
