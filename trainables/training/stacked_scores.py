"""Loss and metrics of several models at once; see training.metrics, which says the same of one.

Shapes are suffixes: K models, T steps, B sequences a model, O outputs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from spaces.tasks import TaskInfo
from trainables.layers.stacked_scan import valid_steps
from trainables.training.forecast_loss import forecast_losses


@dataclass(frozen=True)
class StackedScores:
    """What one batch adds to each model's sums, [K] each."""

    losses: Tensor
    counts: Tensor  #: of targets
    correct: Tensor | None  #: targets predicted correctly; None where a task has no classes


def score(
    info: TaskInfo,
    outputs: Tensor,
    targets: Tensor,
    lengths_KB: Tensor,
    class_weights_KO: Tensor | None = None,
) -> StackedScores:
    """Score outputs [K, B, O] or [K, T, B, O]; sequences of length 0 count nothing."""
    kind = info.kind
    valid = valid_steps(lengths_KB, outputs.shape[1]) if info.stepwise else lengths_KB > 0
    correct = None
    if info.ahead.likelihood != "point":
        losses = forecast_losses(outputs, targets.to(outputs.dtype), info.ahead)
    elif kind in ("classification", "tagging", "next-token"):
        flat = functional.cross_entropy(
            outputs.flatten(0, -2), targets.flatten().long(), reduction="none"
        )
        losses = flat.view(valid.shape)
        if class_weights_KO is not None:
            weights = class_weights_KO.gather(1, targets.flatten(1).long())
            losses = losses * weights.view(valid.shape)
        hit = (outputs.detach().argmax(-1) == targets) & valid
        correct = hit.flatten(1).sum(1)
    elif kind == "multi-label":
        on = targets.to(outputs.dtype)
        losses = functional.binary_cross_entropy_with_logits(outputs, on, reduction="none").mean(-1)
        correct = (((outputs.detach() > 0) == (targets > 0)).all(-1) & valid).flatten(1).sum(1)
    elif kind == "next-step":
        losses = functional.binary_cross_entropy_with_logits(
            outputs, targets.to(outputs.dtype), reduction="none"
        ).sum(-1)
    else:
        wanted = targets.reshape(outputs.shape).to(outputs.dtype)
        losses = (outputs - wanted).square().mean(-1)
    summed = torch.where(valid, losses, 0.0).flatten(1).sum(1)
    return StackedScores(summed, valid.flatten(1).sum(1), correct)
