"""Which rows there are: sequences side by side, longest first, and only the steps that exist."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """Which sequences run at which step, and where their rows are."""

    steps: int
    counts: NDArray[np.int64]  #: [T] sequences that still run
    offsets: NDArray[np.int64]  #: [T] the first row of each step
    first: int  #: sequences that run at the first step: all
    rows: int  #: in all
    index: Tensor | None  #: [N] the rows' places in [T · B]; None where they are all of it
    segments: NDArray[np.int64]
    #: [·, 3] stretches of rows from the second step on whose rows one step before are neighbours
    #: too: the first row, the row before it, how many
    previous: Tensor | None  #: [N - first] the row one step before, from the second step on


@functools.lru_cache(maxsize=256)
def _steps(content: bytes, steps: int) -> Steps:
    lengths = np.frombuffer(content, np.int64)
    batch = len(lengths)
    if int(lengths.min()) == steps:
        offsets = np.arange(steps, dtype=np.int64) * batch
        counts = np.full(steps, batch, np.int64)
        every = steps * batch
        segments = np.array([[batch, 0, every - batch]], np.int64)
        return Steps(steps, counts, offsets, batch, every, None, segments, None)
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths[order[0]])
    running_TB = np.arange(longest)[:, None] < lengths[order]
    counts = running_TB.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    step_N, place_N = np.nonzero(running_TB)
    later = step_N > 0
    with torch.inference_mode(False):  # what is kept for later calls must serve training as well
        index = torch.from_numpy(step_N * batch + order[place_N])
        previous = torch.from_numpy(offsets[step_N[later] - 1] + place_N[later])
    segments = _segments(counts, offsets)
    return Steps(longest, counts, offsets, batch, len(step_N), index, segments, previous)


def _segments(counts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return Steps.segments: rows before are neighbours where no sequence ended in between."""
    new = np.flatnonzero(np.concatenate([[True], counts[1:-1] != counts[:-2]])) + 1
    if len(counts) < 2:
        return np.zeros((0, 3), np.int64)
    ends = np.append(offsets[new[1:]], offsets[-1] + counts[-1])
    return np.stack([offsets[new], offsets[new - 1], ends - offsets[new]], axis=1)


def steps_of(lengths_B: Tensor, steps: int) -> Steps:
    """Return the rows of a batch that is padded to that many steps."""
    return _steps(lengths_B.numpy().tobytes(), steps)


def rows(values_TBK: Tensor, steps: Steps) -> Tensor:
    """Return [N, K], the values that are no padding."""
    flat = values_TBK.reshape(-1, values_TBK.shape[-1])
    return flat.contiguous() if steps.index is None else flat.index_select(0, steps.index)


def padded(values_NK: Tensor, steps: Steps, longest: int) -> Tensor:
    """Return [T, B, K] with zeros in the padding."""
    if steps.index is None:
        return values_NK.view(longest, steps.first, -1)
    zeros = values_NK.new_zeros(longest * steps.first, values_NK.shape[1])
    return zeros.index_copy(0, steps.index, values_NK).view(longest, steps.first, -1)
