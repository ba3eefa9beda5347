"""Cells that are an ONNX recurrent operator, or can be embedded in one exactly.

The operators take sequence lengths, run backwards from each sequence's own end, and write zeros
behind it. Blocks, in the operators' order: RNN h; GRU z, r, h; LSTM i, o, f, c. Definitions:
https://onnx.ai/onnx/operators (RNN-14, GRU-14, LSTM-14).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.cells import Layer
from trainables.onnx.graph import Graph
from trainables.onnx.steps import Steps

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """An operator's weights in one direction; K = blocks times hidden size."""

    W: Array  #: [K, I]
    R: Array  #: [K, H]
    bias: Array  #: [K] of W
    recurrent_bias: Array  #: [K] of R


@dataclass(frozen=True)
class Operator:
    """How a cell is an ONNX operator: which one, and how its weights follow from the cell's."""

    operator: str  #: "RNN", "GRU" or "LSTM"
    weights: Callable[[Layer], Weights]
    attributes: dict[str, Any] = field(default_factory=dict)
    activations: tuple[str, ...] = ()  #: of one direction; none are the operator's own


def stacked(layer: Layer, name: str, blocks: Sequence[str | None]) -> Array:
    """Return blocks of a layer's tensor W, R or b in that order; None, or one it lacks, is zero."""
    hidden, variant = layer.hidden, layer.variant
    there = getattr(variant, name)
    columns = {"W": (variant.window * layer.inputs,), "R": (variant.width(hidden),), "b": ()}
    result = np.zeros((len(blocks) * hidden, *columns[name]), np.float32)
    for at, block in enumerate(blocks):
        if block in there:
            tensor = getattr(layer, name).detach().cpu().numpy()
            start = there.index(block) * hidden
            result[at * hidden : (at + 1) * hidden] = tensor[start : start + hidden]
    return result


def _plain(blocks: Sequence[str]) -> Callable[[Layer], Weights]:
    """Return the weights of a cell that is the operator but for the order of its blocks."""

    def weights(layer: Layer) -> Weights:
        W, R, b = (stacked(layer, name, blocks) for name in ("W", "R", "b"))
        return Weights(W, R, b, np.zeros_like(b))

    return weights


def _reset_after(layer: Layer) -> Weights:
    weights = _plain("zrn")(layer)
    weights.recurrent_bias[2 * layer.hidden :] = layer.get_parameter("b_hn").detach().cpu().numpy()
    return weights


#: Cells by family and gates. Any other one is written out as a loop over its equations.
OPERATORS: dict[tuple[str, str], Operator] = {
    ("rnn", "tanh"): Operator("RNN", _plain("h")),
    ("rnn", "relu"): Operator("RNN", _plain("h"), activations=("Relu",)),
    ("lstm", "standard"): Operator("LSTM", _plain("iofz")),
    ("gru", "reset-after"): Operator("GRU", _reset_after, {"linear_before_reset": 1}),
}


def add_operator(
    graph: Graph, prefix: str, row: Operator, directions: Sequence[Layer], x_TBI: str, steps: Steps
) -> str:
    """Add one layer in its directions (forwards, backwards) and return its outputs y_TBD."""
    weights = [row.weights(layer) for layer in directions]
    W_DKI = graph.constant(np.stack([w.W for w in weights]), f"{prefix}/W")
    R_DKH = graph.constant(np.stack([w.R for w in weights]), f"{prefix}/R")
    biases = np.stack([np.concatenate([w.bias, w.recurrent_bias]) for w in weights])
    b_DK = graph.constant(biases, f"{prefix}/b")
    attributes = dict(row.attributes)
    if row.activations:
        attributes["activations"] = list(row.activations) * len(directions)
    if len(directions) == 2:
        attributes["direction"] = "bidirectional"
    y_TDBH = graph.add(
        row.operator, x_TBI, W_DKI, R_DKH, b_DK, steps.lengths_int32,
        name=f"{prefix}/{row.operator.lower()}", hidden_size=directions[0].hidden, **attributes,
    )  # fmt: skip
    if len(directions) == 1:
        return graph.add("Squeeze", y_TDBH, graph.ints(1), name=f"{prefix}/y")
    y_TBDH = graph.add("Transpose", y_TDBH, name=f"{prefix}/directions", perm=[0, 2, 1, 3])
    return graph.add("Reshape", y_TBDH, graph.ints(0, 0, -1), name=f"{prefix}/y")
