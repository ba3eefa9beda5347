"""One step of an optimizer for vectors of weights: torch's fused kernels and update rules.

torch.optim's classes load torch's compiler at their first use, a second of each worker's start;
this calls what they call. Settings that a configuration does not name are torch's defaults.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spaces.config import TrialConfig

#: What an optimizer remembers of a vector: empty before the first step.
State = dict[str, Tensor]

BETAS = 0.9, 0.999  # of Adam's two averages
ALPHA = 0.99  # of RMSprop's average
EPSILON = 1e-8


def step(config: TrialConfig, weights: list[Tensor], states: Sequence[State]) -> None:
    """Move vectors [N] by their gradients, each with its own state, and bring the states forward.

    adam     Kingma & Ba 2015, algorithm 1; weight decay is added to the gradient
    adamw    the same with decay apart from the gradient (Loshchilov & Hutter 2019, algorithm 2)
    sgd      no momentum
    rmsprop  Hinton 2012, lecture 6e
    """
    gradients = [w.grad for w in weights if w.grad is not None]
    assert len(gradients) == len(weights)
    with torch.no_grad():
        match config.optimizer:
            case "adam" | "adamw":
                _adam(config, weights, gradients, states)
            case "sgd":
                for w, gradient in zip(weights, gradients, strict=True):
                    w.add_(_decayed(config, w, gradient), alpha=-config.learning_rate)
            case "rmsprop":
                for w, gradient, state in zip(weights, gradients, states, strict=True):
                    _rmsprop(config, w, _decayed(config, w, gradient), state)


def _adam(
    config: TrialConfig,
    weights: list[Tensor],
    gradients: list[Tensor],
    states: Sequence[State],
) -> None:
    for w, state in zip(weights, states, strict=True):
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=w.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
    counts = [state["step"] for state in states]
    torch._foreach_add_(counts, 1)
    kernel = torch._fused_adam_ if config.optimizer == "adam" else torch._fused_adamw_
    kernel(
        weights,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        counts,
        lr=config.learning_rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=config.weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _rmsprop(config: TrialConfig, w: Tensor, gradient: Tensor, state: State) -> None:
    if not state:
        state["square_avg"] = torch.zeros_like(w)
    square = state["square_avg"].mul_(ALPHA).addcmul_(gradient, gradient, value=1 - ALPHA)
    w.addcdiv_(gradient, square.sqrt().add_(EPSILON), value=-config.learning_rate)


def _decayed(config: TrialConfig, w: Tensor, gradient: Tensor) -> Tensor:
    return gradient.add(w, alpha=config.weight_decay) if config.weight_decay else gradient
