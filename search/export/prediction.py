"""What an exported model predicts for some sequences, and the forms in which it is written."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.results import format
from spaces.errors import InputError
from spaces.own_data import Label
from spaces.tasks import TaskInfo
from trainables.files import replacing

SUFFIXES = (".csv", ".npz")


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for each sequence, in the order of the data.

    arrays, by kind of task:
        classification  class [n] and probabilities [n, classes] float32
        multi-label     probabilities [n, labels] float32
        tagging         the same as classification for each step [all steps], by lengths [n]
        regression      prediction [n] float32, or [n, targets] where there are several
        forecasting     prediction [n] of the next step, or [n, horizon]: the value, the mean or the
                        median; beside it deviation, or quantile_0.1 and the others, of that shape
        next-token      symbol [n] and probabilities [n, symbols], after the last step
        next-step       probabilities [n, labels] of the frame after the last step

    Classes and symbols are called what the training data calls them.
    """

    info: TaskInfo
    arrays: dict[str, NDArray[Any]]
    #: All metrics of the task, over all sequences whose targets the data holds.
    metrics: dict[str, float] = field(default_factory=dict)
    #: The same for each value of the data's own `split`, if it has one.
    by_split: dict[str, dict[str, float]] = field(default_factory=dict)
    ids: NDArray[Any] | None = None  #: [n] what the data calls each sequence; None: 0, 1, 2, …
    lengths: NDArray[np.int64] | None = None  #: [n] of sequences whose every step has a row

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())) if self.lengths is None else self.lengths)

    def _names(self) -> Iterator[dict[str, Any]]:
        """Yield what names each row: its sequence, and its step where each has a row."""
        lengths = np.ones(len(self), np.int64) if self.lengths is None else self.lengths
        for at, length in enumerate(lengths):
            sequence = at if self.ids is None else self.ids[at].item()
            for step in range(length):
                yield {"sequence": sequence, **({} if self.lengths is None else {"step": step})}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row a sequence, or a step of tagging, as tables and JSON show it."""
        for at, row in enumerate(self._names()):
            for name, array in self.arrays.items():
                if name != "probabilities" and array.ndim > 1:
                    for target, value in zip(self._labels, array[at].tolist(), strict=True):
                        row[f"{name}_{target}"] = value
                elif name != "probabilities":
                    row[name] = array[at].item()
            if "probabilities" in self.arrays:
                probabilities = self.arrays["probabilities"][at]
                if self.info.kind not in ("next-step", "multi-label"):
                    row["probability"] = float(probabilities.max())
                row["probabilities"] = [float(p) for p in probabilities]
            yield row

    @property
    def _labels(self) -> list[Label]:
        """What the data calls each output; of forecasts each step ahead."""
        return list(self.info.labels or range(self.info.steps_ahead))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "task": self.info.name,
            "kind": self.info.kind,
            "labels": self._labels,
            "metrics": self.metrics,
            "metrics_by_split": self.by_split,
            "predictions": list(self.rows()),
        }

    def csv(self) -> str:
        """Return the rows as CSV. A next-token row has no columns for the other symbols."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for number, row in enumerate(self.rows()):
            probabilities = row.pop("probabilities", [])
            if self.info.kind == "next-token":
                probabilities = []
            if number == 0:
                names = self._labels[: len(probabilities)]
                columns = [f"probability_{name}" for name in names]
                writer.writerow([*row, *columns])
            writer.writerow([*row.values(), *probabilities])
        return text.getvalue()

    def summary(self) -> str:
        """Return the metrics in a line, and in a line for each value of the data's `split`."""
        lines = []
        for label, metrics in (("", self.metrics), *self.by_split.items()):
            figures = ", ".join(f"{name} {format.value(value)}" for name, value in metrics.items())
            if figures:
                lines.append(f"{label}: {figures}" if label else figures)
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the predictions to a .csv or .npz file, whole or not at all. Raises InputError."""
        try:
            with replacing(path) as draft:
                if path.suffix.lower() == ".npz":
                    with draft.open("wb") as file:
                        lengths = {} if self.lengths is None else {"lengths": self.lengths}
                        np.savez(file, allow_pickle=False, **self.arrays, **lengths)
                else:
                    draft.write_text(self.csv(), encoding="utf-8")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            rule = f"{path.name} must be in a folder that you may write to ({reason})"
            raise InputError.of("--out", rule, "name another file") from error


def check_output(path: Path, inputs: Iterable[Path]) -> None:
    """Raise InputError where predictions cannot be written to a path for its name or folder.

    inputs: files that are read; none of them is written to, however its path is spelt.
    """
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            rule = f"predictions must not take the place of what they are made from, {given}"
            raise InputError.of("--out", rule, "name another file")
    if path.suffix.lower() not in SUFFIXES:
        rule = f"predictions must go to a file in {' or '.join(SUFFIXES)}, not {path.name!r}"
        raise InputError.of("--out", rule, "choose one of these endings")
    if path.is_dir():
        raise InputError.of("--out", f"{path.name} must be a file, not a folder", "name another")
    if not path.parent.is_dir():
        rule = f"the folder {path.parent} must exist"
        raise InputError.of("--out", rule, "make it, or name another")
