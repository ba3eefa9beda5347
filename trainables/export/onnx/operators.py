"""Cells that are an ONNX recurrent operator, or can be embedded in one exactly.

The operators take sequence lengths, run backwards from each sequence's own end, and write zeros
behind it. Blocks, in the operators' order: RNN h; GRU z, r, h; LSTM i, o, f, c. Definitions:
https://onnx.ai/onnx/operators (RNN-14, GRU-14, LSTM-14).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.cells.equations import NORM_EPSILON
from trainables.cells.lstm import JANET_BETA
from trainables.export.onnx.graph import Graph
from trainables.export.onnx.steps import Steps
from trainables.layers.layer import Layer

Array = NDArray[np.float32]

#: A gate's bias that holds it open: the logistic function of it is 1 to the last bit of a float32.
OPEN = 40.0
#: Peephole vectors in the operator's order.
PEEPHOLES = ("p_i", "p_o", "p_f")


@dataclass(frozen=True)
class Weights:
    """An operator's weights in one direction; K = blocks times hidden size."""

    W: Array  #: [K, I]
    R: Array  #: [K, H]
    bias: Array  #: [K] of W
    recurrent_bias: Array  #: [K] of R


@dataclass(frozen=True)
class Operator:
    """How a cell is an ONNX operator: which one, and how its weights follow from the cell's.

    blocks: the cell's block for each of the operator's, or "-f" for the negative of block f (its
    gate is then 1 − f), "1" for a gate held open, "0" for none at all.
    """

    operator: str  #: "RNN", "GRU" or "LSTM"
    blocks: tuple[str, ...]
    attributes: dict[str, int] = field(default_factory=dict)
    activations: tuple[str, ...] = ()  #: of one direction; none are the operator's own
    adjust: Callable[[Layer, Weights], Weights] | None = None  #: what blocks alone cannot say

    def weights(self, layer: Layer) -> Weights:
        """Return the operator's weights for a layer of the cell."""
        W, R, bias = (stacked(layer, name, self.blocks) for name in ("W", "R", "b"))
        for at, block in enumerate(self.blocks):
            if block == "1":
                bias[at * layer.hidden : (at + 1) * layer.hidden] = OPEN
        weights = Weights(W, R, bias, np.zeros_like(bias))
        return weights if self.adjust is None else self.adjust(layer, weights)


def stacked(layer: Layer, name: str, blocks: Sequence[str]) -> Array:
    """Return blocks of a layer's tensor W, R or b in that order; one that it lacks is zero."""
    hidden, variant = layer.hidden, layer.variant
    there = getattr(variant, name)
    columns = {"W": (variant.window * layer.inputs,), "R": (variant.width(hidden),), "b": ()}
    result = np.zeros((len(blocks) * hidden, *columns[name]), np.float32)
    if not there:
        return result
    tensor = parameter(layer, name)
    if name == "W":
        tensor = layer.input_matrix().detach().cpu().numpy()
    for at, block in enumerate(blocks):
        if block.lstrip("-") in there:
            start = there.index(block.lstrip("-")) * hidden
            part = tensor[start : start + hidden]
            result[at * hidden : (at + 1) * hidden] = -part if block.startswith("-") else part
    return result


def parameter(layer: Layer, name: str) -> Array:
    """Return a parameter or buffer of a layer as an array."""
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    result: Array = tensors[name].detach().cpu().numpy()
    return result


def _reset_after(layer: Layer, weights: Weights) -> Weights:
    weights.recurrent_bias[2 * layer.hidden :] = parameter(layer, "b_hn")
    return weights


def _janet(layer: Layer, weights: Weights) -> Weights:
    weights.bias[: layer.hidden] += JANET_BETA  # 1 − σ(s − β) = σ(β − s)
    return weights


def _independent(layer: Layer, weights: Weights) -> Weights:
    return replace(weights, R=np.diag(parameter(layer, "u")))


def _batch_norm(layer: Layer, weights: Weights) -> Weights:
    """Return weights that do what normalisation by running statistics does to z and n."""
    variance = parameter(layer, "running_variance").astype(np.float64) + NORM_EPSILON
    gain = parameter(layer, "gain_x") / np.sqrt(variance)
    shift = -parameter(layer, "running_mean") * gain
    none = np.zeros(layer.hidden)
    (gain_z, gain_n), (shift_z, shift_n) = np.split(gain, 2), np.split(shift, 2)
    scale = np.concatenate([gain_z, none, gain_n])[:, None]
    shift = np.concatenate([shift_z, none, shift_n])
    return replace(
        weights,
        W=(weights.W * scale).astype(np.float32),
        bias=(weights.bias + shift).astype(np.float32),
    )


_LINEAR_G = ("Sigmoid", "Affine", "Tanh")
_LINEAR_H = ("Sigmoid", "Tanh", "Affine")
_IOFZ = ("i", "o", "f", "z")
_ZRN = ("z", "r", "n")
_MGU = Operator("GRU", ("-f", "f", "n"))

#: Cells by family and gates. Any other one is written out as a loop over its equations.
OPERATORS: dict[tuple[str, str], Operator] = {
    ("rnn", "tanh"): Operator("RNN", ("h",)),
    ("rnn", "relu"): Operator("RNN", ("h",), activations=("Relu",)),
    ("rnn", "irnn"): Operator("RNN", ("h",), activations=("Relu",)),
    ("rnn", "indrnn"): Operator("RNN", ("h",), activations=("Relu",), adjust=_independent),
    ("lstm", "standard"): Operator("LSTM", _IOFZ),
    ("lstm", "peephole"): Operator("LSTM", _IOFZ),
    ("lstm", "no-input-gate"): Operator("LSTM", ("1", "o", "f", "z")),
    ("lstm", "no-forget-gate"): Operator("LSTM", ("i", "o", "1", "z")),
    ("lstm", "no-output-gate"): Operator("LSTM", ("i", "1", "f", "z")),
    ("lstm", "no-input-activation"): Operator("LSTM", _IOFZ, activations=_LINEAR_G),
    ("lstm", "no-output-activation"): Operator("LSTM", _IOFZ, activations=_LINEAR_H),
    ("lstm", "coupled"): Operator("LSTM", ("i", "o", "0", "z"), {"input_forget": 1}),
    ("lstm", "janet"): Operator(
        "LSTM", ("-f", "1", "f", "c"), activations=_LINEAR_H, adjust=_janet
    ),
    ("gru", "reset-after"): Operator("GRU", _ZRN, {"linear_before_reset": 1}, adjust=_reset_after),
    ("gru", "reset-before"): Operator("GRU", _ZRN),
    ("gru", "slim-1"): Operator("GRU", _ZRN),
    ("gru", "slim-2"): Operator("GRU", _ZRN),
    ("gru", "slim-3"): Operator("GRU", _ZRN),
    ("gru", "light"): Operator(
        "GRU", ("z", "1", "n"), activations=("Sigmoid", "Relu"), adjust=_batch_norm
    ),
    ("mgu", "mgu"): _MGU,
    ("mgu", "mgu-1"): _MGU,
    ("mgu", "mgu-2"): _MGU,
    ("mgu", "mgu-3"): _MGU,
    ("ugrnn", "standard"): Operator("GRU", ("g", "1", "n")),
    ("ran", "standard"): Operator("LSTM", ("i", "1", "f", "c"), activations=_LINEAR_G),
    ("linear", "mingru"): Operator("GRU", ("-z", "1", "h"), activations=("Sigmoid", "Affine")),
}


def add_operator(
    graph: Graph, prefix: str, row: Operator, directions: Sequence[Layer], x_TBI: str, steps: Steps
) -> str:
    """Add one layer in its directions (forwards, backwards) and return its outputs y_TBD."""
    weights = [row.weights(layer) for layer in directions]
    inputs = [
        x_TBI,
        graph.constant(np.stack([w.W for w in weights]), f"{prefix}/W"),
        graph.constant(np.stack([w.R for w in weights]), f"{prefix}/R"),
        graph.constant(
            np.stack([np.concatenate([w.bias, w.recurrent_bias]) for w in weights]), f"{prefix}/b"
        ),
        steps.lengths_int32,
    ]
    if any(name in directions[0].variant.vectors for name in PEEPHOLES):
        peepholes = np.stack([_peepholes(layer) for layer in directions])
        inputs += ["", "", graph.constant(peepholes, f"{prefix}/p")]  # no initial state is given
    attributes: dict[str, Any] = dict(row.attributes)
    if row.activations:
        attributes["activations"] = list(row.activations) * len(directions)
    if "Affine" in row.activations:  # the identity
        attributes["activation_alpha"] = [1.0] * len(directions)
        attributes["activation_beta"] = [0.0] * len(directions)
    if len(directions) == 2:
        attributes["direction"] = "bidirectional"
    name = f"{prefix}/{row.operator.lower()}"
    hidden = directions[0].hidden
    y_TDBH = graph.add(row.operator, *inputs, name=name, hidden_size=hidden, **attributes)
    if len(directions) == 1:
        return graph.add("Squeeze", y_TDBH, graph.ints(1), name=f"{prefix}/y")
    y_TBDH = graph.add("Transpose", y_TDBH, name=f"{prefix}/directions", perm=[0, 2, 1, 3])
    return graph.add("Reshape", y_TBDH, graph.ints(0, 0, -1), name=f"{prefix}/y")


def _peepholes(layer: Layer) -> Array:
    """Return the peepholes [3H] of an LSTM layer; zero for a gate that has none."""
    none = np.zeros(layer.hidden, np.float32)
    have = layer.variant.vectors
    return np.concatenate([parameter(layer, name) if name in have else none for name in PEEPHOLES])
