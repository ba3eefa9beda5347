"""Every name of torch that is private or not documented, with a replacement made of public ones.

    torch._foreach_zero_, torch._foreach_norm, torch._foreach_add_    one call for many tensors
    torch._fused_adam_, torch._fused_adamw_                           one pass over all of Adam

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


def fused_adam(device: torch.device, *, decoupled: bool) -> Callable[..., Any] | None:
    """Return torch's kernel for a step of Adam on a device; None where there is none.

    decoupled: weight decay acts apart from the gradient (AdamW).
    """
    if device.type not in FUSED_DEVICES:
        return None
    return getattr(torch, "_fused_adamw_" if decoupled else "_fused_adam_", None)
