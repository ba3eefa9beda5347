"""Which rows there are: sequences side by side, longest first, and only the steps that exist."""

import functools
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: A number or an address, or one for each of several models, [K].
Words = int | NDArray[np.int64]
Word = TypeVar("Word", int, NDArray[np.int64])


@dataclass(frozen=True)
class Running(Generic[Word]):
    """How many sequences run at which step, as compiled code is told: of one model, or of several.

    Several have as many sequences each.
    """

    steps: Word
    batch: int  #: sequences that run at the first step: all
    rows: Word  #: in all
    counts: Word  #: address of [T], the sequences that run at a step
    offsets: Word  #: address of [T], the first row of each step


@dataclass(frozen=True)
class Steps:
    """The rows of a padded batch [T, B], which may be longer than its longest sequence."""

    running: Running[int]
    index: Tensor | None  #: [N] the rows' places in [T · B]; None where they are all of it
    padded: tuple[int, int]  #: T, B
    arrays: tuple[NDArray[np.int64], NDArray[np.int64]]  #: what running has the addresses of


@functools.lru_cache(maxsize=256)
def _steps(content: bytes, steps: int) -> Steps:
    lengths = np.frombuffer(content, np.int64)
    batch, index = len(lengths), None
    if int(lengths.min()) == steps:
        offsets = np.arange(steps, dtype=np.int64) * batch
        counts = np.full(steps, batch, np.int64)
    else:
        order = np.argsort(-lengths, kind="stable")
        running_TB = np.arange(lengths[order[0]])[:, None] < lengths[order]
        counts = running_TB.sum(axis=1)
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        step_N, place_N = np.nonzero(running_TB)
        with torch.inference_mode(False):  # what is kept must serve training as well
            index = torch.from_numpy(step_N * batch + order[place_N])
    rows, addresses = int(counts.sum()), (counts.ctypes.data, offsets.ctypes.data)
    running = Running(len(counts), batch, rows, *addresses)
    return Steps(running, index, (steps, batch), (counts, offsets))


def steps_of(lengths_B: Tensor, steps: int) -> Steps:
    """Return the rows of a batch that is padded to that many steps."""
    return _steps(lengths_B.numpy().tobytes(), steps)


def rows(values_TBK: Tensor, steps: Steps) -> Tensor:
    """Return [N, K], the values that are no padding; [T, B, K] where there is none."""
    if steps.index is None:
        return values_TBK.contiguous()
    return values_TBK.flatten(0, 1).index_select(0, steps.index)


def padded(values_NK: Tensor, steps: Steps) -> Tensor:
    """Return [T, B, K] with zeros in the padding, of what rows returned."""
    if steps.index is None:
        return values_NK
    (T, B), width = steps.padded, values_NK.shape[1]
    zeros = values_NK.new_zeros(T * B, width)
    return zeros.index_copy_(0, steps.index, values_NK).view(T, B, width)
