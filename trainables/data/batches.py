"""Padded batches of ragged sequences, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.kinds import TaskKind, is_causal
from trainables.data.forecast_units import ForecastUnits, units_of
from trainables.data.sequences import Sequences

#: Padded steps in a batch of an evaluation, at most (a single sequence may be longer).
EVALUATION_STEPS = 65_536
#: With buckets, batches are cut from an order by length, in which a sequence may stand this share
#: of its length further ahead: so much is left to chance of who shares a batch.
SPREAD = 0.05
#: With buckets, the least share of its longest sequence that one of an evaluation's batch has.
FILLED = 0.85


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, the longest first, padded with zeros at the end.

    x: [T, B, features] float32 or [T, B] int64 symbols.
    lengths: [B] int64.
    targets: [B] int64 classes, [B] float32 values, [B, targets] several of them, [T, B] int64
        classes of steps, or x one step on: [T, B] int64 symbols, [T, B, labels] float32 frames.
    """

    x: Tensor
    lengths: Tensor
    targets: Tensor
    class_weights: Tensor | None = None  #: [classes] of the loss in training; None: all the same
    units: ForecastUnits | None = None  #: of forecasts, where they are not those of targets

    @property
    def ragged(self) -> bool:
        """Whether there is padding."""
        return int(self.lengths[-1]) < len(self.x)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device; itself where it is there already."""
        if device == self.x.device:
            return self
        x, lengths, targets = (e.to(device) for e in (self.x, self.lengths, self.targets))
        weights = None if self.class_weights is None else self.class_weights.to(device)
        units = None if self.units is None else self.units.to(device)
        return Batch(x, lengths, targets, weights, units)


class Batches:
    """Makes batches of one split. Sequences too short to hold a target are left out."""

    def __init__(
        self,
        sequences: Sequences,
        kind: TaskKind,
        class_weights: Tensor | None = None,
        *,
        buckets: bool = False,
    ) -> None:
        """class_weights: [classes] of the loss that batches are trained with.

        buckets: whether sequences of nearly one length share a batch, so that few steps are padding
        where padding is computed; who shares one is drawn of all sequences otherwise.
        """
        self._sequences, self.class_weights, self.buckets = sequences, class_weights, buckets
        self._shifted = is_causal(kind)  # targets are x, one step on
        self._lengths = sequences.lengths - self._shifted
        self._usable = np.flatnonzero(self._lengths > 0)

    def __len__(self) -> int:
        """Return how many sequences are read."""
        return len(self._usable)

    def reads_as(self, other: "Batches") -> bool:
        """Return whether other batches are of the same sequences."""
        return self._sequences is other._sequences

    @property
    def longest(self) -> int:
        """Return how many steps of the longest sequence are read."""
        return int(self._lengths.max())

    def shuffled(self, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield all sequences once, in batches of the given size (the last may be smaller)."""
        return map(self.batch, self.shuffled_choices(size, seed, epoch))

    def shuffled_choices(self, size: int, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Yield which sequences stand in each of those batches, the longest first."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(self._usable)
        if self.buckets:
            yield from self._bucketed(order, size, rng)
            return
        for start in range(0, len(order), size):
            yield self._longest_first(order[start : start + size])

    def _bucketed(
        self, order: NDArray[np.int64], size: int, rng: np.random.Generator
    ) -> Iterator[NDArray[np.int64]]:
        """Yield batches of nearly one length; the shortest sequences make the smaller last one.

        The batches of one place in an epoch are about as long in every epoch and with every seed:
        trainings that share launches are all padded to the longest batch among them.
        """
        keys = self._lengths[order] * rng.uniform(1, 1 + SPREAD, len(order))
        order = order[np.argsort(-keys, kind="stable")]
        whole = len(order) // size
        for place in (*np.random.default_rng(whole).permutation(whole), whole):
            if len(chosen := order[place * size : (place + 1) * size]):
                yield self._longest_first(chosen)

    def ordered(self, steps: int = EVALUATION_STEPS) -> Iterator[Batch]:
        """Yield all sequences once, longest first, in batches of at most that many padded steps."""
        return map(self.batch, self.ordered_choices(steps))

    def ordered_choices(self, steps: int = EVALUATION_STEPS) -> Iterator[NDArray[np.int64]]:
        """Yield which sequences stand in each of those batches, the longest first."""
        order = self._longest_first(self._usable)
        start = 0
        while start < len(order):
            longest = int(self._lengths[order[start]])
            chosen = order[start : start + max(1, steps // longest)]
            if self.buckets:
                chosen = chosen[self._lengths[chosen] >= FILLED * longest]
            yield chosen
            start += len(chosen)

    def _longest_first(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        return chosen[np.argsort(-self._lengths[chosen], kind="stable")]

    def batch(self, chosen: NDArray[np.int64]) -> Batch:
        """Return a batch of the chosen sequences, which must stand longest first."""
        lengths = self._lengths[chosen]
        steps_T1 = np.arange(lengths[0])[:, None]
        padding_TB = steps_T1 >= lengths
        at_TB = self._sequences.starts[chosen] + np.minimum(steps_T1, lengths - 1)
        padded = self._padded(at_TB, padding_TB)
        if self._shifted:
            targets = self._padded(at_TB + 1, padding_TB)
        elif self._sequences.stepwise:
            assert self._sequences.y is not None
            targets = torch.from_numpy(np.where(padding_TB, 0, self._sequences.y[at_TB]))
        else:
            targets = self.targets(chosen)
        of_each = targets, self.class_weights, self.units(chosen)
        return Batch(padded, torch.from_numpy(lengths), *of_each)

    def units(self, chosen: NDArray[np.int64]) -> ForecastUnits | None:
        """Return the units of the chosen sequences' forecasts, where they are not the targets'."""
        return units_of(self._sequences, chosen)

    def lengths(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many steps of the chosen sequences are read."""
        return self._lengths[chosen]

    def steps(self, chosen: NDArray[np.int64], steps: NDArray[np.int64]) -> Tensor:
        """Return x at the given steps of the chosen sequences, one row for each pair."""
        return torch.from_numpy(self._sequences.steps(self._sequences.starts[chosen] + steps))

    def targets(self, chosen: NDArray[np.int64]) -> Tensor:
        """Return the chosen sequences' targets, for tasks with one a sequence."""
        assert self._sequences.targets is not None
        return torch.from_numpy(self._sequences.targets[chosen])

    def _padded(self, at_TB: NDArray[np.int64], padding_TB: NDArray[np.bool_]) -> Tensor:
        gathered = self._sequences.steps(at_TB)  # a fresh array: x may be read-only shared memory
        gathered[padding_TB] = 0
        return torch.from_numpy(gathered)
