"""What every gate variant must hold to; the table of cells drives all of it."""

from typing import Any

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

from trainables import cells
from trainables.cells import Layer, Variant, scan

HIDDEN = 4
LENGTHS = torch.tensor([5, 3, 1])


def inputs(variant: Variant) -> int:
    return HIDDEN if variant.square else 3


def layer_of(variant: Variant, dtype: torch.dtype = torch.float64) -> Layer:
    """Return a layer whose every parameter, peepholes and gains too, is off its start."""
    draw = torch.Generator().manual_seed(7)
    layer = Layer(variant, inputs(variant), HIDDEN, draw).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=dtype, generator=draw))
        for name, buffer in layer.named_buffers():
            noise = torch.rand(buffer.shape, dtype=dtype, generator=draw)
            buffer.add_(noise if name == "running_variance" else noise - 0.5)
    return layer.eval()


def batch(variant: Variant, dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(8)
    return torch.randn(5, 3, inputs(variant), dtype=dtype, generator=draw)


@pytest.fixture(params=cells.VARIANTS.values(), ids=lambda variant: variant.name)
def variant(request: Any) -> Variant:
    found: Variant = request.param
    return found


def test_every_variant_has_an_oracle() -> None:
    assert set(oracle.ORACLES) == {variant.name for variant in cells.VARIANTS.values()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_variant_is_what_its_paper_says(
    variant: Variant, dtype: torch.dtype, tolerance: float
) -> None:
    layer, x_TBI = layer_of(variant, dtype), batch(variant, dtype)
    with torch.no_grad():
        y_TBH = layer(x_TBI, LENGTHS)
    for at, length in enumerate(LENGTHS.tolist()):
        expected = oracle.run(layer, x_TBI[:length, at].double().numpy())
        np.testing.assert_allclose(y_TBH[:length, at], expected, rtol=0, atol=tolerance)


def test_steps_one_by_one_are_the_scan(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    state = layer.initial_state(x_TBI)
    with torch.no_grad():
        y_TBH = layer(x_TBI, torch.full((3,), 5))
        for x_BI, y_BH in zip(x_TBI, y_TBH, strict=True):
            state = layer.step(x_BI, state)
            torch.testing.assert_close(state[variant.output], y_BH, rtol=0, atol=1e-12)


def test_the_reference_path_is_the_scan(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    parameters = dict(layer.named_parameters())
    with torch.no_grad():
        statistics = layer._running()
        a_TBK = scan.hoist(variant, parameters, scan.seen(variant, x_TBI), statistics)
        expected = scan.reference(variant, parameters, x_TBI, a_TBK, LENGTHS, HIDDEN)
        found = layer(x_TBI, LENGTHS)
    for at, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[:length, at], expected[:length, at], rtol=0, atol=1e-12)


def test_a_ragged_batch_is_each_sequence_alone(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    with torch.no_grad():
        together = layer(x_TBI, LENGTHS)
        for at, length in enumerate(LENGTHS.tolist()):
            alone = layer(x_TBI[:length, at : at + 1], LENGTHS[at : at + 1])
            torch.testing.assert_close(together[:length, at], alone[:, 0], rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    names = [name for name, _ in layer.named_parameters()]
    valid_TB1 = (torch.arange(5)[:, None] < LENGTHS)[..., None]

    def run(x_TBI: Tensor, *values: Tensor) -> Tensor:
        tensors = dict(zip(names, values, strict=True))
        y_TBH: Tensor = torch.func.functional_call(layer, tensors, (x_TBI, LENGTHS))
        return torch.where(valid_TB1, y_TBH, 0)

    values = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(run, (x_TBI.requires_grad_(), *values))


def test_batch_norm_is_over_the_valid_steps_and_moves_the_running_statistics() -> None:
    variant = cells.find("gru", "light")
    layer, x_TBI = layer_of(variant), batch(variant)
    before = layer.get_buffer("running_mean").clone()
    valid = torch.arange(5)[:, None] < LENGTHS
    Wx_NK = x_TBI[valid] @ layer.get_parameter("W").T
    with torch.no_grad():
        found = layer.train()(x_TBI, LENGTHS)
        moved = layer.get_buffer("running_mean").clone()
        torch.testing.assert_close(moved, 0.9 * before + 0.1 * Wx_NK.mean(0))
        layer.get_buffer("running_mean").copy_(Wx_NK.mean(0))
        layer.get_buffer("running_variance").copy_(Wx_NK.var(0, correction=0))
        expected = layer.eval()(x_TBI, LENGTHS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_single_step_in_training_has_no_statistics_of_its_own() -> None:
    layer = layer_of(cells.find("gru", "light")).train()
    y_TBH = layer(torch.ones(1, 1, 3, dtype=torch.float64), torch.tensor([1]))
    assert y_TBH.isfinite().all()
