"""What a model scores on each example of a part: of these, every test figure can be made again.

A file of them is an .npz without pickles:

    loss     [n] float32, summed over an example's targets: what training minimises
    correct  [n] int32, targets that were predicted; for tasks with classes alone
    count    [n] int32, targets of an example: 1, or the steps of its sequence
    unit     float64, of standardised targets: losses times its square are in the data's units

Examples stand in the order of the part: the test part as loaded, or as it was dealt anew.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spaces.tasks import TaskKind, compute_metrics
from trainables.checkpoints.base import CheckpointError
from trainables.data.batches import Batch
from trainables.files import sync_folder, write_new

FILE = "examples.npz"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member, so that equal scores are equal bytes

#: Losses and, where there are classes, correct targets of each example of a batch, [B] each.
Each = tuple[Tensor, Tensor | None]


def _classification(outputs_BO: Tensor, batch: Batch) -> Each:
    loss = functional.cross_entropy(outputs_BO, batch.targets, reduction="none")
    return loss, outputs_BO.argmax(-1) == batch.targets


def _regression(outputs_BO: Tensor, batch: Batch) -> Each:
    targets = batch.targets.view_as(outputs_BO).to(outputs_BO.dtype)
    return (outputs_BO - targets).square().mean(-1), None


def _next_token(outputs_TBO: Tensor, batch: Batch) -> Each:
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
    "next-token": _next_token,
    "next-step": _next_step,
}


@dataclass(frozen=True)
class Examples:
    """Scores of n examples; see the module's docstring."""

    loss: NDArray[np.float32]
    count: NDArray[np.int32]
    correct: NDArray[np.int32] | None = None
    unit: float = 1.0

    def metrics(self, kind: TaskKind) -> dict[str, float]:
        """Return all metrics of a kind of task over these examples, at least one."""
        correct = 0 if self.correct is None else int(self.correct.sum())
        loss = float(self.loss.sum(dtype=np.float64))
        return compute_metrics(kind, loss, correct, int(self.count.sum()), self.unit)

    def write(self, folder: Path) -> str:
        """Write the file to a store's draft and to disk; return its sha256."""
        content = io.BytesIO()
        arrays: dict[str, NDArray[np.generic]] = {"loss": self.loss, "count": self.count}
        arrays["unit"] = np.array(self.unit)
        if self.correct is not None:
            arrays["correct"] = self.correct
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                plain = io.BytesIO()
                np.save(plain, array, allow_pickle=False)
                info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, plain.getvalue())
        folder.mkdir(parents=True, exist_ok=True)
        write_new(folder / FILE, content.getvalue())
        sync_folder(folder)
        return hashlib.sha256(content.getvalue()).hexdigest()

    @classmethod
    def read(cls, folder: Path, sha256: str) -> "Examples":
        """Return the scores of a folder. Raises CheckpointError where they are not those."""
        try:
            content = (folder / FILE).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{folder} holds no scores: {error}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CheckpointError(f"{folder}/{FILE} has another digest than the journal says")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            unit = float(arrays["unit"])
            return cls(arrays["loss"], arrays["count"], arrays.get("correct"), unit)


class ExampleScores:
    """Collects the scores of a part's examples, batch by batch."""

    def __init__(self, kind: TaskKind, number: int, unit: float) -> None:
        self._each, self._unit = EACH[kind], unit
        self._loss = np.zeros(number, dtype=np.float32)
        self._count = np.zeros(number, dtype=np.int32)
        self._correct = np.zeros(number, dtype=np.int32)
        self._steps = kind in ("next-token", "next-step")
        self._classes = kind in ("classification", "next-token")

    def add(self, chosen_B: NDArray[np.int64], outputs: Tensor, batch: Batch) -> None:
        """Add a batch of the chosen examples."""
        loss_B, correct_B = self._each(outputs, batch)
        self._loss[chosen_B] = loss_B.float().cpu().numpy()
        self._count[chosen_B] = batch.lengths.cpu().numpy() if self._steps else 1
        if correct_B is not None:
            self._correct[chosen_B] = correct_B.cpu().numpy()

    def examples(self) -> Examples:
        """Return the scores; an example too short to hold a target has count 0."""
        correct = self._correct if self._classes else None
        return Examples(self._loss, self._count, correct, self._unit)
