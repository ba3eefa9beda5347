"""The targets of a text's windows in the order of the text, each once. NumPy only.

A stretch is a part of the text without a gap. A part of a split may have several: its windows were
dealt so. A sequence that is no window of a text is a stretch of its own.

Shapes are suffixes: S targets of the whole part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.data.sequences import Sequences


@dataclass(frozen=True)
class Targets:
    """The targets of a part in the order of its text, each once.

    at: [S] int64 where in x the symbol before each target stands; the target stands behind it.
    first: [S] whether a stretch begins with it: nothing is known of what comes before.
    sequence: [S] int64 the sequence that each is counted for.
    """

    at: NDArray[np.int64]
    first: NDArray[np.bool_]
    sequence: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def of(cls, sequences: Sequences) -> "Targets":
        """Return the targets of next-token sequences; those of windows that overlap once."""
        counts = np.maximum(sequences.lengths - 1, 0)
        if sequences.offsets is None:
            order, skipped = np.arange(len(counts)), np.zeros_like(counts)
            gap = np.ones(len(counts), dtype=bool)
        else:
            order = np.lexsort((-counts, sequences.offsets))
            begins, counts = sequences.offsets[order], counts[order]
            ends = np.maximum.accumulate(begins + counts)
            covered = np.concatenate([begins[:1] - 1, ends[:-1]])
            skipped = np.clip(covered - begins, 0, counts)
            gap = begins > covered
        left = counts - skipped
        begins_S = np.repeat(np.cumsum(left) - left, left)
        within_S = np.arange(int(left.sum())) - begins_S
        at_S = np.repeat(sequences.starts[order] + skipped, left) + within_S
        return cls(at_S, np.repeat(gap, left) & (within_S == 0), np.repeat(order, left))


def whole(sequences: Sequences) -> Sequences:
    """Return a text's windows as its stretches, each one sequence of its own symbols."""
    targets = Targets.of(sequences)
    begins = np.flatnonzero(targets.first)
    ends = np.append(begins[1:], len(targets))
    at = [
        np.append(targets.at[begin:end], targets.at[end - 1] + 1)
        for begin, end in zip(begins, ends, strict=True)
    ]
    lengths = np.array([len(each) for each in at], dtype=np.int64)
    return Sequences(sequences.x[np.concatenate(at)], lengths)
