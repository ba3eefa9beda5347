"""Rows: ragged batches of one or several models laid end to end, only the steps that exist.

The rows of one model come after those of the model before it. Within a model they go step by step;
within a step they go through the sequences that are still active, the longest first. Compiled code
reads and writes all values over time by rows. Shapes are suffixes: K models, T steps, B sequences a
model, N rows of all models, F features.
"""

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Int64s = NDArray[np.int64]
#: A count or an address of one model, or [K] of several.
OneOrEach = TypeVar("OneOrEach", int, Int64s)


@dataclass(frozen=True)
class RowArguments(Generic[OneOrEach]):
    """The rows of a scan as compiled code reads them: of one model, or of several.

    Several models have the same number of sequences.
    """

    steps: OneOrEach  #: T
    batch: int  #: B
    rows: OneOrEach  #: N of the model
    counts: OneOrEach  #: address of [T], the sequences that are active at a step
    offsets: OneOrEach  #: address of [T], the first row of each step


class Rows:
    """Which step of which sequence of which model stands in which row.

    Models have padded batches [T, B, F], from which rows are gathered and to which they are
    scattered. Sequences may stand there in any order.
    """

    def __init__(self, lengths_KB: Int64s, steps: int | None = None) -> None:
        """Lay out sequences of these lengths, each at least 1.

        steps: T of the padded batches; by default of each model's own longest sequence.
        """
        self.models, self.batch = lengths_KB.shape
        self._order_KB: Int64s | None = None  # None: the longest sequences come first already
        if (lengths_KB[:, 1:] > lengths_KB[:, :-1]).any():
            self._order_KB = (-lengths_KB).argsort(axis=1, kind="stable")
            lengths_KB = lengths_KB[np.arange(self.models)[:, None], self._order_KB]
        self._lengths_KB = lengths_KB
        self.steps: Int64s = lengths_KB[:, 0]  #: [K] of each model's longest sequence
        self._padded_steps = steps
        self._active_KTB = np.arange(self.steps.max())[:, None] < lengths_KB[:, None]
        self.counts: Int64s = self._active_KTB.sum(axis=2)  #: [K, T] sequences active at a step
        ends_KT = self.counts.cumsum(axis=1)
        self.offsets: Int64s = ends_KT - self.counts  #: [K, T] a step's first row in its model's
        self.sizes: Int64s = ends_KT[:, -1]  #: [K] rows of each model
        self._length = int(self.sizes.sum())

    def __len__(self) -> int:
        return self._length

    # One model's scan needs none of these; every batch of a training has rows of its own.

    @cached_property
    def starts(self) -> Int64s:
        """[K] Each model's first row."""
        starts: Int64s = self.sizes.cumsum() - self.sizes
        return starts

    @cached_property
    def _first_rows(self) -> Int64s:
        first: Int64s = self.starts[:, None] + self.offsets
        return first

    @cached_property
    def _places(self) -> tuple[Int64s, Int64s, Int64s]:
        """Each [N]: the model of a row, the step of its sequence, the sequence's rank by length."""
        model, step, rank = self._active_KTB.nonzero()
        return model, step, rank

    @property
    def model(self) -> Int64s:
        """[N] The model of each row."""
        return self._places[0]

    @property
    def step(self) -> Int64s:
        """[N] The step of its sequence that each row is."""
        return self._places[1]

    @property
    def _rank(self) -> Int64s:
        return self._places[2]

    @property
    def place(self) -> Int64s:
        """[N] The place in its model's batch, below B, of the sequence that a row belongs to."""
        if self._order_KB is None:
            return self._rank
        place: Int64s = self._order_KB.ravel()[self.model * self.batch + self._rank]
        return place

    @property
    def _ranks(self) -> Int64s:
        """[K or 1, B] The rank by length of each sequence."""
        if self._order_KB is None:
            return np.arange(self.batch)[None]
        return self._order_KB.argsort(axis=1)

    def by_rank(self, values_FBH: Tensor) -> Tensor:
        """Return values of the one model's sequences in the order of rows, the longest first."""
        if self._order_KB is None:
            return values_FBH.contiguous()
        return values_FBH.index_select(1, torch.from_numpy(self._order_KB[0]))

    @cached_property
    def whole(self) -> bool:
        """Whether the one model's padded batch has no padding."""
        steps = self.steps[0] if self._padded_steps is None else self._padded_steps
        return len(self) == int(steps * self.batch)

    def slices(self) -> list[slice]:
        """Return where each model's rows are."""
        starts = self.starts.tolist()
        return [
            slice(start, start + size)
            for start, size in zip(starts, self.sizes.tolist(), strict=True)
        ]

    @cached_property
    def arguments(self) -> RowArguments[int]:
        """What the compiled scan of the one model reads. The Rows must outlive the call."""
        assert self.models == 1
        addresses = self.counts.ctypes.data, self.offsets.ctypes.data
        return RowArguments(int(self.steps[0]), self.batch, len(self), *addresses)

    @cached_property
    def arguments_each(self) -> RowArguments[Int64s]:
        """What the compiled scans of all models read. The Rows must outlive the call."""
        addresses = _row_addresses(self.counts), _row_addresses(self.offsets)
        return RowArguments(self.steps, self.batch, self.sizes, *addresses)

    @cached_property
    def reversed(self) -> Tensor:
        """[N] The row of the same sequence as far from its end as the row is from its start."""
        mirrored_N = self._lengths_KB[self.model, self._rank] - 1 - self.step
        return torch.from_numpy(self._first_rows[self.model, mirrored_N] + self._rank)

    @cached_property
    def last(self) -> Tensor:
        """[K, B] The row of each sequence's last step."""
        models_K1, ranks_KB = np.arange(self.models)[:, None], self._ranks
        last_KB = self._lengths_KB[models_K1, ranks_KB] - 1
        return torch.from_numpy(self._first_rows[models_K1, last_KB] + ranks_KB)

    @cached_property
    def first(self) -> Tensor:
        """[K, B] The row of each sequence's first step."""
        return torch.from_numpy(self.starts[:, None] + self._ranks)

    def earlier(self, steps: int) -> tuple[Tensor, Tensor]:
        """Return the rows that have so many steps before them, and the rows that far back."""
        later = np.flatnonzero(self.step >= steps)
        before = self.step[later] - steps
        back = self._first_rows[self.model[later], before] + self._rank[later]
        return torch.from_numpy(later), torch.from_numpy(back)

    @cached_property
    def padded(self) -> Tensor:
        """[N] The index of each row in its model's padded batch, flattened to [T · B]."""
        with torch.inference_mode(False):  # training must be able to use a cached one as well
            if self.models == 1 and self._order_KB is None:
                return torch.from_numpy(np.flatnonzero(self._active_KTB))
            return torch.from_numpy(self.step * self.batch + self.place)

    def gather(self, padded_TBF: Tensor) -> Tensor:
        """Return the rows of the one model's padded batch: [N, F], or [T, B, F] if it is whole.

        A whole batch is in the order of rows already, and is not copied.
        """
        if self.whole:
            return padded_TBF.contiguous()
        return padded_TBF.flatten(0, 1).index_select(0, self.padded)

    def scatter(self, rows: Tensor) -> Tensor:
        """Return the one model's padded batch [T, B, F], zero in the padding; undoes gather."""
        return rows if self.whole else self._scattered(0, rows, self.padded)

    def gather_each(self, padded: list[Tensor]) -> Tensor:
        """Return the rows of the models' padded batches, in memory of their own."""
        parts = [
            padded_TBF.flatten(0, 1).index_select(0, self.padded[part])
            for padded_TBF, part in zip(padded, self.slices(), strict=True)
        ]
        return torch.cat(parts)

    def scatter_each(self, rows_NF: Tensor) -> list[Tensor]:
        """Return each model's padded batch [T, B, F], zero in the padding, in memory of its own."""
        return [
            self._scattered(model, rows_NF[part], self.padded[part])
            for model, part in enumerate(self.slices())
        ]

    def _scattered(self, model: int, rows_NF: Tensor, padded_N: Tensor) -> Tensor:
        steps, width = self._padded_steps or int(self.steps[model]), rows_NF.shape[1]
        zeros = rows_NF.new_zeros(steps * self.batch, width)
        return zeros.index_copy_(0, padded_N, rows_NF).view(steps, self.batch, width)


@functools.lru_cache(maxsize=128)
def _rows_of(lengths: bytes, steps: int) -> Rows:
    return Rows(np.frombuffer(lengths, np.int64)[None], steps)


def rows_of(lengths_B: Tensor, steps: int) -> Rows:
    """Return the rows of one model's batch that is padded to that many steps."""
    return _rows_of(lengths_B.numpy().tobytes(), steps)


def _row_addresses(values_KT: Int64s) -> Int64s:
    """Return where each row of a matrix begins."""
    return values_KT.ctypes.data + values_KT.strides[0] * np.arange(len(values_KT))
