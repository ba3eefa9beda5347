"""Containers for ragged sequence data: NumPy only, so that validation needs no torch."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.own_task import Scaling
from spaces.tasks import TaskInfo, TaskSpec
from trainables.data.moments import Moments
from trainables.data.rows import Rows, blocks
from trainables.data.series import SeriesValues, naive

#: What else each sequence may have.
_EACH = ("naive_error", "offsets", "characters")

#: Mean and deviation of targets: numbers of float32, or [targets] each where there are several.
TargetScaling = tuple[float, float] | Moments


@dataclass(frozen=True)
class Sequences:
    """Sequences of different lengths, laid end to end, or chosen from a longer x.

    x: [steps, features] float32, or [steps] int64 symbols for next-token tasks.
    lengths: [n] int64, each at least 1, summing to steps where the sequences lie end to end.
    y: [n] int64 classes, [n] float32 targets, [n, targets] several of them, or None where the
       targets are x itself one step on (next-token and next-step).
    at: [n] int64 positions in x at which the sequences begin; None where they lie end to end.
    stepwise: whether y is [steps] int64 classes, one for each step and read where x is (tagging).
    scaling: of the features as they are read, see `steps`; None leaves them as they are.
    y_scaling: mean and deviation of the targets as they are read, see `targets`; None as before.
    fill: [features] what is read for a missing value (NaN), before it is scaled; None: none is.
    naive_error: [n] float32 in the units of the data, above 0: what `mase` divides the error of
       each sequence's forecast by; None where no metric asks for it.
    series: of forecasts, what they are told from; None for other tasks.
    offsets: [n] int64 where each sequence begins in the one text that all are windows of; None
        where sequences are not windows of a text.
    characters: [n] int64 the characters that each sequence's targets stand for; None where each
        target counts as one.
    """

    x: NDArray[np.generic]
    lengths: NDArray[np.int64]
    y: NDArray[np.generic] | None = None
    at: NDArray[np.int64] | None = None
    scaling: Moments | None = None
    y_scaling: TargetScaling | None = None
    stepwise: bool = False
    fill: NDArray[np.float32] | None = None
    naive_error: NDArray[np.float32] | None = None
    series: SeriesValues | None = None
    offsets: NDArray[np.int64] | None = None
    characters: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Return the [n] positions in x at which the sequences begin."""
        if self.at is not None:
            return self.at
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    def levels(self, chosen: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float64] | None:
        """Return the transformed values [n, steps ahead] that forecasts lie from, where any do.

        They are the naive forecasts of the chosen, and the mean that targets are learned without.
        """
        if self.series is None or self.series.transform is None:
            return None
        assert self.y is not None
        ends = self.starts[chosen] + self.lengths[chosen]
        found = naive(self.series.values, ends, self.y.shape[1], self.series.lag)
        mean, _ = self.y_scaling or (0.0, 1.0)
        return found.astype(np.float64) + mean

    def steps(self, positions: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return x at some positions, filled and scaled: a fresh array [*positions.shape, …]."""
        found: NDArray[Any] = self.x[positions]
        if self.fill is not None:
            np.copyto(found, self.fill, where=np.isnan(found))
        if self.scaling is None:
            return found
        mean, deviation = self.scaling
        found -= mean
        found /= deviation
        return found

    def chosen(self, chosen: NDArray[np.int64]) -> "Sequences":
        """Return some of the sequences, in that order; x is not copied."""
        y = self.y if self.y is None or self.stepwise else self.y[chosen]
        at, lengths = self.starts[chosen], self.lengths[chosen]
        picked: dict[str, Any] = {}
        for name in _EACH:
            each = getattr(self, name)
            picked[name] = None if each is None else each[chosen]
        return replace(self, lengths=lengths, y=y, at=at, **picked)

    def all_steps(self) -> NDArray[np.generic]:
        """Return the steps of all sequences, laid end to end, filled and scaled."""
        if self.at is None and self.scaling is None and self.fill is None:
            return self.x
        return self.steps(self.positions())

    def unscaled(self) -> "StepView":
        """Return the steps of all sequences, laid end to end, as they are in x: read in parts."""
        return StepView(self, self.x)

    def scaled(self) -> "ScaledSteps":
        """Return the steps of all sequences, laid end to end, filled and scaled: read in parts."""
        return ScaledSteps(self, self.x)

    @cached_property
    def targets(self) -> NDArray[np.generic] | None:
        """Return y, scaled: [n] float32 where there is a scaling."""
        if self.y is None or self.y_scaling is None:
            return self.y
        mean, deviation = self.y_scaling
        return ((self.y.astype(np.float64) - mean) / deviation).astype(np.float32)

    def step_targets(self) -> NDArray[np.generic]:
        """Return y of all steps of the sequences, laid end to end; of stepwise targets."""
        assert self.y is not None and self.stepwise
        return self.y if self.at is None else self.y[self.positions()]

    def positions(self, begin: int = 0, end: int | None = None) -> NDArray[np.int64]:
        """Return the positions in x of steps begin to end, counted through all sequences."""
        end = int(self._ends[-1]) if end is None else end
        first = int(np.searchsorted(self._ends, begin, side="right"))
        last = int(np.searchsorted(self._ends, end - 1, side="right")) + 1
        lengths = self.lengths[first:last]
        shift = self.starts[first:last] - (self._ends[first:last] - lengths)
        positions: NDArray[np.int64] = np.repeat(shift, lengths)
        skipped = begin - int(self._ends[first] - lengths[0])
        positions = positions[skipped : skipped + end - begin]
        positions += np.arange(begin, end)
        return positions

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """Return the [n] numbers of steps up to the end of each sequence."""
        return np.cumsum(self.lengths)


@dataclass(frozen=True)
class StepView:
    """What an array has for the steps of all sequences, laid end to end; nothing is copied yet.

    values: read where x is: [positions in x, …].
    """

    of: Sequences
    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that all of it would be."""
        return (int(self.of.lengths.sum()), *self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the array that all of it would be."""
        return self.values.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return some of the steps, from a beginning to an end."""
        if self.of.at is None:
            return self.values[rows]
        begin, end, _ = rows.indices(self.shape[0])
        found: NDArray[Any] = self.values[self.of.positions(begin, end)]
        return found


class ScaledSteps(StepView):
    """The same of x, filled and scaled."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return some of the steps, from a beginning to an end."""
        begin, end, _ = rows.indices(self.shape[0])
        found: NDArray[Any] = self.of.steps(self.of.positions(begin, end))
        return found


class Redealt(Protocol):
    """What deals a task's data anew by itself: texts whose vocabulary is learned."""

    def redealt(self, data: "Data", design: Literal["splits", "nested"], seed: int) -> "Data":
        """Return a task's data dealt anew, as the seed says."""


@dataclass(frozen=True)
class Dealing:
    """What is known of a task's data that is to be dealt again; see trainables.data.redealing.

    Arrays are [n] of all sequences: those for training, then validation, then test.
    """

    #: What may be moved from part to part: sequences one by one; stretches of a text or a series;
    #: or nothing, where new data is generated, or where parts follow time (forecasting).
    by: Literal["sequences", "stretches", "draws", "time"] = "sequences"
    official_test: bool = False  #: whether somebody else said which sequences are for test
    standardised: bool = False  #: whether scales are fitted on the training part, see scaling.py
    scaling: Scaling = "standard"  #: which scales these are
    group: NDArray[np.int64] | None = None  #: sequences of equal numbers stay in one part
    order: NDArray[np.int64] | None = None  #: stretches: places in the series; None: as they lie
    spec: TaskSpec | None = None  #: draws: the task whose generator draws again; time: the task
    #: Of texts whose vocabulary is learned: what each training part's own is learned from.
    text: "Redealt | None" = None


@dataclass(frozen=True)
class Data:
    """A task's data, split. Test data is for the confirm phase and the report alone."""

    info: TaskInfo
    train: Sequences
    validation: Sequences
    test: Sequences
    dealing: Dealing = field(default_factory=Dealing, kw_only=True)

    @property
    def parts(self) -> tuple[Sequences, Sequences, Sequences]:
        """Training, validation and test part."""
        return self.train, self.validation, self.test

    @property
    def padded_bytes(self) -> int:
        """The memory of all sequences' values, each as long as the longest."""
        x, number = self.train.x, sum(map(len, self.parts))
        return number * self.info.longest * x.itemsize * math.prod(x.shape[1:])

    def unit(self, part: Sequences) -> float:
        """Return what a difference of 1 between targets as they are read is in the units of y.

        Several targets have several units: their figures stay those of standardised targets. Of a
        text it is the number of targets a character of the part.
        """
        if part.characters is not None:
            return float((part.lengths - 1).sum() / part.characters.sum())
        unit = 1.0 if self.train.y_scaling is None else self.train.y_scaling[1]
        return unit if isinstance(unit, float) else 1.0


def fingerprint(*splits: Sequences, whole: bool = False) -> str:
    """Return a sha256 over values, shapes and types of all arrays in order.

    Steps count as they are read, one sequence after the other, wherever they lie in x. whole: x
    counts as it lies, for sequences that overlap in it.
    """
    digest = hashlib.sha256()
    for split in splits:
        steps: Rows = split.x if whole else StepView(split, split.x)
        targets: Rows | None = split.y
        if split.y is not None and split.stepwise:
            targets = StepView(split, split.y)
        for array in (steps, split.lengths, targets):
            if array is None:
                digest.update(b"none")
                continue
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            for block in blocks(array):
                digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()
