"""Data of one split on a device, from which the batches of several models are gathered at once.

Shapes are suffixes: n sequences, K models, T steps, B sequences a model, I inputs.
"""

import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.tasks import TaskKind, is_causal
from trainables.data.sequences import Sequences

#: Padded lengths are multiples of a share of the longest: batches of few different shapes.
SHARES = 4


class StackedData:
    """All sequences of a split, padded, on a device."""

    def __init__(self, sequences: Sequences, kind: TaskKind, device: torch.device) -> None:
        self._of = sequences  # kept, so that no other has its identity; see on_device
        self._causal = is_causal(kind)  # targets are x, one step on
        lengths = sequences.lengths
        self._longest = int(lengths.max()) - self._causal
        padded = np.zeros(
            (len(lengths), int(lengths.max()), *sequences.x.shape[1:]), sequences.x.dtype
        )
        exists = np.arange(padded.shape[1]) < lengths[:, None]
        padded[exists] = sequences.all_steps()
        self._x = torch.from_numpy(padded).to(device)
        self._lengths = torch.from_numpy(lengths - self._causal).to(device)
        self._read: NDArray[np.int64] = lengths - self._causal
        self._y = (
            None
            if sequences.targets is None
            else torch.from_numpy(np.array(sequences.targets)).to(device)
        )

    def steps(self, chosen: NDArray[np.int64]) -> int:
        """Return to how many steps batches of these sequences are padded; -1 is none."""
        longest = int(self._read[chosen[chosen >= 0]].max())
        share = -(-self._longest // SHARES)
        return min(self._longest, -(-longest // share) * share)

    def batch(self, chosen_KB: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return x [K, T, B, I] or symbols [K, T, B], lengths [K, B] and targets.

        Where nobody is chosen (-1) there is a sequence of length 0. Targets are [K, B], or x one
        step on.
        """
        at = chosen_KB.clamp(min=0)
        lengths = torch.where(chosen_KB >= 0, self._lengths[at], 0)
        x = self._x[at, :steps].transpose(1, 2).contiguous()
        if self._y is not None:
            return x, lengths, self._y[at]
        return x, lengths, self._x[at, 1 : steps + 1].transpose(1, 2).contiguous()


_KEPT: weakref.WeakValueDictionary[tuple[int, TaskKind, torch.device], StackedData]
_KEPT = weakref.WeakValueDictionary()


def on_device(sequences: Sequences, kind: TaskKind, device: torch.device) -> StackedData:
    """Return a split's data on a device: the same arrays for all cohorts that use them now."""
    key = id(sequences), kind, device
    if (data := _KEPT.get(key)) is None:
        _KEPT[key] = data = StackedData(sequences, kind, device)
        if device.type == "cuda":  # other streams may read it at once
            torch.cuda.current_stream(device).synchronize()
    return data
