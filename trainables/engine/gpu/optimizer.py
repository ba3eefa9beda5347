"""One step of every model's optimizer in one launch, each with its own rule and settings."""

import triton
import triton.language as tl
from torch import Tensor

#: What a rule is called in a kernel.
RULES = {"adam": 0, "adamw": 1, "sgd": 2, "rmsprop": 3}
_BLOCK = 1024


@triton.jit
def _update(
    weights, gradients, means, squares, rules, rates, decays, factors, first, second, moves, count,
    BETA1: tl.constexpr, BETA2: tl.constexpr, ALPHA: tl.constexpr, EPSILON: tl.constexpr,
    SIZE: tl.constexpr,
):  # fmt: skip
    model = tl.program_id(1)
    if tl.load(moves + model) != 0:
        place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        mask = place < count
        at = model.to(tl.int64) * count + place
        rule, rate, decay = tl.load(rules + model), tl.load(rates + model), tl.load(decays + model)
        weight = tl.load(weights + at, mask=mask, other=0.0)
        gradient = tl.load(gradients + at, mask=mask, other=0.0) * tl.load(factors + model)
        if rule == 1:
            weight = weight - rate * decay * weight
        else:
            gradient = gradient + decay * weight
        if rule <= 1:
            mean = tl.load(means + at, mask=mask, other=0.0)
            square = tl.load(squares + at, mask=mask, other=0.0)
            mean = mean + (1.0 - BETA1) * (gradient - mean)
            square = BETA2 * square + (1.0 - BETA2) * gradient * gradient
            deviation = tl.sqrt(square) / tl.sqrt(tl.load(second + model)) + EPSILON
            weight = weight - rate / tl.load(first + model) * mean / deviation
            tl.store(means + at, mean, mask=mask)
            tl.store(squares + at, square, mask=mask)
        elif rule == 2:
            weight = weight - rate * gradient
        else:
            square = tl.load(squares + at, mask=mask, other=0.0)
            square = ALPHA * square + (1.0 - ALPHA) * gradient * gradient
            weight = weight - rate * gradient / (tl.sqrt(square) + EPSILON)
            tl.store(squares + at, square, mask=mask)
        tl.store(weights + at, weight, mask=mask)


def update(
    weights_KN: Tensor,
    gradients_KN: Tensor,
    means_KN: Tensor,
    squares_KN: Tensor,
    rules_K: Tensor,
    rates_K: Tensor,
    decays_K: Tensor,
    factors_K: Tensor,
    steps_K: Tensor,
    moves_K: Tensor,
    *,
    betas: tuple[float, float],
    alpha: float,
    epsilon: float,
) -> None:
    """Move weights against their gradients times the factors, of the models that move.

    The rules are those of training.optimizers; steps_K counts this step already (for Adam).
    """
    models, count = weights_KN.shape
    shares = [(1 - beta ** steps_K.double()).float() for beta in betas]
    _update[-(-count // _BLOCK), models](
        weights_KN, gradients_KN, means_KN, squares_KN, rules_K, rates_K, decays_K, factors_K,
        *shares, moves_K, count,
        BETA1=betas[0], BETA2=betas[1], ALPHA=alpha, EPSILON=epsilon, SIZE=_BLOCK,
    )  # fmt: skip
