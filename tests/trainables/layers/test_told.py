"""GRU-D and CfC as whole models: what is told of missing values and of time reaches every layer."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_trainings import small_config
from told_models import (
    FEATURES,
    HIDDEN,
    LAYOUTS,
    LENGTHS,
    OF_TIMES,
    STEPS,
    batch_of,
    info_of,
    model_of,
)

from spaces.sizes import parameters
from trainables import cells
from trainables.data.batches import Batch
from trainables.export.onnx import compare, convert
from trainables.layers.layer import Layer
from trainables.layers.model import Model

Array = NDArray[np.float64]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("cell", [*OF_TIMES, ("gru", "decay"), ("gru", "mut1")], ids="-".join)
def test_a_model_has_as_many_parameters_as_the_formula_gives(
    cell: tuple[str, str], layout: tuple[bool, bool], depth: int
) -> None:
    info, config = info_of(*layout), small_config(*cell, depth=depth)
    assert Model(config, info).count == parameters(config, *info.sizes)


def numpy_of(parameters: Any) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in parameters}


def test_gru_d_is_that_of_the_paper_with_what_decays_and_what_is_told() -> None:
    """Che et al. 2018, equations 3 to 12, one step after the other."""
    info = info_of(masks=True, gap=False)
    model = model_of(("gru", "d"), info, depth=1, residual=False).double()
    x_TBI = batch_of(info)
    with torch.no_grad():
        found_TBH = model.features(x_TBI, LENGTHS).numpy()
    assert model.decay is not None and isinstance(model.layers[0].forwards, Layer)
    o, entry = numpy_of(model.layers[0].forwards.named_parameters()), model.decay
    w, b, mean = (numpy_of([("", value)])[""] for value in (entry.w, entry.b, entry.mean))
    (W_r, W_z, W_n), (R_r, R_z, R_n) = np.split(o["W"], 3), np.split(o["R"], 3)
    b_r, b_z, b_n, b_d = np.split(o["b"], 4)

    def sig(a: Array) -> Array:
        return 1 / (1 + np.exp(-a))

    for b_, length in enumerate(LENGTHS.tolist()):
        h = np.zeros(HIDDEN)
        for t in range(length):
            x, m, delta = np.split(x_TBI[t, b_].numpy(), 3)
            decay_x = np.exp(-np.maximum(0, w * delta + b))
            x = m * x + (1 - m) * (decay_x * x + (1 - decay_x) * mean)
            h = np.exp(-np.maximum(0, o["D"] @ delta + b_d)) * h
            read = np.concatenate([x, m])
            z, r = sig(W_z @ read + R_z @ h + b_z), sig(W_r @ read + R_r @ h + b_r)
            h = (1 - z) * h + z * np.tanh(W_n @ read + R_n @ (r * h) + b_n)
            np.testing.assert_allclose(found_TBH[t, b_], h, rtol=0, atol=1e-12)


def test_gru_d_is_that_of_pypots() -> None:
    """Its gate r acts behind the product with R_n: both are one where that is diagonal."""
    backbone = pytest.importorskip("pypots.nn.modules.grud.backbone", exc_type=ImportError)
    info = info_of(masks=True, gap=False)
    model = model_of(("gru", "d"), info, depth=1, residual=False).double()
    layer, decay = model.layers[0].forwards, model.decay
    assert isinstance(layer, Layer) and decay is not None
    R = layer.get_parameter("R")
    with torch.no_grad():
        R[2 * HIDDEN :] = torch.diag(R[2 * HIDDEN :].diagonal())
    theirs = backbone.BackboneGRUD(STEPS, FEATURES, HIDDEN).double()
    with torch.no_grad():
        for (name, to), sign in zip((("r", 0), ("z", 1), ("n", 2)), (1, -1, 1), strict=True):
            del name
            part, rows = (
                layer.get_parameter("W")[to * HIDDEN : (to + 1) * HIDDEN],
                slice(to * HIDDEN, (to + 1) * HIDDEN),
            )
            zeros = torch.zeros(HIDDEN, HIDDEN)
            read = torch.cat([part[:, :FEATURES], zeros, part[:, FEATURES:]], dim=1)
            theirs.rnn_cell.weight_ih[rows] = sign * read
            theirs.rnn_cell.weight_hh[rows] = sign * R[rows]
            theirs.rnn_cell.bias_ih[rows] = sign * layer.get_parameter("b")[rows]
        theirs.rnn_cell.bias_hh.zero_()
        theirs.temp_decay_h.W.copy_(layer.get_parameter("D"))
        theirs.temp_decay_h.b.copy_(layer.get_parameter("b")[3 * HIDDEN :])
        theirs.temp_decay_x.W.copy_(torch.diag(decay.w))
        theirs.temp_decay_x.b.copy_(decay.b)
        x_TBI = batch_of(info)
        values, there, since = x_TBI.transpose(0, 1).split(FEATURES, dim=-1)
        _, expected = theirs(values, there, since, decay.mean, values)
        found = model.features(x_TBI, torch.full((len(LENGTHS),), STEPS))[-1]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gates", ["standard", "no-gate", "pure"])
def test_cfc_is_that_of_ncps(gates: str) -> None:
    ncps = pytest.importorskip("ncps.torch", exc_type=ImportError)
    info = info_of(masks=False, gap=True)
    model = model_of(("cfc", gates), info, depth=1, residual=False).double()
    layer = model.layers[0].forwards
    assert isinstance(layer, Layer)
    mode = {"standard": "default", "no-gate": "no_gate", "pure": "pure"}[gates]
    theirs = ncps.CfCCell(FEATURES, HIDDEN, mode, backbone_units=HIDDEN).double()
    W, R, b = (layer.get_parameter(name) for name in "WRb")
    heads = [theirs.ff1] if gates == "pure" else [theirs.ff1, theirs.ff2]
    heads += [] if gates == "pure" else [theirs.time_a, theirs.time_b]
    with torch.no_grad():
        theirs.backbone[0].weight.copy_(torch.cat([W, R[:HIDDEN]], dim=1))
        theirs.backbone[0].bias.copy_(b[:HIDDEN])
        parts = zip(R[HIDDEN:].split(HIDDEN), b[HIDDEN:].split(HIDDEN), strict=True)
        for head, (weight, bias) in zip(heads, parts, strict=True):
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        if gates == "pure":
            theirs.w_tau.copy_(layer.get_parameter("w_tau"))
            theirs.A.copy_(layer.get_parameter("amplitude"))
        x_TBI = batch_of(info)
        found = model.features(x_TBI, torch.full((len(LENGTHS),), STEPS))
        h = torch.zeros(len(LENGTHS), HIDDEN).double()
        for x_BI, y_BH in zip(x_TBI, found, strict=True):
            h, _ = theirs(x_BI[:, :-1], h, x_BI[:, -1:])
            torch.testing.assert_close(y_BH, h, rtol=0, atol=1e-12)


def test_a_time_that_the_data_does_not_tell_is_one() -> None:
    without, told = info_of(False, False), info_of(False, True)
    x_TBI = batch_of(without)
    ones = torch.cat([x_TBI, torch.ones_like(x_TBI[..., :1])], dim=-1)
    with torch.no_grad():
        for gates in ("standard", "no-gate", "pure"):
            one = model_of(("cfc", gates), without).double()
            other = model_of(("cfc", gates), told).double()
            assert torch.equal(one(x_TBI, LENGTHS), other(ones, LENGTHS))


@pytest.mark.parametrize("cell", OF_TIMES, ids="-".join)
def test_the_time_between_steps_changes_what_a_cell_gives(cell: tuple[str, str]) -> None:
    info = info_of(False, True)
    model, x_TBI = model_of(cell, info).double(), batch_of(info)
    later = x_TBI.clone()
    later[..., -1] *= 3
    with torch.no_grad():
        assert not torch.allclose(model(x_TBI, LENGTHS), model(later, LENGTHS))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("cell", OF_TIMES, ids="-".join)
def test_the_graph_gives_torch_s_outputs(cell: tuple[str, str], layout: tuple[bool, bool]) -> None:
    info = info_of(*layout)
    model = model_of(cell, info).eval()
    x_TBI, fill = batch_of(info).float(), None
    if info.missing == "mask":
        x_TBI[..., :FEATURES] *= 0.5
        fill = np.zeros(info.inputs, np.float32)
        fill[:FEATURES] = 0.3
    batch = Batch(x_TBI, LENGTHS, torch.zeros(len(LENGTHS)))
    assert compare(convert(model, fill=fill), model, [batch], fill=fill).passed


def test_cells_without_times_read_what_is_told_as_any_input() -> None:
    info = info_of(True, True)
    layer = model_of(("gru", "decay"), info).layers[0].forwards
    assert isinstance(layer, Layer) and layer.inputs == info.inputs
    assert cells.find("gru", "decay").gaps == "none"
