"""What is dropped in training, for every cell: against NumPy, and against finite differences."""

from typing import Any

import numpy as np
import oracle
import pytest
import torch
from drawn_layers import HIDDEN, LENGTHS, batch, layer_of, valid_steps
from torch import Tensor

from spaces.cells import CELLS
from trainables import cells, engine
from trainables.cells import Variant
from trainables.cells.noise import NONE, Dropout, Noise
from trainables.cells.zoneout import keep, zoned
from trainables.layers import scan
from trainables.layers.layer import Layer

RATE = 0.3
Array = oracle.Array


def variants(having: str = "state") -> Any:
    """Return the mark that runs a test for every variant with a non-empty attribute."""
    found = [variant for variant in cells.VARIANTS.values() if getattr(variant, having)]
    return pytest.mark.parametrize("variant", found, ids=lambda variant: variant.name)


def source() -> np.random.SFC64:
    """Return the same random bits again."""
    return np.random.SFC64(np.random.SeedSequence(5))


def kept(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which values a dropout of that rate keeps, computed from the bits themselves."""
    count = int(np.prod(shape))
    numbers = source().random_raw(-(-count // 4)).view(np.uint16)[:count]
    return (numbers < round((1 - RATE) * 2**16)).reshape(shape)


def weight_drop() -> Noise:
    return Noise(weights=Dropout(RATE, source()))


@variants(having="R")
def test_weight_drop_takes_recurrent_weights_away_and_scales_the_rest(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    with torch.no_grad():
        found = layer(x_TBI, LENGTHS, weight_drop())
        R_KH = layer.get_parameter("R")
        mask_KH = torch.from_numpy(kept(tuple(R_KH.shape)))
        assert 0.5 < mask_KH.double().mean() < 0.9
        R_KH.copy_(torch.where(mask_KH, R_KH * 2**16 / round((1 - RATE) * 2**16), 0))
    for b, length in enumerate(LENGTHS.tolist()):
        expected, _ = oracle.run(layer, x_TBI[:length, b].numpy())
        np.testing.assert_allclose(found[:length, b], expected, rtol=0, atol=1e-10)


@variants()
def test_weight_drop_does_nothing_without_recurrent_matrices(variant: Variant) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    noise, untouched = weight_drop(), source()
    with torch.no_grad():
        same = torch.equal(layer(x_TBI, LENGTHS, noise), layer(x_TBI, LENGTHS))
    assert same == (not variant.R)
    assert isinstance(noise.weights.bits, np.random.BitGenerator)
    drawn = noise.weights.bits.random_raw() != untouched.random_raw()
    assert drawn == bool(variant.R)


def zoneout() -> Noise:
    return Noise(updates=Dropout(RATE, source()))


def zoned_layer(variant: Variant) -> Layer:
    layer = layer_of(variant)
    layer.zoneout = RATE
    return layer


def zoned_run(layer: Layer, x_TI: Array, keep_TFH: Array) -> Array:
    """Return the outputs [T, width] for one sequence: the oracle's steps, mixed by keep."""
    variant, o = layer.variant, oracle.weights(layer)
    step = oracle.ORACLES[variant.name]
    state = oracle.first_state(layer)
    outputs = []
    for x, keep_FH in zip(x_TI, keep_TFH, strict=True):
        after = step(o, x, state)
        for name, share in zip(variant.zoneout_fields, keep_FH, strict=True):
            kept_H = share[: len(after[name])]
            after[name] = kept_H * state[name] + (1 - kept_H) * after[name]
        if variant.output in variant.zoneout_fields:
            after["y"] = after[variant.output]
        outputs.append(after["y"])
        state = after
    return np.stack(outputs)


def test_masks_on_a_device_come_from_torch_s_generator() -> None:
    layer = zoned_layer(cells.find("lstm", "projected"))
    x_TBI = batch(layer.variant)
    found = []
    for seed in (1, 1, 2):
        weights, updates = (torch.Generator().manual_seed(seed + at) for at in (0, 10))
        noise = Noise(weights=Dropout(RATE, weights), updates=Dropout(RATE, updates))
        found.append(torch.where(valid_steps(), layer(x_TBI, LENGTHS, noise), 0))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@variants()
def test_zoneout_keeps_units_as_they_were(variant: Variant) -> None:
    layer, x_TBI = zoned_layer(variant), batch(variant)
    shape = (*x_TBI.shape[:2], len(variant.zoneout_fields), HIDDEN)
    keep_TBFH = ~kept(shape)
    with torch.no_grad():
        found = layer(x_TBI, LENGTHS, zoneout())
    for b, length in enumerate(LENGTHS.tolist()):
        expected = zoned_run(layer, x_TBI[:length, b].numpy(), keep_TBFH[:length, b] * 1.0)
        np.testing.assert_allclose(found[:length, b], expected, rtol=0, atol=1e-10)


@variants()
def test_zoneout_in_evaluation_is_its_expectation(variant: Variant) -> None:
    layer, x_TBI = zoned_layer(variant), batch(variant)
    keep_TFH = np.full((len(x_TBI), len(variant.zoneout_fields), HIDDEN), RATE)
    state = layer.initial_state(x_TBI)
    with torch.no_grad():
        found, by_step = layer(x_TBI, LENGTHS), []
        for x_BI in x_TBI:
            state = layer.step(x_BI, state)
            by_step.append(state[variant.output])
    for b, length in enumerate(LENGTHS.tolist()):
        expected = zoned_run(layer, x_TBI[:length, b].numpy(), keep_TFH[:length])
        np.testing.assert_allclose(found[:length, b], expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(torch.stack(by_step)[:length, b], expected, rtol=0, atol=1e-10)


@variants()
def test_what_zoneout_acts_on_is_read_by_the_next_step(variant: Variant) -> None:
    """A field that no step reads is no state; keeping it would only delay the output."""
    layer, x_TBI = layer_of(variant), batch(variant)
    state = layer.initial_state(x_TBI)
    with torch.no_grad():
        for name in variant.zoneout_fields:
            moved = {**state, name: state[name] + 1}
            ours, theirs = (layer.step(x_TBI[0], s) for s in (state, moved))
            assert not torch.equal(ours[variant.output], theirs[variant.output])


@pytest.mark.skipif(not engine.available(), reason="the processor has no AVX2")
@variants()
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("shape", [(6, 5, 4, 21), (3, 40, 17, 70)], ids=str)
def test_zoneout_in_the_engine_is_that_of_the_reference_path(
    variant: Variant, constant: bool, shape: tuple[int, int, int, int]
) -> None:
    """In float32, at sizes that are no whole number of vectors."""
    T, B, inputs, hidden = shape
    inputs = hidden if variant.square else inputs
    draw = torch.Generator().manual_seed(6)
    layer = Layer(variant, inputs, hidden, draw, zoneout=RATE).eval()
    x_TBI = torch.randn(T, B, inputs, generator=draw, requires_grad=True)
    lengths_B = torch.randint(1, T + 1, (B,), generator=draw)
    valid_TB1 = (torch.arange(T)[:, None] < lengths_B)[..., None]
    mixed, parameters = zoned(variant), dict(layer.named_parameters())
    dropout = Dropout() if constant else Dropout(RATE, source())
    keep_TBF = keep(variant, RATE, dropout, x_TBI, hidden)
    window_TBI = scan.windowed(variant, x_TBI)
    assert scan.path(mixed, x_TBI, 8) == "engine"
    a_TBK = scan.hoist(variant, parameters, window_TBI, layer.running_statistics())
    outputs = [
        layer(x_TBI, lengths_B, NONE if constant else zoneout()),
        scan.reference(mixed, parameters, x_TBI, a_TBK, lengths_B, hidden, keep_TBF),
    ]
    weight = torch.randn(outputs[0].shape, generator=draw)
    found = []
    for y_TBH in outputs:
        total = (torch.where(valid_TB1, y_TBH, 0) * weight).sum()
        wanted = torch.autograd.grad(total, [x_TBI, *parameters.values()], retain_graph=True)
        found.append([torch.where(valid_TB1, y_TBH, 0), *wanted])
    for got, expected in zip(*found, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * scale)


def test_zoneout_is_read_by_every_recurrent_cell_alone() -> None:
    for cell in CELLS:
        assert cell.reads("zoneout") == ((cell.family, cell.gates) in cells.VARIANTS)


@variants()
@pytest.mark.parametrize("make_noise", [weight_drop, zoneout], ids=lambda make: make.__name__)
def test_gradients_with_noise_are_those_of_finite_differences(
    variant: Variant, make_noise: Any
) -> None:
    layer, x_TBI = layer_of(variant), batch(variant)
    layer.zoneout = RATE if make_noise is zoneout else 0.0
    names = [name for name, _ in layer.named_parameters()]

    def run(x_TBI: Tensor, *values: Tensor) -> Tensor:
        tensors = dict(zip(names, values, strict=True))
        inputs = (x_TBI, LENGTHS, make_noise())
        y_TBH: Tensor = torch.func.functional_call(layer, tensors, inputs)
        return torch.where(valid_steps(), y_TBH, 0)

    values = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(run, (x_TBI.requires_grad_(), *values))
