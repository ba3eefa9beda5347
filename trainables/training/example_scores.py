"""Scores the examples of a part, batch by batch; what comes of it is an `Examples`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spaces.kinds import TaskKind
from spaces.tasks import TaskInfo
from trainables.data.batches import Batch
from trainables.training.examples import Examples
from trainables.training.forecast_loss import forecast_losses
from trainables.training.metrics import in_units

Array = NDArray[Any]
#: Losses and, where there are classes, correct targets of each example of a batch, [B] each.
Each = tuple[Tensor, Tensor | None]


def _classification(outputs_BO: Tensor, batch: Batch) -> Each:
    loss = functional.cross_entropy(outputs_BO, batch.targets, reduction="none")
    return loss, outputs_BO.argmax(-1) == batch.targets


def _regression(outputs_BO: Tensor, batch: Batch) -> Each:
    targets = batch.targets.view_as(outputs_BO).to(outputs_BO.dtype)
    return (outputs_BO - targets).square().mean(-1), None


def _multi_label(outputs_BO: Tensor, batch: Batch) -> Each:
    targets = batch.targets.to(outputs_BO.dtype)
    loss = functional.binary_cross_entropy_with_logits(outputs_BO, targets, reduction="none")
    return loss.mean(-1), ((outputs_BO > 0) == (targets > 0)).all(-1)


def _each_step(outputs_TBO: Tensor, batch: Batch) -> Each:
    exists_TB = _exists(batch)
    loss_TB = functional.cross_entropy(outputs_TBO.mT, batch.targets, reduction="none")
    correct_TB = outputs_TBO.argmax(-1) == batch.targets
    return torch.where(exists_TB, loss_TB, 0.0).sum(0), (correct_TB & exists_TB).sum(0)


def _next_step(outputs_TBO: Tensor, batch: Batch) -> Each:
    loss_TB = functional.binary_cross_entropy_with_logits(
        outputs_TBO, batch.targets.to(outputs_TBO.dtype), reduction="none"
    ).sum(-1)
    return torch.where(_exists(batch), loss_TB, 0.0).sum(0), None


def _exists(batch: Batch) -> Tensor:
    steps_T1 = torch.arange(len(batch.x), device=batch.x.device).unsqueeze(1)
    return steps_T1 < batch.lengths


#: Scores the examples of a batch: outputs [B, O] or [T, B, O] against the batch's targets.
EACH: dict[TaskKind, Callable[[Tensor, Batch], Each]] = {
    "classification": _classification,
    "regression": _regression,
    "forecasting": _regression,
    "multi-label": _multi_label,
    "tagging": _each_step,
    "next-token": _each_step,
    "next-step": _next_step,
}


class ExampleScores:
    """Collects the scores of a part's examples, batch by batch."""

    def __init__(self, info: TaskInfo, number: int, unit: float) -> None:
        kind = info.kind
        self._each, self._unit, self._info = EACH[kind], unit, info
        #: Of tasks that are decided by what needs all predictions at once.
        self._by_part = info.by_part
        self._predicted: list[tuple[NDArray[np.int64], Array, Array]] = []
        self._loss = np.zeros(number, dtype=np.float32)
        self._count = np.zeros(number, dtype=np.int32)
        self._correct = np.zeros(number, dtype=np.int32)
        self._steps = info.stepwise
        self._classes = kind not in ("regression", "forecasting", "next-step")

    def add(self, chosen_B: NDArray[np.int64], outputs: Tensor, batch: Batch) -> None:
        """Add a batch of the chosen examples."""
        loss_B, correct_B = self._score(outputs, batch)
        self._loss[chosen_B] = loss_B.float().cpu().numpy()
        self._count[chosen_B] = batch.lengths.cpu().numpy() if self._steps else 1
        if correct_B is not None:
            self._correct[chosen_B] = correct_B.cpu().numpy()
        if self._by_part:
            if self._info.kind == "forecasting":
                outputs = outputs[:, self._info.central]
            told, targets = in_units(outputs.float(), batch.targets, batch.units)
            self._keep(chosen_B, told.cpu().numpy(), targets.cpu().numpy(), batch)

    def _score(self, outputs: Tensor, batch: Batch) -> Each:
        forecast = self._info.ahead
        if forecast.likelihood == "point":
            return self._each(outputs, batch)
        return forecast_losses(outputs, batch.targets.to(outputs.dtype), forecast), None

    def add_targets(
        self, whose_N: NDArray[np.int64], outputs_NO: Tensor, targets_N: Tensor
    ) -> None:
        """Add targets one by one, with the examples that they are counted for."""
        loss_N = functional.cross_entropy(outputs_NO, targets_N, reduction="none")
        correct_N = outputs_NO.argmax(-1) == targets_N
        np.add.at(self._loss, whose_N, loss_N.float().cpu().numpy())
        np.add.at(self._count, whose_N, 1)
        np.add.at(self._correct, whose_N, correct_N.cpu().numpy())

    def _keep(
        self, chosen_B: NDArray[np.int64], outputs: Array, targets: Array, batch: Batch
    ) -> None:
        """Keep outputs and targets, of steps one sequence after the other, with whose they are."""
        if self._steps:
            exists_BT = _exists(batch).cpu().numpy().T
            outputs, targets = (a.swapaxes(0, 1)[exists_BT] for a in (outputs, targets))
            chosen_B = np.repeat(chosen_B, batch.lengths.cpu().numpy())
        self._predicted.append((chosen_B, outputs, targets))

    def examples(self) -> Examples:
        """Return the scores; an example too short to hold a target has count 0."""
        correct = self._correct if self._classes else None
        if not self._by_part:
            return Examples(self._loss, self._count, correct, self._unit)
        whose, outputs, targets = map(np.concatenate, zip(*self._predicted, strict=True))
        order = np.argsort(whose, kind="stable")
        predicted = outputs[order], targets[order]
        return Examples(self._loss, self._count, correct, self._unit, *predicted)
