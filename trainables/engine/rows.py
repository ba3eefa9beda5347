"""Rows: ragged batches of several models laid end to end, only the steps that exist.

The rows of one model come after those of the one before it; within a model they go step by step,
and within a step through the sequences that still run, the longest first. Shapes are suffixes: K
models, T steps, B sequences a model, N rows in all.
"""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.engine import Running

Whole = NDArray[np.int64]


class Rows:
    """Which sequence of which model stands in which row."""

    def __init__(self, lengths_KB: Whole) -> None:
        """Take the lengths of every model's sequences, which must stand longest first."""
        self.lengths = lengths_KB
        self.steps: Whole = lengths_KB[:, 0]  #: [K] of each model
        self.models, self.batch = lengths_KB.shape
        longest = int(self.steps.max())
        running_KTB = np.arange(longest)[:, None] < lengths_KB[:, None]
        self.counts: Whole = running_KTB.sum(axis=2)  #: [K, T] sequences that run at a step
        ends_KT = self.counts.cumsum(axis=1)
        self.offsets: Whole = ends_KT - self.counts  #: [K, T] a step's first row in its model's
        self.sizes: Whole = ends_KT[:, -1]  #: [K] rows of each model
        self.starts: Whole = self.sizes.cumsum() - self.sizes  #: [K] each model's first row
        self.model, self.step, self.place = np.nonzero(running_KTB)
        self._first_KT = self.starts[:, None] + self.offsets

    def __len__(self) -> int:
        return len(self.model)

    def slices(self) -> list[slice]:
        """Return where each model's rows are."""
        starts = self.starts.tolist()
        return [
            slice(start, start + size)
            for start, size in zip(starts, self.sizes.tolist(), strict=True)
        ]

    @cached_property
    def running(self) -> Running[Whole]:
        """What the models' compiled scans are told of their rows."""
        places = _addresses(self.counts), _addresses(self.offsets)
        return Running(self.steps, self.batch, self.sizes, *places)

    @cached_property
    def reversed(self) -> Tensor:
        """[N] The row of its sequence's step as far from the end as the row's from the start."""
        lengths_N = self.lengths[self.model, self.place]
        step_N = lengths_N - 1 - self.step
        return torch.from_numpy(self._first_KT[self.model, step_N] + self.place)

    @cached_property
    def last(self) -> Tensor:
        """[K, B] The row of each sequence's last step."""
        first_KB = np.take_along_axis(self._first_KT, self.lengths - 1, axis=1)
        return torch.from_numpy(first_KB + np.arange(self.batch))

    @cached_property
    def first(self) -> Tensor:
        """[K, B] The row of each sequence's first step."""
        return torch.from_numpy(self.starts[:, None] + np.arange(self.batch))

    def earlier(self, steps: int) -> tuple[Tensor, Tensor]:
        """Return the rows that have so many steps before them, and the rows that far back."""
        later = self.step >= steps
        model, step, place = self.model[later], self.step[later], self.place[later]
        there = self._first_KT[model, step - steps] + place
        return torch.from_numpy(np.flatnonzero(later)), torch.from_numpy(there)

    @cached_property
    def padded(self) -> Tensor:
        """[N] The place of each row in its model's padded batch [T · B]."""
        return torch.from_numpy(self.step * self.batch + self.place)

    def pad(self, rows_NK: Tensor) -> list[Tensor]:
        """Return each model's rows as a padded batch [T, B, features], zero in the padding."""
        width = rows_NK.shape[1]
        padded = []
        for part, steps in zip(self.slices(), self.steps.tolist(), strict=True):
            whole = rows_NK.new_zeros(steps * self.batch, width)
            whole.index_copy_(0, self.padded[part], rows_NK[part])
            padded.append(whole.view(steps, self.batch, width))
        return padded

    def unpad(self, padded: list[Tensor]) -> Tensor:
        """Return the rows of padded batches."""
        parts = [
            whole.flatten(0, 1).index_select(0, self.padded[part])
            for whole, part in zip(padded, self.slices(), strict=True)
        ]
        return torch.cat(parts)


def _addresses(rows_KT: Whole) -> Whole:
    """Return where each row begins."""
    return rows_KT.ctypes.data + rows_KT.strides[0] * np.arange(len(rows_KT))
