"""Every name of torch that is private or not documented, with a replacement made of public ones.

    torch._foreach_zero_, torch._foreach_norm, torch._foreach_add_    one call for many tensors
    torch._fused_adam_, torch._fused_adamw_                           one pass over all of Adam
    torch._cudnn_rnn                                                  a layer's weights in one array

They are what torch.optim itself calls (seen in torch 2.8 to 2.13). Where a version or a device of
torch lacks one, the replacement gives the same result within rounding and takes longer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: Kinds of devices on which torch computes a fused step of Adam.
FUSED_DEVICES = ("cpu", "cuda")


def zero(tensors: Sequence[Tensor]) -> None:
    """Set all tensors to zero."""
    if (together := getattr(torch, "_foreach_zero_", None)) is not None:
        together(tensors)
        return
    for tensor in tensors:
        tensor.zero_()


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the Euclidean norm of each tensor, as scalars."""
    together = getattr(torch, "_foreach_norm", None)
    if len(tensors) > 1 and together is not None:
        return list(together(tensors))
    return [torch.linalg.vector_norm(tensor) for tensor in tensors]


def add(tensors: Sequence[Tensor], values: Sequence[Tensor] | float) -> None:
    """Add to each tensor its own value, or one number to all."""
    if (together := getattr(torch, "_foreach_add_", None)) is not None:
        together(tensors, values)
        return
    for at, tensor in enumerate(tensors):
        tensor.add_(values if isinstance(values, int | float) else values[at])


#: cuDNN's numbers of cells.
_CUDNN_CELLS = {"rnn_tanh": 1, "lstm": 2, "gru": 3}


def recurrent_layer(cell: str, x_TBI: Tensor, h_1BH: Tensor, weights: list[Tensor]) -> Tensor:
    """Return the outputs y [T, B, H] of torch's kernel for a cell of one layer.

    cell: rnn_tanh, lstm or gru. h: the initial state, of all fields. weights: of the input, of the
    state, and both biases.
    """
    cudnn = getattr(torch, "_cudnn_rnn", None)
    if cudnn is not None and x_TBI.is_cuda and torch.backends.cudnn.enabled:
        # Weights that are not one array are copied part by part, at each call.
        with torch.no_grad():
            array = torch.cat([weight.reshape(-1) for weight in weights])
        cell_state = h_1BH if cell == "lstm" else None
        sizes = h_1BH.shape[-1], 0, 1  # units, of a projection, layers
        of_cell = h_1BH, cell_state, _CUDNN_CELLS[cell]
        # Steps first, dropout, in training (else it is not differentiable), directions, ragged.
        rest: Any = False, 0.0, True, False, [], None
        y: Tensor = cudnn(x_TBI, weights, len(weights), array, *of_cell, *sizes, *rest)[0]
        return y
    options = True, 1, 0.0, True, False, False  # biases, layers, in training, steps first
    state = (h_1BH, h_1BH) if cell == "lstm" else h_1BH
    outputs: Tensor = getattr(torch, cell)(x_TBI, state, weights, *options)[0]
    return outputs


def fused_adam(device: torch.device, *, decoupled: bool) -> Callable[..., Any] | None:
    """Return torch's kernel for a step of Adam on a device; None where there is none.

    decoupled: weight decay acts apart from the gradient (AdamW).
    """
    if device.type not in FUSED_DEVICES:
        return None
    return getattr(torch, "_fused_adamw_" if decoupled else "_fused_adam_", None)
