"""Cuts data into training, validation and test parts, and series into windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.tasks import TaskKind
from trainables.data.sequences import Sequences


@dataclass(frozen=True)
class Parts:
    """What a task's loader returns; trainables.data.tasks makes it a Data with its TaskInfo."""

    name: str
    kind: TaskKind
    inputs: int  #: features a step, or the size of the vocabulary
    outputs: int  #: classes, vocabulary, labels a frame, or 1 for regression
    train: Sequences
    validation: Sequences
    test: Sequences


def select(
    x: NDArray[np.generic],
    lengths: NDArray[np.int64],
    y: NDArray[np.generic] | None,
    chosen: NDArray[np.int64],
) -> Sequences:
    """Return the chosen sequences, in the order of `chosen`, as contiguous arrays of their own."""
    starts = np.cumsum(lengths) - lengths
    pieces = [x[starts[i] : starts[i] + lengths[i]] for i in chosen]
    steps = np.concatenate(pieces) if pieces else x[:0].copy()
    return Sequences(steps, lengths[chosen], None if y is None else y[chosen])


def stratified(
    labels: NDArray[np.int64], shares: Sequence[float], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return, for each share, the sorted positions of the labels that are dealt to it.

    Every class is shuffled and dealt in turn, each member to the part that lags furthest behind its
    share: the parts have their shares of the whole and, to a member or two, of each class. The
    first member of each class goes to the first part: a rare class may be missing in validation,
    never in training.
    """
    parts: list[list[int]] = [[] for _ in shares]
    lag = np.zeros(len(shares))
    for label in np.unique(labels):
        for position, member in enumerate(rng.permutation(np.flatnonzero(labels == label))):
            lag += shares
            part = 0 if position == 0 else int(np.argmax(lag))
            lag[part] -= 1.0
            parts[part].append(int(member))
    return [np.sort(np.asarray(part, dtype=np.int64)) for part in parts]


def consecutive(steps: int, shares: Sequence[float]) -> list[slice]:
    """Return consecutive stretches of `steps` in time order, one for each share."""
    ends = [round(steps * sum(shares[: part + 1])) for part in range(len(shares))]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def windows(series: NDArray[np.int64], window: int, stride: int) -> Sequences:
    """Return windows of a series of symbols for next-token training and scoring.

    A window holds window + 1 symbols, so that it has `window` targets. With a stride of `window`
    each symbol but the first is the target of exactly one window, and the last window may be
    shorter. With a smaller stride windows overlap, and the last one ends where the series ends.
    """
    full = range(0, max(len(series) - window, 0), stride)
    spans = [(start, start + window + 1) for start in full]
    covered = spans[-1][1] if spans else 1
    if covered < len(series):
        last = covered - 1 if stride >= window else max(len(series) - window - 1, 0)
        spans.append((last, len(series)))
    lengths = np.array([end - start for start, end in spans], dtype=np.int64)
    pieces = [series[start:end] for start, end in spans]
    return Sequences(np.concatenate(pieces) if pieces else series[:0].copy(), lengths)
