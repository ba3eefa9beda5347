"""Scans that begin with the states of other scans: every cell, on the engine and by definition."""

from typing import Any

import pytest
import torch
from drawn_layers import HIDDEN, LENGTHS, batch, layer_of
from torch import Tensor

from trainables import cells, engine
from trainables.cells import Variant
from trainables.cells.equations import State
from trainables.cells.noise import NONE
from trainables.layers import scan
from trainables.layers.layer import Layer


@pytest.fixture(params=cells.VARIANTS.values(), ids=lambda variant: variant.name)
def variant(request: Any) -> Variant:
    found: Variant = request.param
    return found


def by_definition(layer: Layer, x_TBI: Tensor, lengths_B: Tensor, state: State) -> Any:
    """Return outputs and last state of the reference path, in training."""
    variant, parameters = layer.variant, dict(layer.named_parameters())
    window_TBI = scan.windowed(variant, x_TBI, state.get("x"))
    statistics = layer.running_statistics()
    if statistics is not None:
        statistics = (statistics[0].clone(), statistics[1].clone())
        a_TBK = scan.batch_normed(variant, parameters, window_TBI, lengths_B, statistics)
    else:
        a_TBK = scan.hoist(variant, parameters, window_TBI)
    return scan.carried_reference(variant, parameters, x_TBI, a_TBK, lengths_B, state)


def drawn_state(layer: Layer, x_TBI: Tensor) -> State:
    """Return a state that a layer may be in, after steps of other sequences."""
    draw = torch.Generator().manual_seed(9)
    state = layer.initial_state(x_TBI)
    for _ in range(3):
        x_BI = torch.randn(x_TBI.shape[1:], generator=draw, dtype=x_TBI.dtype)
        if layer.variant.gaps == "elapsed":  # no time passes backwards
            x_BI[:, -1].abs_()
        state = layer.step(x_BI, state)
    return {name: value.detach() for name, value in state.items()}


def test_a_sequence_in_parts_is_the_sequence_whole(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    whole_B = torch.full((x_TBI.shape[1],), len(x_TBI))
    whole_TBH = layer(x_TBI, whole_B)
    state, found, begin = layer.initial_state(x_TBI), [], 0
    for steps in (3, 1, len(x_TBI) - 4):
        part_TBI = x_TBI[begin : begin + steps]
        y_TBH, state = layer.carried(part_TBI, torch.full_like(whole_B, steps), state)
        found.append(y_TBH)
        begin += steps
    torch.testing.assert_close(torch.cat(found), whole_TBH, rtol=1e-11, atol=1e-12)


def test_a_state_is_that_of_each_sequences_own_last_step(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    first = drawn_state(layer, x_TBI)
    _, after = layer.carried(x_TBI, LENGTHS, first)
    for b, length in enumerate(LENGTHS.tolist()):
        state = {name: value[b : b + 1] for name, value in first.items()}
        for x_BI in x_TBI[:length, b : b + 1]:
            state = layer.step(x_BI, state)
        _, continued = layer.carried(x_TBI[:2, b : b + 1], torch.tensor([2]), state)
        mine = {name: value[b : b + 1] for name, value in after.items()}
        y_TBH, _ = layer.carried(x_TBI[:2, b : b + 1], torch.tensor([2]), mine)
        expected_TBH, _ = layer.carried(x_TBI[:2, b : b + 1], torch.tensor([2]), state)
        torch.testing.assert_close(y_TBH, expected_TBH, rtol=1e-10, atol=1e-11)
        assert mine.keys() == continued.keys()


@pytest.mark.skipif(not engine.available(), reason="the processor has no AVX2")
def test_engine_and_definition_agree_on_values_states_and_gradients(variant: Variant) -> None:
    layer = layer_of(variant).train()
    x_TBI = batch(variant).requires_grad_()
    state = drawn_state(layer_of(variant), x_TBI.detach())
    weights = torch.randn(len(x_TBI), x_TBI.shape[1], variant.width(HIDDEN), dtype=x_TBI.dtype)
    valid_TB1 = (torch.arange(len(x_TBI))[:, None] < LENGTHS)[..., None]
    found = []
    for run in (by_definition, lambda *given: layer.carried(*given, NONE)):
        layer.zero_grad()
        x_TBI.grad = None
        y_TBH, after = (
            run(layer, x_TBI, LENGTHS, state)
            if run is by_definition
            else run(x_TBI, LENGTHS, state)
        )
        torch.where(valid_TB1, y_TBH * weights, 0.0).sum().backward()
        gradients = {
            name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None
        }
        gradients["x"] = x_TBI.grad.clone()  # type: ignore[union-attr]
        found.append((torch.where(valid_TB1, y_TBH, 0.0).detach(), after, gradients))
    (y, after, gradients), (y_engine, after_engine, gradients_engine) = found
    torch.testing.assert_close(y_engine, y, rtol=1e-10, atol=1e-11)
    read = engine.program(variant, True, x_TBI.shape[-1] * variant.window, HIDDEN).fields
    for name in read:
        torch.testing.assert_close(after_engine[name], after[name], rtol=1e-10, atol=1e-11)
    assert gradients_engine.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_engine[name], gradient, rtol=1e-9, atol=1e-10)
    assert not any(value.requires_grad for value in after_engine.values())


def test_zoneout_goes_on_with_the_carried_state() -> None:
    variant = cells.find("lstm", "standard")
    layer = Layer(variant, 3, HIDDEN, torch.Generator().manual_seed(1), zoneout=0.5).double().eval()
    x_TBI = batch(variant)
    whole_B = torch.full((x_TBI.shape[1],), len(x_TBI))
    y_TBH, state = layer.carried(x_TBI[:4], torch.full_like(whole_B, 4), layer.initial_state(x_TBI))
    rest_TBH, _ = layer.carried(x_TBI[4:], whole_B - 4, state)
    torch.testing.assert_close(torch.cat([y_TBH, rest_TBH]), layer(x_TBI, whole_B))
