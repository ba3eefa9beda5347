"""One step of an optimizer for vectors of weights: torch's fused kernels, or the update rules.

torch.optim's classes load torch's compiler at their first use, which takes a second of each
worker's start; this calls what they call. Settings that a configuration does not name are torch's
defaults.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spaces.config import TrialConfig
from trainables import torch_compat

#: What an optimizer remembers of a vector: empty before the first step.
State = dict[str, Tensor]

BETAS = 0.9, 0.999  # of Adam's two averages
ALPHA = 0.99  # of RMSprop's average
EPSILON = 1e-8


def step(
    config: TrialConfig,
    rate: float,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[State],
) -> None:
    """Move vectors [N] against their gradients, each with its own state; update the states.

    rate: in place of the configuration's learning rate, which schedules change.

    adam     Kingma & Ba 2015, algorithm 1; weight decay is added to the gradient
    adamw    the same with decay apart from the gradient (Loshchilov & Hutter 2019, algorithm 2)
    sgd      no momentum
    rmsprop  Hinton 2012, lecture 6e
    """
    with torch.no_grad():
        if config.optimizer in ("adam", "adamw"):
            _adam(config, rate, weights, gradients, states)
            return
        for w, gradient, state in zip(weights, gradients, states, strict=True):
            decayed = _decayed(config, w, gradient)
            if config.optimizer == "rmsprop":
                _rmsprop(rate, w, decayed, state)
            else:
                w.add_(decayed, alpha=-rate)


def _adam(
    config: TrialConfig,
    rate: float,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[State],
) -> None:
    for w, state in zip(weights, states, strict=True):
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=w.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
    counts = [state["step"] for state in states]
    torch_compat.add(counts, 1)
    decoupled = config.optimizer == "adamw"
    kernel = torch_compat.fused_adam(weights[0].device, decoupled=decoupled)
    if kernel is None:
        for w, gradient, state in zip(weights, gradients, states, strict=True):
            _adam_rule(config, rate, w, gradient, state)
        return
    kernel(
        list(weights),
        list(gradients),
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        counts,
        lr=rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=config.weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _adam_rule(config: TrialConfig, rate: float, w: Tensor, gradient: Tensor, state: State) -> None:
    """Do what the fused kernels do, within rounding; the state has counted this step."""
    if config.optimizer == "adamw":
        w.mul_(1 - rate * config.weight_decay)
    else:
        gradient = _decayed(config, w, gradient)
    mean = state["exp_avg"].lerp_(gradient, 1 - BETAS[0])
    square = state["exp_avg_sq"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    steps = float(state["step"])
    mean_share, square_share = (1 - beta**steps for beta in BETAS)  # of their final size
    deviation = square.sqrt().div_(square_share**0.5).add_(EPSILON)
    w.addcdiv_(mean, deviation, value=-rate / mean_share)


def _rmsprop(rate: float, w: Tensor, gradient: Tensor, state: State) -> None:
    if not state:
        state["square_avg"] = torch.zeros_like(w)
    square = state["square_avg"].mul_(ALPHA).addcmul_(gradient, gradient, value=1 - ALPHA)
    w.addcdiv_(gradient, square.sqrt().add_(EPSILON), value=-rate)


def _decayed(config: TrialConfig, w: Tensor, gradient: Tensor) -> Tensor:
    return gradient.add(w, alpha=config.weight_decay) if config.weight_decay else gradient
