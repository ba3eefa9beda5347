"""One epoch of optimisation steps, of one model or of several at once: the only place for it.

Who computes the gradients (one model by autograd, or a cohort) hands in a function; the test for
finite numbers, clipping, the optimizer's step and the mean loss are done here for all of them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from spaces.config import TrialConfig
from trainables import torch_compat
from trainables.training import optimizers
from trainables.training.metrics import Scored

B = TypeVar("B")


class Learner(Protocol):
    """A model's weights in training, all in one vector [N]."""

    config: TrialConfig
    weights: Tensor
    gradient: Tensor
    optimizer_state: optimizers.State
    #: Mean norm of the gradients of the latest epoch's steps, before they are clipped.
    gradient_norm: float | None

    @property
    def rate(self) -> float:
        """The learning rate of the epoch."""


def train_epoch(
    learners: Sequence[Learner],
    batches: Iterable[B],
    differentiate: Callable[[list[int], B], Sequence[Scored]],
) -> list[float | None]:
    """Take one step for each batch; return each learner's mean loss, None for one that diverged.

    differentiate(active, batch) puts the gradients of the mean losses of some learners (their
    positions) into their vectors, which are zero, and returns what each of these scored.
    """
    active = list(range(len(learners)))
    losses, counts = [0.0] * len(learners), [0] * len(learners)
    norms, steps = [0.0] * len(learners), 0
    for batch in batches:
        torch_compat.zero([learners[i].gradient for i in active])
        scores = differentiate(active, batch)
        found = update([learners[i] for i in active], [scored.loss for scored in scores])
        steps += 1
        for i, (loss, norm), scored in zip(active, found, scores, strict=True):
            losses[i] += loss
            norms[i] += norm
            counts[i] += scored.count
        active = [i for i, (loss, _) in zip(active, found, strict=True) if math.isfinite(loss)]
        if not active:
            break
    for learner, norm in zip(learners, norms, strict=True):
        learner.gradient_norm = norm / steps if steps and math.isfinite(norm) else None
    return [losses[i] / counts[i] if i in active else None for i in range(len(learners))]


def update(learners: Sequence[Learner], losses: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Clip the gradients and take the optimizers' steps; return each loss and gradient norm.

    The norms are those before clipping. A learner whose loss or norm is not finite takes no step,
    and its loss comes back as NaN: it has diverged.
    """
    norms = [norm.item() for norm in torch_compat.norms([one.gradient for one in learners])]
    found: list[float] = [loss.item() for loss in losses]
    groups: dict[tuple[object, ...], list[Learner]] = defaultdict(list)
    for at, (learner, norm) in enumerate(zip(learners, norms, strict=True)):
        if not (math.isfinite(norm) and math.isfinite(found[at])):
            found[at] = math.nan
            continue
        config = learner.config
        if config.gradient_clip is not None and norm > config.gradient_clip:
            learner.gradient.mul_(config.gradient_clip / norm)
        groups[config.optimizer, learner.rate, config.weight_decay].append(learner)
    for group in groups.values():  # one call moves all that have the same settings
        optimizers.step(
            group[0].config,
            group[0].rate,
            [learner.weights for learner in group],
            [learner.gradient for learner in group],
            [learner.optimizer_state for learner in group],
        )
    return list(zip(found, norms, strict=True))
