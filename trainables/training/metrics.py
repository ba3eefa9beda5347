"""Loss and metrics of each kind of task, as sums over a batch, so that batches add up exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from spaces.kinds import TaskKind
from spaces.tasks import TaskInfo
from trainables.data.batches import Batch
from trainables.data.forecast_units import ForecastUnits
from trainables.part_metrics import part_metric, summed_metrics
from trainables.training.forecast_loss import forecast_losses


@dataclass(frozen=True)
class Scored:
    """What one batch adds to the sums: its summed loss, which can be differentiated, and counts."""

    loss: Tensor
    count: int  #: of targets: sequences, or steps where every step has one
    predicted: tuple[Tensor, Tensor] | None = None  #: outputs and targets, one row each
    classes: bool = False  #: whether these targets are classes
    labels: bool = False  #: whether each of them is a label that is on or off
    units: ForecastUnits | None = None  #: of forecasts, where they are not those of targets

    @property
    def correct(self) -> int | None:
        """How many targets were predicted correctly; None where a task has no classes."""
        if self.predicted is None or not (self.classes or self.labels):
            return None
        outputs, targets = self.predicted
        if self.labels:
            return int(((outputs > 0) == (targets > 0)).all(-1).sum())
        return int((outputs.argmax(-1) == targets).sum())


def _valid(outputs_TBO: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return outputs and targets of all valid steps, one after the other."""
    if not batch.ragged:
        return outputs_TBO.flatten(0, 1), batch.targets.flatten(0, 1)
    steps_T1 = torch.arange(len(batch.x), device=batch.x.device).unsqueeze(1)
    valid_TB = steps_T1 < batch.lengths
    return outputs_TBO[valid_TB], batch.targets[valid_TB]


def _classes(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Scored:
    loss = functional.cross_entropy(outputs, targets, weights, reduction="sum")
    return Scored(loss, len(targets), (outputs.detach(), targets), classes=True)


def _classification(outputs_BO: Tensor, batch: Batch) -> Scored:
    return _classes(outputs_BO, batch.targets, batch.class_weights)


def _multi_label(outputs_BO: Tensor, batch: Batch) -> Scored:
    targets = batch.targets.to(outputs_BO.dtype)
    loss = functional.binary_cross_entropy_with_logits(outputs_BO, targets, reduction="sum")
    predicted = outputs_BO.detach(), targets
    return Scored(loss / outputs_BO.shape[-1], len(targets), predicted, labels=True)


def _each_step(outputs_TBO: Tensor, batch: Batch) -> Scored:
    return _classes(*_valid(outputs_TBO, batch), batch.class_weights)


def _next_step(outputs_TBO: Tensor, batch: Batch) -> Scored:
    outputs, targets = _valid(outputs_TBO, batch)
    loss = functional.binary_cross_entropy_with_logits(
        outputs, targets.to(outputs.dtype), reduction="sum"
    )
    return Scored(loss, len(targets))


def _regression(outputs_BO: Tensor, batch: Batch) -> Scored:
    targets = batch.targets.view_as(outputs_BO).to(outputs_BO.dtype)
    loss = functional.mse_loss(outputs_BO, targets, reduction="sum") / outputs_BO.shape[-1]
    predicted = outputs_BO.detach(), targets
    return Scored(loss, len(targets), predicted, units=batch.units)


def _distribution(outputs_BO: Tensor, batch: Batch, info: TaskInfo) -> Scored:
    targets = batch.targets.to(outputs_BO.dtype)
    loss = forecast_losses(outputs_BO, targets, info.ahead).sum()
    predicted = outputs_BO.detach()[:, info.central], targets
    return Scored(loss, len(targets), predicted, units=batch.units)


#: Scores a batch: outputs [B, O] or [T, B, O] against the batch's targets. Of forecasts, points.
SCORES: dict[TaskKind, Callable[[Tensor, Batch], Scored]] = {
    "classification": _classification,
    "regression": _regression,
    "forecasting": _regression,
    "multi-label": _multi_label,
    "tagging": _each_step,
    "next-token": _each_step,
    "next-step": _next_step,
}


def score(info: TaskInfo, outputs: Tensor, batch: Batch) -> Scored:
    """Return what a batch of a task scores: outputs [B, O] or [T, B, O]."""
    if info.ahead.likelihood != "point":
        return _distribution(outputs, batch, info)
    return SCORES[info.kind](outputs, batch)


class Totals:
    """Sums over batches, and the metrics of a task over all of them."""

    def __init__(self, info: TaskInfo, unit: float = 1.0) -> None:
        """Unit: what a difference of 1 between the batches' targets is in the data's own units."""
        self._info, self._unit = info, unit
        self._loss, self._correct, self._count = 0.0, 0, 0
        self._predicted: list[tuple[Tensor, Tensor]] = []

    def add(self, scored: Scored) -> None:
        """Add one batch."""
        self._loss += float(scored.loss.detach())
        self._count += scored.count
        self._correct += scored.correct or 0
        if self._info.by_part and scored.predicted is not None:
            self._predicted.append(in_units(*scored.predicted, scored.units))

    def metrics(self) -> dict[str, float]:
        """Return all metrics of the task over the batches so far, at least one."""
        found = summed_metrics(self._info, self._loss, self._correct, self._count, self._unit)
        if self._info.by_part:
            outputs, targets = (torch.cat(parts) for parts in zip(*self._predicted, strict=True))
            found |= decided_by_part(self._info, outputs, targets, self._unit)
        return found


def in_units(
    outputs: Tensor, targets: Tensor, units: ForecastUnits | None
) -> tuple[Tensor, Tensor]:
    """Return outputs and targets in the units that figures are told in."""
    return (outputs, targets) if units is None else units.told(outputs, targets)


def decided_by_part(
    info: TaskInfo, outputs: Tensor, targets: Tensor, unit: float
) -> dict[str, float]:
    """Return the metric that decides the task, which needs all predictions of a part."""
    name = info.metric.name
    return {name: part_metric(name, outputs.float().cpu().numpy(), targets.cpu().numpy(), unit)}
