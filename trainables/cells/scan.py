"""Runs a cell over whole sequences; the one place that chooses how.

The reference path is the definition: plain torch, one step after the other, on any device. Where
torch has a kernel of its own for a cell, the kernel is chosen.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from trainables.cells.equations import State, TensorTerms, hoist
from trainables.cells.variant import Variant

Parameters = Mapping[str, Tensor]


def initial_state(variant: Variant, x_TBI: Tensor, hidden: int) -> State:
    """Return the state before the first step: zeros [B, H] in every field."""
    return {name: x_TBI.new_zeros(x_TBI.shape[1], hidden) for name in variant.state}


def step(
    variant: Variant, parameters: Parameters, x_BI: Tensor, state: State, a_BK: Tensor | None = None
) -> State:
    """Return the state after one step; a_BK is the input's part where it is known already."""
    if a_BK is None:
        a_BK = hoist(parameters, variant.W, variant.b, x_BI)
    h_BH = state[variant.state[0]]
    terms = TensorTerms(parameters, variant.W, variant.R, variant.b, a_BK, x_BI, h_BH)
    return variant.step(terms, state)


def reference(
    variant: Variant, parameters: Parameters, x_TBI: Tensor, lengths_B: Tensor, hidden: int
) -> Tensor:
    """Return the outputs y_TBH. Beyond a sequence's end its state stands still."""
    a_TBK = hoist(parameters, variant.W, variant.b, x_TBI)
    state = initial_state(variant, x_TBI, hidden)
    steps_T = torch.arange(x_TBI.shape[0], device=x_TBI.device)
    running_TB1 = (steps_T[:, None] < lengths_B).unsqueeze(-1)
    outputs = []
    for x_BI, a_BK, running_B1 in zip(x_TBI, a_TBK, running_TB1, strict=True):
        after = step(variant, parameters, x_BI, state, a_BK)
        state = {k: torch.where(running_B1, after[k], state[k]) for k in variant.state}
        outputs.append(state[variant.state[0]])
    return torch.stack(outputs)


def _rnn(kernel: Callable[..., tuple[Tensor, Tensor]]) -> Callable[[Parameters, Tensor], Tensor]:
    def run(p: Parameters, x_TBI: Tensor) -> Tensor:
        h = x_TBI.new_zeros(1, x_TBI.shape[1], p["R"].shape[1])
        weights = [p["W"], p["R"], p["b"], torch.zeros_like(p["b"])]
        return kernel(x_TBI, h, weights, True, 1, 0.0, False, False, False)[0]

    return run


def _lstm(p: Parameters, x_TBI: Tensor) -> Tensor:
    h = x_TBI.new_zeros(1, x_TBI.shape[1], p["R"].shape[1])
    weights = [p["W"], p["R"], p["b"], torch.zeros_like(p["b"])]
    return torch.lstm(x_TBI, (h, h), weights, True, 1, 0.0, False, False, False)[0]


def _gru(p: Parameters, x_TBI: Tensor) -> Tensor:
    h = x_TBI.new_zeros(1, x_TBI.shape[1], p["R"].shape[1])
    b_h = torch.cat([torch.zeros_like(p["b"][: 2 * h.shape[-1]]), p["b_hn"]])
    weights = [p["W"], p["R"], p["b"], b_h]
    return torch.gru(x_TBI, h, weights, True, 1, 0.0, False, False, False)[0]


#: Cells that torch has a kernel for. Its second bias is a constant zero (for the GRU in two of
#: three blocks): one bias a block. A kernel runs on into the padding, where nobody reads it.
KERNELS: dict[str, Callable[[Parameters, Tensor], Tensor]] = {
    "rnn-tanh": _rnn(torch.rnn_tanh),
    "lstm-standard": _lstm,
    "gru-reset-after": _gru,
}


def scan(
    variant: Variant, parameters: Parameters, x_TBI: Tensor, lengths_B: Tensor, hidden: int
) -> Tensor:
    """Return the outputs y_TBH of a layer by the fastest way there is."""
    kernel = KERNELS.get(variant.name)
    if kernel is not None:
        return kernel(parameters, x_TBI)
    return reference(variant, parameters, x_TBI, lengths_B, hidden)
