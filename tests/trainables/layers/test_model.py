"""What every model must satisfy, of whichever cell it is made."""

from typing import Any

import numpy as np
import pytest
import torch

from spaces.cells import CELLS
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.kinds import METRICS, TaskKind
from spaces.sizes import parameters
from spaces.tasks import TaskInfo
from trainables.cells import VARIANTS
from trainables.layers.layer import Layer
from trainables.layers.model import Model

KINDS: tuple[TaskKind, ...] = ("classification", "regression", "next-token", "next-step")


def config(cell: str = "lstm", gates: str = "standard", **changes: Any) -> TrialConfig:
    fields = {"depth": 2, "hidden_size": 8, "learning_rate": 0.01, "max_epochs": 2, "heads": 2}
    return TrialConfig(cell=cell, gates=gates, **{**fields, **changes})


def test_the_catalogue_and_the_table_of_cells_name_the_same_variants() -> None:
    listed = {(cell.family, cell.gates) for cell in CELLS if not cell.attention}
    assert listed == set(VARIANTS)


def test_a_square_cell_refuses_another_number_of_inputs_than_units() -> None:
    square = [variant for variant in VARIANTS.values() if variant.square]
    assert {"linear-sru", "gru-mut1"} < {variant.name for variant in square}
    for variant in square:
        with pytest.raises(ValueError, match="must have 8 inputs, one for each unit, not 16"):
            Layer(variant, 16, 8, torch.Generator())


def info(kind: TaskKind = "classification", inputs: int = 5, outputs: int = 3) -> TaskInfo:
    return TaskInfo("tiny", kind, inputs, outputs, 12, METRICS[kind][0])


CONFIGS = [
    config(cell.family, cell.gates, bidirectional=both, residual=residual)
    for cell in CELLS
    for both in ((False, True) if cell.bidirectional and not cell.attention else (False,))
    for residual in (False, True)
]


def name(config: TrialConfig) -> str:
    both = "-both" if config.bidirectional else ""
    return f"{config.cell}-{config.gates}{both}{'-residual' if config.residual else ''}"


@pytest.mark.parametrize("config", CONFIGS, ids=name)
@pytest.mark.parametrize("depth", [1, 3])
def test_a_model_has_as_many_parameters_as_the_formula_gives(
    config: TrialConfig, depth: int
) -> None:
    config = config.model_copy(update={"depth": depth})
    assert Model(config, info()).count == parameters(config, inputs=5, outputs=3)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_padding_never_changes_a_result(
    config: TrialConfig, dtype: torch.dtype, tolerance: float
) -> None:
    model = Model(config, info("classification")).to(dtype).eval()
    draw = torch.Generator().manual_seed(1)
    lengths = torch.tensor([4, 9, 1, 6])
    x_TBI = torch.randn(9, 4, 5, dtype=dtype, generator=draw)
    for garbage in (0.0, 50.0):
        for b, length in enumerate(lengths.tolist()):
            x_TBI[length:, b] = garbage
        with torch.no_grad():
            together, steps = model(x_TBI, lengths), model.features(x_TBI, lengths)
            for b, length in enumerate(lengths.tolist()):
                x_alone, length_alone = x_TBI[:length, b : b + 1], lengths[b : b + 1]
                alone = model(x_alone, length_alone)
                torch.testing.assert_close(together[b], alone[0], rtol=0, atol=tolerance)
                alone = model.features(x_alone, length_alone)
                found = steps[:length, b : b + 1]
                torch.testing.assert_close(found, alone, rtol=0, atol=tolerance)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_padding_gets_no_gradient(config: TrialConfig) -> None:
    model = Model(config, info())
    x_TBI = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(2), requires_grad=True)
    model(x_TBI, torch.tensor([3, 6])).sum().backward()
    assert x_TBI.grad is not None
    assert x_TBI.grad[3:, 0].abs().max() == 0
    assert x_TBI.grad[:3, 0].abs().min() > 0 or config.gates == "relu"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_has_its_outputs(kind: TaskKind) -> None:
    x = torch.zeros(7, 2, dtype=torch.int64) if kind == "next-token" else torch.zeros(7, 2, 5)
    outputs = Model(config(), info(kind))(x, torch.tensor([7, 3]))
    assert outputs.shape == ((7, 2, 3) if info(kind).causal else (2, 3))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_causal_task_never_sees_the_future(cell: Any) -> None:
    model = Model(config(cell.family, cell.gates), info("next-step")).eval()
    x_TBI = torch.randn(6, 1, 5, generator=torch.Generator().manual_seed(3))
    changed_TBI = x_TBI.clone()
    changed_TBI[4:] += 1
    with torch.no_grad():
        before = model(x_TBI, torch.tensor([6]))
        after = model(changed_TBI, torch.tensor([6]))
    torch.testing.assert_close(before[:4], after[:4], rtol=0, atol=1e-6)
    assert not torch.allclose(before[4:], after[4:])


def test_weights_follow_from_the_generator_and_leave_the_global_one_alone() -> None:
    state = torch.get_rng_state()
    for cell in ("lstm", "transformer"):
        gates = "standard" if cell == "lstm" else "encoder"
        seeded = [
            torch.nn.utils.parameters_to_vector(
                Model(config(cell, gates), info(), torch.Generator().manual_seed(seed)).parameters()
            )
            for seed in (1, 1, 2)
        ]
        assert torch.equal(seeded[0], seeded[1])
        assert not torch.equal(seeded[0], seeded[2])
    assert torch.equal(state, torch.get_rng_state())


def test_recurrent_matrices_start_orthogonal_and_forget_gates_open() -> None:
    layer: Any = Model(config(), info()).layers[0].forwards
    for block_HH in layer.R.detach().split(8):
        np.testing.assert_allclose(block_HH @ block_HH.T, np.eye(8), atol=1e-5)
    assert layer.b.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_residual_connections_add_the_input_where_widths_are_equal() -> None:
    plain = Model(config(depth=2), info())
    residual = Model(config(depth=2, residual=True), info())
    x_TBI = torch.randn(4, 1, 5, generator=torch.Generator().manual_seed(4))
    lengths = torch.tensor([4])
    with torch.no_grad():
        first = plain.layers[0](x_TBI, lengths)
        expected = first + plain.layers[1](first, lengths)
        torch.testing.assert_close(residual.features(x_TBI, lengths), expected)


def test_a_transformer_that_its_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="multiple of its heads"):
        Model(config("transformer", "encoder", hidden_size=9), info())
