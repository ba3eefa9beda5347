"""Texts as streams: read window after window, the state carried from each to the next.

Truncated back-propagation through time (Williams & Peng 1990, Neural Computation 2; with language
models: Mikolov et al. 2010, Interspeech) reads a text as several streams side by side, each a
contiguous part of it. A window of all streams is a batch; gradients go back through one window,
states go on.

Shapes are suffixes: T steps, B streams of a window, N targets of a window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.batches import Batch
from trainables.data.sequences import Sequences
from trainables.data.stretches import Targets


@dataclass(frozen=True)
class Window:
    """A window of some streams, the longest first."""

    batch: Batch
    streams: Tensor  #: [B] int64 which they are
    first: Tensor  #: [B] whether a stretch begins with it: no state is carried to it
    targets: NDArray[np.int64]  #: [N] which targets of the part, in the order of valid steps [T, B]


class Streams:
    """A part of a text as streams of about equal numbers of targets."""

    def __init__(self, sequences: Sequences, streams: int, steps: int) -> None:
        """streams: how many, at most; steps: the most targets of a window."""
        self._sequences = sequences
        self.targets = Targets.of(sequences)
        number = len(self.targets)
        self.count = min(streams, number)
        bounds = np.arange(self.count + 1) * number // self.count
        breaks = np.flatnonzero(self.targets.first)
        self._windows = [
            _cut(begin, end, breaks, steps) for begin, end in pairwise(bounds.tolist())
        ]

    def __len__(self) -> int:
        """Return how many windows, one after the other, the longest stream has."""
        return max(len(begins) for begins, _ in self._windows)

    def __iter__(self) -> Iterator[Window]:
        """Yield each target once, in windows of all streams that have one more."""
        for number in range(len(self)):
            streams = [s for s, (begins, _) in enumerate(self._windows) if number < len(begins)]
            begins_B = np.array([self._windows[s][0][number] for s in streams])
            lengths_B = np.array([self._windows[s][1][number] for s in streams]) - begins_B
            order = np.argsort(-lengths_B, kind="stable")
            streams_B = np.array(streams)[order]
            yield self._window(begins_B[order], lengths_B[order], streams_B, number == 0)

    def _window(
        self,
        begins_B: NDArray[np.int64],
        lengths_B: NDArray[np.int64],
        streams_B: NDArray[np.int64],
        first: bool,
    ) -> Window:
        steps_T1 = np.arange(lengths_B[0])[:, None]
        valid_TB = steps_T1 < lengths_B
        number_TB = begins_B + np.minimum(steps_T1, lengths_B - 1)
        at_TB = self.targets.at[number_TB]
        x, targets = (self._sequences.steps(at_TB + ahead) for ahead in (0, 1))
        x[~valid_TB] = targets[~valid_TB] = 0
        of_each = torch.from_numpy(lengths_B), torch.from_numpy(targets)
        batch = Batch(torch.from_numpy(x), *of_each)
        first_B = self.targets.first[begins_B] | first
        places = torch.from_numpy(streams_B), torch.from_numpy(first_B)
        return Window(batch, *places, number_TB[valid_TB])


def _cut(
    begin: int, end: int, breaks: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where windows of a stream begin and end: none reaches over a break."""
    inside = breaks[(breaks > begin) & (breaks < end)]
    edges = [begin, *inside.tolist(), end]
    begins = np.concatenate([np.arange(first, last, steps) for first, last in pairwise(edges)])
    return begins, np.append(begins[1:], end)
