"""A layer of several models gives each model the outputs and gradients of its own layer."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables import engine
from trainables.cells import VARIANTS, Variant
from trainables.engine.rows import Rows
from trainables.engine.workspace import Workspace
from trainables.layers.cohort_layer import CohortLayer
from trainables.layers.layer import Layer

pytestmark = pytest.mark.skipif(
    not engine.available(), reason="the scan engine does not run on this processor"
)

HIDDEN = 4
#: Of three models, the longest first and in any order.
LENGTHS = ([[5, 3, 3, 1], [4, 4, 2, 2], [6, 1, 1, 1]], [[1, 5, 3, 3], [2, 4, 2, 4], [1, 1, 6, 1]])


class NanWorkspace(Workspace):
    """A workspace whose memory holds nothing that could be used by mistake."""

    def take(self, name: object, rows: int, columns: int) -> Tensor:
        return super().take(name, rows, columns).fill_(math.nan)


def join_parameters(layer: Layer) -> None:
    """Put a layer's parameters into one vector, and its gradients, as a training does."""
    weights = torch.cat([p.detach().reshape(-1) for p in layer.parameters()])
    gradient, start = torch.zeros_like(weights), 0
    for parameter in layer.parameters():
        part = slice(start, start + parameter.numel())
        parameter.data = weights[part].view(parameter.shape)
        parameter.grad = gradient[part].view(parameter.shape)
        start = part.stop


@pytest.mark.parametrize("lengths", LENGTHS, ids=["longest-first", "any-order"])
@pytest.mark.parametrize(
    "variant",
    [variant for variant in VARIANTS.values() if variant.norm != "batch"],
    ids=lambda variant: variant.name,
)
def test_layers_together_give_outputs_and_gradients_of_layers_alone(
    variant: Variant, lengths: list[list[int]]
) -> None:
    inputs = HIDDEN if variant.square else 3
    draw = torch.Generator().manual_seed(4)
    layers = [Layer(variant, inputs, HIDDEN, draw).double() for _ in range(3)]
    for layer in layers:
        with torch.no_grad():  # peepholes and biases too are off their start
            for parameter in layer.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.3)
        join_parameters(layer)
    rows = Rows(np.array(lengths))
    window = variant.window * inputs
    x = torch.randn(len(rows), window, dtype=torch.float64, generator=draw)
    dy = torch.randn(len(rows), variant.width(HIDDEN), dtype=torch.float64, generator=draw)
    together = CohortLayer(layers, NanWorkspace(torch.float64))
    models = np.arange(3)
    saved = together.forward(rows, models, x)
    dx = together.backward(rows, models, saved, dy, wants_dx=True)
    assert dx is not None
    found = [[p.grad for p in layer.parameters()] for layer in layers]
    padded_x, padded_dy = rows.scatter_each(x), rows.scatter_each(dy)
    padded_y, padded_dx = rows.scatter_each(saved.y), rows.scatter_each(dx)
    for k, layer in enumerate(layers):
        x_TBI = padded_x[k].requires_grad_()
        parameters = dict(layer.named_parameters())
        parameters["W"] = layer.input_matrix()
        y_TBH = engine.scan(variant, parameters, x_TBI, torch.tensor(lengths[k]), HIDDEN)
        torch.testing.assert_close(padded_y[k], y_TBH, rtol=0, atol=1e-12)
        expected = torch.autograd.grad(y_TBH, [x_TBI, *layer.parameters()], padded_dy[k])
        for ours, alone in zip([padded_dx[k], *found[k]], expected, strict=True):
            torch.testing.assert_close(ours, alone, rtol=0, atol=1e-12)
