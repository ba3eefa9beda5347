"""Runs a cell over whole sequences; the one place that chooses how.

The reference path is the definition: plain torch, one step after the other, on any device. On a CPU
the compiled engine runs all cells, so that their times can be compared. On a card the table in
engine/gpu/paths.py decides. On processors without the engine torch's own kernels run the cells that
they exist for.

Shapes are suffixes: T steps, B sequences, I inputs, H units, K stacked blocks, F fields with
zoneout times units, N valid steps of all sequences.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables import engine, torch_compat
from trainables.cells.equations import NORM_EPSILON, State, TensorTerms, cut, norm
from trainables.cells.variant import Variant
from trainables.engine.gpu import paths
from trainables.layers import batch_norm
from trainables.layers.batch_norm import MOMENTUM
from trainables.layers.told import input_matrix

Parameters = Mapping[str, Tensor]


def windowed(variant: Variant, x_TBI: Tensor, before: Tensor | None = None) -> Tensor:
    """Return what W multiplies: the input, with the inputs before it if the cell has a window.

    before: [B, (window - 1) · I] the inputs before the first one, the latest first; None is zeros.
    """
    if variant.window == 1:
        return x_TBI
    steps = x_TBI.shape[0]
    if before is not None:
        earlier, inputs = variant.window - 1, x_TBI.shape[-1]
        history = before.view(-1, earlier, inputs).flip(1).transpose(0, 1)
        padded = torch.cat([history.to(x_TBI.dtype), x_TBI])
        shifted = [padded[earlier - back :][:steps] for back in range(variant.window)]
    else:
        shifted = [
            functional.pad(x_TBI, (0, 0, 0, 0, back, 0))[:steps] for back in range(variant.window)
        ]
    return torch.cat(shifted, dim=-1)


def bias(variant: Variant, parameters: Parameters) -> Tensor | None:
    """Return b_K, the biases of the blocks with an input matrix; zero for a block without one."""
    if not variant.b:
        return None
    if variant.b == variant.W:
        return parameters["b"]
    none_H = torch.zeros_like(parameters["b"][: len(parameters["b"]) // len(variant.b)])
    parts = [cut(parameters["b"], variant.b, k) if k in variant.b else none_H for k in variant.W]
    return torch.cat(parts)


def hoist(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return a_TBK, the input's part of the blocks with an input matrix, for all steps at once.

    statistics: mean and variance [K] of Wx, for cells with batch norm.
    """
    b_K = bias(variant, parameters)
    if variant.norm == "none":
        W_KI = input_matrix(variant, parameters, x_TBI.shape[-1])
        return functional.linear(x_TBI, W_KI, b_K)
    Wx_TBK = functional.linear(x_TBI, parameters["W"])
    if variant.norm == "layer":
        normed_TBK = norm(Wx_TBK)
    else:
        assert statistics is not None
        mean_K, variance_K = statistics
        normed_TBK = (Wx_TBK - mean_K) * torch.rsqrt(variance_K + NORM_EPSILON)
    scaled_TBK: Tensor = normed_TBK * parameters["gain_x"]
    return scaled_TBK if b_K is None else scaled_TBK + b_K


def batch_normed(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    lengths_B: Tensor,
    statistics: tuple[Tensor, Tensor],
) -> Tensor:
    """Return a_TBK in training: Wx normalised over the valid steps of the batch.

    It moves the running mean and variance towards the batch's. If there is only one valid step,
    which has no variance, it uses the running ones instead.
    """
    valid_TB = torch.arange(x_TBI.shape[0], device=x_TBI.device).unsqueeze(1) < lengths_B
    whole = bool(valid_TB.all())
    Wx_NK = functional.linear(x_TBI.flatten(0, 1) if whole else x_TBI[valid_TB], parameters["W"])
    gain_K, b_K = parameters["gain_x"], bias(variant, parameters)
    a_NK = functional.batch_norm(
        Wx_NK, *statistics, gain_K, b_K, len(Wx_NK) > 1, MOMENTUM, NORM_EPSILON
    )
    if whole:
        return a_NK.view(*x_TBI.shape[:2], -1)
    zeros_TBK = a_NK.new_zeros(*x_TBI.shape[:2], a_NK.shape[-1])
    return zeros_TBK.index_put((valid_TB,), a_NK)


def with_folded_norm(
    parameters: Parameters,
    x_TBI: Tensor,
    lengths_B: Tensor,
    statistics: tuple[Tensor, Tensor],
    training: bool,
) -> Parameters:
    """Return parameters whose W and b contain the batch norm.

    In training it is that of the batch's valid steps, as in batch_normed.
    """
    W, b, gain = (parameters[name] for name in ("W", "b", "gain_x"))
    if not training:
        W, b = batch_norm.folded(W, b, gain, *statistics)
    else:
        whole = int(lengths_B.min()) == len(x_TBI)
        valid_TB = torch.arange(len(x_TBI)).unsqueeze(1) < lengths_B
        x_NI = x_TBI.flatten(0, 1) if whole else x_TBI[valid_TB]
        W, b = batch_norm.folded_over(x_NI, W, b, gain, statistics)
    return {**parameters, "W": W, "b": b}


def initial_state(variant: Variant, x_TBI: Tensor, hidden: int) -> State:
    """Return the state before the first step, by the names of its fields.

    Fields are [B, H]; h is as wide as the output. The state of a cell with a window also has "x",
    the inputs [B, (window - 1) · I] before the next one, the latest first.
    """
    batch, inputs = x_TBI.shape[1:]
    state: State = {}
    for name in variant.state:
        width = variant.width(hidden) if name == variant.output else hidden
        state[name] = x_TBI.new_full((batch, width), variant.initial.get(name, 0.0))
    if variant.window > 1:
        state["x"] = x_TBI.new_zeros(batch, (variant.window - 1) * inputs)
    return state


def step(
    variant: Variant,
    parameters: Parameters,
    x_BI: Tensor,
    state: State,
    statistics: tuple[Tensor, Tensor] | None = None,
    keep_BF: Tensor | None = None,
) -> State:
    """Return the state after one step. keep_BF: the factors of zoneout, for variants with it."""
    inputs: State = {}
    window_BI = x_BI
    if variant.window > 1:
        window_BI = torch.cat([x_BI, state["x"]], dim=-1)
        inputs["x"] = window_BI[:, : state["x"].shape[-1]]
    a_BK = hoist(variant, parameters, window_BI, statistics)
    return {**_step(variant, parameters, x_BI, a_BK, state, keep_BF), **inputs}


def _step(
    variant: Variant,
    parameters: Parameters,
    x_BI: Tensor,
    a_BK: Tensor,
    state: State,
    keep_BF: Tensor | None,
) -> State:
    keep: dict[str, Tensor] = {}
    if keep_BF is not None:
        for name in variant.zoneout_fields:  # a projected output is narrower than H
            keep[name] = cut(keep_BF, variant.zoneout_fields, name)[:, : state[name].shape[-1]]
    W, R, b = variant.W, variant.R, variant.b
    return variant.step(TensorTerms(parameters, W, R, b, a_BK, x_BI, state["h"], keep), state)


def reference(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    a_TBK: Tensor,
    lengths_B: Tensor,
    hidden: int,
    keep_TBF: Tensor | None = None,
) -> Tensor:
    """Return the outputs y_TBH. Beyond a sequence's end its state stays as it is.

    keep_TBF: the factors of zoneout, for variants with it; T and B are 1 if all steps share them.
    """
    state = initial_state(variant, x_TBI, hidden)
    return carried_reference(variant, parameters, x_TBI, a_TBK, lengths_B, state, keep_TBF)[0]


def carried_reference(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    a_TBK: Tensor,
    lengths_B: Tensor,
    state: State,
    keep_TBF: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Return what reference() does, begun with a state, and that after each sequence's last step.

    No gradient goes back into the state that it begins with.
    """
    state = {name: state[name].detach() for name in variant.state}
    steps_T = torch.arange(x_TBI.shape[0], device=x_TBI.device)
    active_TB1 = (steps_T[:, None] < lengths_B).unsqueeze(-1)
    outputs = []
    for t, (x_BI, a_BK, active_B1) in enumerate(zip(x_TBI, a_TBK, active_TB1, strict=True)):
        keep_BF = None if keep_TBF is None else keep_TBF[min(t, len(keep_TBF) - 1)]
        after = _step(variant, parameters, x_BI, a_BK, state, keep_BF)
        state = {k: torch.where(active_B1, after[k], state[k]) for k in variant.state}
        outputs.append(state[variant.output])
    return torch.stack(outputs), {name: value.detach() for name, value in state.items()}


def _layer(cell: str) -> Callable[[Parameters, Tensor], Tensor]:
    """Return a layer by torch's kernel for a cell."""

    def layer(p: Parameters, x_TBI: Tensor) -> Tensor:
        batch, units, blocks = x_TBI.shape[1], p["R"].shape[1], len(p["R"])
        # One array of zeros: on a card each takes a launch.
        zeros = x_TBI.new_zeros(batch * units + blocks)
        h, b_h = zeros[: batch * units].view(1, batch, units), zeros[batch * units :]
        if cell == "gru":
            b_h = torch.cat([b_h[: 2 * units], p["b_hn"]])
        return torch_compat.recurrent_layer(cell, x_TBI, h, [p["W"], p["R"], p["b"], b_h])

    return layer


#: Cells that torch has a kernel for. Its second bias is a constant zero (for the GRU in two of
#: three blocks), so that a block has one bias. A kernel also runs over the padding, where nobody
#: reads it. A relu network could overflow there, so it is not in this table.
KERNELS: dict[str, Callable[[Parameters, Tensor], Tensor]] = {
    "rnn-tanh": _layer("rnn_tanh"),
    "lstm-standard": _layer("lstm"),
    "gru-reset-after": _layer("gru"),
}


def path(
    variant: Variant, x_TBI: Tensor, hidden: int, *, carried: bool = False
) -> Literal["engine", "kernel", "generated", "reference"]:
    """Return which path runs a cell of that many units.

    carried: whether it begins with states of other scans, which cards and torch's kernels do not.
    """
    double = x_TBI.dtype == torch.float64
    on_cpu = x_TBI.device.type == "cpu" and (double or x_TBI.dtype == torch.float32)
    if on_cpu and engine.available():
        return "engine"
    if carried:
        return "reference"
    has_kernel = variant.name in KERNELS
    if x_TBI.is_cuda and paths.has_triton():
        card = paths.card_of(x_TBI.device)
        on_card = paths.path_of(
            variant, hidden, "float32", card, torch_has=has_kernel, double=double
        )
        return "kernel" if on_card == "torch" else on_card
    return "kernel" if has_kernel else "reference"


def scan(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    lengths_B: Tensor,
    hidden: int,
    statistics: tuple[Tensor, Tensor] | None = None,
    training: bool = False,
    keep_TBF: Tensor | None = None,
) -> Tensor:
    """Return the outputs y_TBH of a layer by the fastest path there is.

    keep_TBF: the factors of zoneout (see reference), for variants with it.
    statistics: running mean and variance [K] of Wx, for cells with batch norm. Training moves them
    and normalises with the batch's own.
    """
    y_TBH, _ = carried_scan(
        variant, parameters, x_TBI, lengths_B, hidden, None, statistics, training, keep_TBF
    )
    return y_TBH


def carried_scan(
    variant: Variant,
    parameters: Parameters,
    x_TBI: Tensor,
    lengths_B: Tensor,
    hidden: int,
    state: State | None,
    statistics: tuple[Tensor, Tensor] | None = None,
    training: bool = False,
    keep_TBF: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Return what scan() does, and the state after each sequence's last step, where one was given.

    state: what the scan begins with, as initial_state() has it; it gets no gradient.
    """
    chosen = path(variant, x_TBI, hidden, carried=state is not None)
    if chosen == "kernel":
        return KERNELS[variant.name](parameters, x_TBI), {}
    before = None if state is None else state.get("x")
    window_TBI = windowed(variant, x_TBI, before)
    inputs: State = {}
    if before is not None:
        inputs["x"] = _latest(window_TBI, lengths_B, before.shape[-1])
    if chosen == "engine":
        if statistics is not None:
            parameters = with_folded_norm(parameters, window_TBI, lengths_B, statistics, training)
        if variant.gaps != "none":
            W_KI = input_matrix(variant, parameters, window_TBI.shape[-1])
            parameters = {**parameters, "W": W_KI}
        y_TBH, after = engine.carried_scan(
            variant, parameters, window_TBI, lengths_B, hidden, keep_TBF, state
        )
        return y_TBH, {**after, **inputs}
    if chosen == "generated" and variant.norm == "none":
        W_KI = input_matrix(variant, parameters, window_TBI.shape[-1])
        a_TBK = functional.linear(window_TBI, W_KI)  # its kernel adds the bias
    elif variant.norm == "batch" and training:
        assert statistics is not None
        a_TBK = batch_normed(variant, parameters, window_TBI, lengths_B, statistics)
    else:
        a_TBK = hoist(variant, parameters, window_TBI, statistics)
    if chosen == "generated":
        # Triton is needed on a card alone.
        from trainables.engine.gpu.autograd import generated_alone

        y_TBH = generated_alone(variant, parameters, x_TBI, a_TBK, lengths_B, hidden, keep_TBF)
        return y_TBH, {}
    if state is None:
        return reference(variant, parameters, x_TBI, a_TBK, lengths_B, hidden, keep_TBF), {}
    y_TBH, after = carried_reference(variant, parameters, x_TBI, a_TBK, lengths_B, state, keep_TBF)
    return y_TBH, {**after, **inputs}


def _latest(window_TBI: Tensor, lengths_B: Tensor, width: int) -> Tensor:
    """Return the latest inputs [B, width] of each sequence, as a window begins with them."""
    sequences_B = torch.arange(window_TBI.shape[1], device=window_TBI.device)
    return window_TBI[lengths_B - 1, sequences_B, :width].detach()
