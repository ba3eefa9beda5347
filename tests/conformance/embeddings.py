"""Cells as ONNX's own LSTM, GRU and RNN, so that onnxruntime's kernels can be their oracle.

One row of EMBEDDINGS a variant: from the layer's tensors by block, the blocks of the operator that
computes the same. Written from the operators' definitions (https://onnx.ai/onnx/operators: RNN-14,
GRU-14, LSTM-14) and the papers; nothing of the package's own export is used. The operators' gates:

    LSTM: c = f⊙c⁻ + i⊙g(a_c); Y = o⊙h(c); input_forget: f = 1 − i; p on c⁻ for i and f, on c for o
    GRU:  Y = (1 − z)⊙g(W x + R(r⊙Y⁻) + b) + z⊙Y⁻, or with r⊙(R Y⁻ + b_R) (linear_before_reset)

1 − σ(a) = σ(−a), so that the negative of a block is the gate's complement.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from oracle import Array, Weights, sig

Singles = NDArray[np.float32]
Part = Array | float
OPSET, IR_VERSION = 17, 9


@dataclass(frozen=True)
class Block:
    """The argument of an activation, W x + R h⁻ + b + p⊙c; a part that is missing is 0."""

    W: Part = 0.0
    R: Part = 0.0
    b: Part = 0.0
    reset_b: Part = 0.0  #: the bias that the reset gate of linear_before_reset acts on
    p: Part = 0.0

    def __neg__(self) -> "Block":
        return Block(*(-getattr(self, part.name) for part in fields(self)))


#: A gate held at 1: the logistic function of 40 is 1 to the last bit of a float32.
OPEN = Block(b=40.0)


def unchanged(x_TBI: Array) -> Array:
    return x_TBI


def with_tanh(x_TBI: Array) -> Array:
    return np.concatenate([x_TBI, np.tanh(x_TBI)], axis=-1)


def with_step_before(x_TBI: Array) -> Array:
    before_TBI = np.concatenate([np.zeros_like(x_TBI[:1]), x_TBI[:-1]])
    return np.concatenate([x_TBI, before_TBI], axis=-1)


@dataclass(frozen=True)
class Operator:
    """An operator with its blocks in the operator's order.

    reads: the operator's input, from the layer's. gives: the layer's output where it is not the
    operator's, from the layer's tensors, x_TBI and the operator's output Y_TBH.
    """

    kind: str
    blocks: tuple[Block, ...]
    activations: tuple[str, ...]
    attributes: dict[str, int] = field(default_factory=dict)
    reads: Callable[[Array], Array] = unchanged
    gives: Callable[[Weights, Array, Array], Array] | None = None


def rnn(f: str, h: Block) -> Operator:
    return Operator("RNN", (h,), (f,))


def gru(
    z: Block,
    h: Block,
    r: Block = OPEN,
    g: str = "Tanh",
    after: bool = False,
    reads: Callable[[Array], Array] = unchanged,
) -> Operator:
    attributes = {"linear_before_reset": int(after)}
    return Operator("GRU", (z, r, h), ("Sigmoid", g), attributes, reads)


def lstm(
    c: Block,
    i: Block = OPEN,
    f: Block = OPEN,
    o: Block = OPEN,
    g: str = "Tanh",
    h: str = "Tanh",
    coupled: bool = False,
    reads: Callable[[Array], Array] = unchanged,
    gives: Callable[[Weights, Array, Array], Array] | None = None,
) -> Operator:
    attributes = {"input_forget": int(coupled)}
    return Operator("LSTM", (i, o, f, c), ("Sigmoid", g, h), attributes, reads, gives)


def a(o: Weights, k: str) -> Block:
    """Return the layer's block k, with its peephole; what it lacks is 0."""
    return Block(W=o.W.get(k, 0.0), R=o.R.get(k, 0.0), b=o.b.get(k, 0.0), p=o.v.get(f"p_{k}", 0.0))


def independent(o: Weights) -> Operator:
    return rnn("Relu", replace(a(o, "h"), R=np.diag(o.v["u"])))


def of_v(o: Weights, /, **changes: Any) -> Operator:
    """The LSTM of Greff 2015; with no peepholes in the layer, that of Gers 2000."""
    return lstm(**{"c": a(o, "z"), "i": a(o, "i"), "f": a(o, "f"), "o": a(o, "o"), **changes})


def projected(o: Weights) -> Operator:
    """R P m⁻ = R h⁻ where m is the unprojected output and h = P m."""
    P = o.v["P"]

    def through_p(k: str) -> Block:
        return replace(a(o, k), R=o.R[k] @ P)

    return lstm(
        through_p("z"),
        i=through_p("i"),
        f=through_p("f"),
        o=through_p("o"),
        gives=lambda o, x_TBI, Y_TBH: Y_TBH @ o.v["P"].T,
    )


def janet(o: Weights) -> Operator:
    """1 − σ(s − 1) = σ(1 − s)."""
    i = -a(o, "f")
    return lstm(a(o, "c"), i=replace(i, b=i.b + 1.0), f=a(o, "f"), h="Affine")


def reset_after(o: Weights) -> Operator:
    h = replace(a(o, "n"), reset_b=o.v["b_hn"])
    return gru(a(o, "z"), h, a(o, "r"), after=True)


def reset_before(o: Weights) -> Operator:
    return gru(a(o, "z"), a(o, "n"), a(o, "r"))


def mut1(o: Weights) -> Operator:
    """Gates see the first half of [x, tanh x], the candidate the second."""
    none = np.zeros((o.hidden, o.hidden))
    z, r, n = a(o, "z"), a(o, "r"), a(o, "n")
    z, r = replace(z, W=np.hstack([z.W, none])), replace(r, W=np.hstack([r.W, none]))
    return gru(-z, replace(n, W=np.hstack([none, np.eye(o.hidden)])), r, reads=with_tanh)


def mut2(o: Weights) -> Operator:
    return gru(-a(o, "z"), a(o, "n"), replace(a(o, "r"), W=np.eye(o.hidden)))


def light(o: Weights) -> Operator:
    """Normalisation by running statistics, put into W and b."""
    gain = o.v["gain_x"] / np.sqrt(o.v["running_variance"] + 1e-5)
    shift = -o.v["running_mean"] * gain
    z, n = (
        replace(a(o, k), W=gain_H[:, None] * o.W[k], b=o.b[k] + shift_H)
        for k, gain_H, shift_H in zip("zn", np.split(gain, 2), np.split(shift, 2), strict=True)
    )
    return gru(z, n, g="Relu")


def mgu(o: Weights) -> Operator:
    return gru(-a(o, "f"), a(o, "n"), a(o, "f"))


def sru(o: Weights) -> Operator:
    """The cell c. The output, c through a highway, has no state of its own."""
    kept = replace(a(o, "f"), p=o.v["v_f"])

    def highway(o: Weights, x_TBI: Array, c_TBH: Array) -> Array:
        before_TBH = np.concatenate([np.zeros_like(c_TBH[:1]), c_TBH[:-1]])
        r_TBH = sig(x_TBI @ o.W["r"].T + o.v["v_r"] * before_TBH + o.b["r"])
        return r_TBH * c_TBH + (1 - r_TBH) * x_TBI

    return lstm(a(o, "c"), i=-kept, g="Affine", h="Affine", coupled=True, gives=highway)


def qrnn(o: Weights) -> Operator:
    """A convolution of width 2 is a product with two steps side by side."""
    return lstm(
        a(o, "z"), i=-a(o, "f"), o=a(o, "o"), h="Affine", coupled=True, reads=with_step_before
    )


EMBEDDINGS: dict[str, Callable[[Weights], Operator]] = {
    "rnn-tanh": lambda o: rnn("Tanh", a(o, "h")),
    "rnn-relu": lambda o: rnn("Relu", a(o, "h")),
    "rnn-irnn": lambda o: rnn("Relu", a(o, "h")),
    "rnn-indrnn": independent,
    "lstm-standard": of_v,
    "lstm-peephole": of_v,
    "lstm-no-input-gate": lambda o: of_v(o, i=OPEN),
    "lstm-no-forget-gate": lambda o: of_v(o, f=OPEN),
    "lstm-no-output-gate": lambda o: of_v(o, o=OPEN),
    "lstm-no-input-activation": lambda o: of_v(o, g="Affine"),
    "lstm-no-output-activation": lambda o: of_v(o, h="Affine"),
    "lstm-coupled": lambda o: of_v(o, coupled=True),
    "lstm-projected": projected,
    "lstm-janet": janet,
    "gru-reset-after": reset_after,
    "gru-reset-before": reset_before,
    "gru-slim-1": reset_before,
    "gru-slim-2": reset_before,
    "gru-slim-3": reset_before,
    "gru-mut1": mut1,
    "gru-mut2": mut2,
    "gru-light": light,
    "mgu-mgu": mgu,
    "mgu-mgu-1": mgu,
    "mgu-mgu-2": mgu,
    "mgu-mgu-3": mgu,
    "ugrnn-standard": lambda o: gru(a(o, "g"), a(o, "n")),
    "ran-standard": lambda o: lstm(a(o, "c"), i=a(o, "i"), f=a(o, "f"), g="Affine"),
    "linear-mingru": lambda o: gru(-a(o, "z"), a(o, "h"), g="Affine"),
    "linear-sru": sru,
    "linear-qrnn": qrnn,
}

#: What no operator computes, and why. Their only oracle is NumPy; the encoder's is torch.
WITHOUT: dict[str, str] = {
    "lstm-full-gate-recurrence": "gates see those of the step before; an operator's see h and c",
    "lstm-layer-norm": "the normalisation of R h⁻ and of c would stand inside of the operator",
    "gru-d": "h decays before the gates see it, by a factor of each step's own",
    "gru-decay": "h decays before the gates see it, by a factor of each step's own",
    "gru-mut3": "z sees tanh(h⁻), which no operator gives its gates",
    "ugrnn-intersection": "the output y is not the h that the gates see",
    "linear-minlstm": "a gate is the quotient of two gates",
    "xlstm-slstm": "gates are exponentials, and the cell is divided by a normaliser",
    "cfc-standard": "the gate is that of a time that differs from step to step",
    "cfc-no-gate": "the gate is that of a time that differs from step to step",
    "cfc-pure": "the state is an exponential of the time that passed",
    "transformer-encoder": "has no state",
}


def stacked(blocks: tuple[Block, ...], part: str, shape: tuple[int, ...]) -> Singles:
    """Return one part of all blocks for the operator's one direction: [1, K, …]."""
    parts = [np.broadcast_to(getattr(block, part), shape) for block in blocks]
    return np.concatenate(parts)[None].astype(np.float32)


def run(
    o: Weights, operator: Operator, x_TBI: Array, lengths_B: NDArray[np.int64]
) -> tuple[Array, dict[str, Array]]:
    """Return onnxruntime's outputs y_TBH of a ragged batch, and its last state [B, H] by name."""
    inputs = operator.reads(x_TBI).astype(np.float32)
    H, blocks = o.hidden, operator.blocks
    biases = [stacked(blocks, part, (H,)) for part in ("b", "reset_b")]
    feeds = {
        "X": inputs,
        "W": stacked(blocks, "W", (H, inputs.shape[-1])),
        "R": stacked(blocks, "R", (H, H)),
        "B": np.concatenate(biases, axis=-1),
        "lengths": lengths_B.astype(np.int32),
    }
    names = list(feeds)
    outputs = ["Y", "Y_h"]
    if operator.kind == "LSTM":
        feeds["P"] = stacked(blocks[:3], "p", (H,))  # i, o, f
        names += ["", "", "P"]  # no initial state is given
        outputs.append("Y_c")
    attributes: dict[str, Any] = dict(operator.attributes, activations=list(operator.activations))
    if count := operator.activations.count("Affine"):  # the identity
        attributes |= {"activation_alpha": [1.0] * count, "activation_beta": [0.0] * count}
    node = helper.make_node(operator.kind, names, outputs, hidden_size=H, **attributes)
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "operator",
        [
            helper.make_tensor_value_info(name, types[value.dtype], value.shape)
            for name, value in feeds.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    Y, *ends = session.run(outputs, feeds)
    y_TBH, state = Y[:, 0], {name: end[0] for name, end in zip("hc", ends, strict=False)}
    if operator.gives is not None:
        y_TBH = operator.gives(o, x_TBI, y_TBH)
        state["h"] = y_TBH[lengths_B - 1, np.arange(len(lengths_B))]
    return y_TBH, state
