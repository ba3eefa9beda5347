"""What a model scores on each example of a part: of these, every test figure can be made again.

A file of them is an .npz without pickles:

    loss     [n] float32, summed over an example's targets: what training minimises
    correct  [n] int32, targets that were predicted; for tasks with classes alone
    count    [n] int32, targets of an example: 1, or the steps of its sequence
    outputs  [n, outputs] float32, and targets [n], or one for each step; of tasks that are decided
             by a metric that needs all predictions at once (trainables.part_metrics); where it is
             mase, both are divided by each series' naive error
    unit     float64, of standardised targets: losses times its square are in the data's units

Examples stand in the order of the part: the test part as loaded, or as it was dealt anew. They are
scored in example_scores.py; this file needs NumPy alone.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.kinds import BY_CHARACTER, FORMULAS, Likelihood, TaskKind, compute_metrics
from trainables.checkpoints.base import CheckpointError
from trainables.files import sync_folder, write_new
from trainables.part_metrics import part_metric

FILE = "examples.npz"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member, so that equal scores are equal bytes
#: These are linear in losses and correct targets, so that they hold for arrays of them too.
_FORMULAS: Mapping[str, Callable[..., Any]] = FORMULAS


@dataclass(frozen=True)
class Examples:
    """Scores of n examples; see the module's docstring."""

    loss: NDArray[np.float32]
    count: NDArray[np.int32]
    correct: NDArray[np.int32] | None = None
    unit: float = 1.0
    outputs: NDArray[np.float32] | None = None
    targets: NDArray[np.generic] | None = None

    def metrics(
        self, kind: TaskKind, decisive: str, likelihood: Likelihood = "point"
    ) -> dict[str, float]:
        """Return all metrics of a kind of task over these examples, at least one.

        decisive: the name of the metric that decides the task. likelihood: of forecasting.
        """
        correct = 0 if self.correct is None else int(self.correct.sum())
        loss = float(self.loss.sum(dtype=np.float64))
        sums, characters = (loss, correct, int(self.count.sum())), decisive == BY_CHARACTER
        found = compute_metrics(kind, *sums, self.unit, likelihood, characters=characters)
        if decisive not in found:
            assert self.outputs is not None and self.targets is not None
            found[decisive] = part_metric(decisive, self.outputs, self.targets, self.unit)
        return found

    def shares(self, metric: str) -> NDArray[np.float64] | None:
        """Return what each example adds to a metric [n]: their sum over that of counts is it.

        None for a metric that is no mean over examples.
        """
        if metric in ("mae", "mase") and self.outputs is not None and self.targets is not None:
            targets = np.asarray(self.targets, np.float64).reshape(self.outputs.shape)
            return np.asarray(self.unit * np.abs(self.outputs - targets).mean(axis=-1))
        if metric not in _FORMULAS:
            return None
        correct = np.zeros_like(self.loss) if self.correct is None else self.correct
        loss, right = (np.asarray(part, dtype=np.float64) for part in (self.loss, correct))
        return np.asarray(_FORMULAS[metric](loss, right, 1.0, self.unit))

    def write(self, folder: Path) -> str:
        """Write the file to a store's draft and to disk; return its sha256."""
        content = io.BytesIO()
        arrays: dict[str, NDArray[np.generic]] = {"loss": self.loss, "count": self.count}
        arrays["unit"] = np.array(self.unit)
        for name in ("correct", "outputs", "targets"):
            if (array := getattr(self, name)) is not None:
                arrays[name] = array
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
            further = (arrays.get(name) for name in ("outputs", "targets"))
            return cls(arrays["loss"], arrays["count"], arrays.get("correct"), unit, *further)
