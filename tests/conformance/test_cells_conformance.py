"""What every gate variant must hold to; the table of cells drives all of it."""

from typing import Any

import numpy as np
import oracle
import pytest
import torch
from drawn_layers import HIDDEN, LENGTHS, batch, last_state, layer_of, valid_steps
from torch import Tensor

from trainables import cells
from trainables.cells import Variant
from trainables.cells.equations import cut
from trainables.layers import scan


@pytest.fixture(params=cells.VARIANTS.values(), ids=lambda variant: variant.name)
def variant(request: Any) -> Variant:
    found: Variant = request.param
    return found


def test_every_variant_has_an_oracle() -> None:
    assert set(oracle.ORACLES) == {variant.name for variant in cells.VARIANTS.values()}


def test_every_number_of_a_layer_has_a_part_in_what_is_compared(variant: Variant) -> None:
    """Without this, a dead relu could hide what a claim here is about."""
    layer, x_TBI = layer_of(variant), batch(variant)
    y_TBH = torch.where(valid_steps(), layer(x_TBI, LENGTHS), 0)
    weight = torch.randn(y_TBH.shape, generator=torch.Generator().manual_seed(1)).double()
    (y_TBH * weight).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        part = parameter.grad.abs()
        if (variant.name, name) == ("xlstm-slstm", "b"):  # that of i scales c and n alike
            assert cut(part, variant.b, "i").max() < 1e-12
            part = torch.cat([cut(part, variant.b, gate) for gate in "fzo"])
        assert part.min() > 1e-6, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_variant_is_what_its_paper_says(
    variant: Variant, dtype: torch.dtype, tolerance: float
) -> None:
    layer, x_TBI = layer_of(variant, dtype), batch(variant, dtype)
    with torch.no_grad():
        y_TBH, state = layer(x_TBI, LENGTHS), last_state(layer, x_TBI)
    for b, length in enumerate(LENGTHS.tolist()):
        expected, end = oracle.run(layer, x_TBI[:length, b].double().numpy())
        np.testing.assert_allclose(y_TBH[:length, b], expected, rtol=0, atol=tolerance)
        for name, value_BH in state.items():
            np.testing.assert_allclose(value_BH[b], end[name], rtol=0, atol=tolerance)


def test_steps_one_by_one_are_the_scan(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    state = layer.initial_state(x_TBI)
    with torch.no_grad():
        y_TBH = layer(x_TBI, torch.full_like(LENGTHS, len(x_TBI)))
        for x_BI, y_BH in zip(x_TBI, y_TBH, strict=True):
            state = layer.step(x_BI, state)
            torch.testing.assert_close(state[variant.output], y_BH, rtol=0, atol=1e-12)


def test_the_reference_path_is_the_scan(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    parameters = dict(layer.named_parameters())
    with torch.no_grad():
        statistics = layer.running_statistics()
        a_TBK = scan.hoist(variant, parameters, scan.windowed(variant, x_TBI), statistics)
        expected = scan.reference(variant, parameters, x_TBI, a_TBK, LENGTHS, HIDDEN)
        found = layer(x_TBI, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[:length, b], expected[:length, b], rtol=0, atol=1e-12)


def test_a_ragged_batch_is_each_sequence_alone(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    with torch.no_grad():
        together = layer(x_TBI, LENGTHS)
        for b, length in enumerate(LENGTHS.tolist()):
            alone = layer(x_TBI[:length, b : b + 1], LENGTHS[b : b + 1])
            torch.testing.assert_close(together[:length, b], alone[:, 0], rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    names = [name for name, _ in layer.named_parameters()]
    valid_TB1 = valid_steps()

    def run(x_TBI: Tensor, *values: Tensor) -> Tensor:
        tensors = dict(zip(names, values, strict=True))
        y_TBH: Tensor = torch.func.functional_call(layer, tensors, (x_TBI, LENGTHS))
        return torch.where(valid_TB1, y_TBH, 0)

    values = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    given = (x_TBI.requires_grad_(), *values)
    assert torch.autograd.gradcheck(run, given, atol=1e-7, rtol=1e-5)


def test_batch_norm_is_over_the_valid_steps_and_moves_the_running_statistics() -> None:
    variant = cells.find("gru", "light")
    layer, x_TBI = layer_of(variant), batch(variant)
    before = [layer.get_buffer(name).clone() for name in ("running_mean", "running_variance")]
    valid = valid_steps()[..., 0]
    Wx_NK = x_TBI[valid] @ layer.get_parameter("W").T
    with torch.no_grad():
        found = layer.train()(x_TBI, LENGTHS)
        statistics = (Wx_NK.mean(0), Wx_NK.var(0))  # the unbiased variance, as in torch's layer
        for buffer, was, batch_s in zip(layer.buffers(), before, statistics, strict=True):
            torch.testing.assert_close(buffer, 0.9 * was + 0.1 * batch_s, rtol=0, atol=1e-12)
        layer.get_buffer("running_mean").copy_(Wx_NK.mean(0))
        layer.get_buffer("running_variance").copy_(Wx_NK.var(0, correction=0))
        expected = layer.eval()(x_TBI, LENGTHS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_single_step_in_training_has_no_statistics_of_its_own() -> None:
    layer = layer_of(cells.find("gru", "light"))
    x_1BI, one = batch(layer.variant)[:1, :1], torch.tensor([1])
    with torch.no_grad():
        expected = layer(x_1BI, one)
        torch.testing.assert_close(layer.train()(x_1BI, one), expected, rtol=0, atol=1e-12)
