"""Cuts data into training, validation and test parts, and series into windows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.forecast import Forecast, LeftOut, Transform
from spaces.kinds import TaskKind
from spaces.own_data import Columns, Label, Missing, TrainedVocabulary
from trainables.data.sequences import Dealing, Sequences


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
    dealing: Dealing = field(default_factory=Dealing, kw_only=True)
    labels: tuple[Label, ...] | None = field(default=None, kw_only=True)  #: as in TaskInfo
    columns: Columns | None = field(default=None, kw_only=True)  #: as in TaskInfo
    missing: Missing = field(default="refuse", kw_only=True)  #: as in TaskInfo
    forecast: Forecast | None = field(default=None, kw_only=True)  #: as in TaskInfo
    left_out: tuple[LeftOut, ...] = field(default=(), kw_only=True)  #: as in TaskInfo
    gaps: bool = field(default=False, kw_only=True)  #: as in TaskInfo
    vocabulary: TrainedVocabulary | None = field(default=None, kw_only=True)  #: as in TaskInfo
    transform: Transform | None = field(default=None, kw_only=True)  #: as in TaskInfo


def select(
    x: NDArray[np.generic],
    lengths: NDArray[np.int64],
    y: NDArray[np.generic] | None,
    chosen: NDArray[np.int64],
    *,
    stepwise: bool = False,
    offsets: NDArray[np.int64] | None = None,
) -> Sequences:
    """Return the chosen sequences, in the order of `chosen`, as contiguous arrays of their own.

    stepwise: whether y has a target for each step. offsets: as in Sequences.
    """
    starts = np.cumsum(lengths) - lengths
    pieces = [x[starts[i] : starts[i] + lengths[i]] for i in chosen]
    steps = np.concatenate(pieces) if pieces else x[:0].copy()
    if y is not None and stepwise:
        of_steps = [y[starts[i] : starts[i] + lengths[i]] for i in chosen]
        own = np.concatenate(of_steps) if of_steps else y[:0].copy()
        return Sequences(steps, lengths[chosen], own, stepwise=True)
    offsets = None if offsets is None else offsets[chosen]
    return Sequences(steps, lengths[chosen], None if y is None else y[chosen], offsets=offsets)


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


def proportional(
    labels: NDArray[np.int64], sizes: Sequence[int], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return, for each size, so many sorted positions of the labels; the sizes sum to all.

    Each part has its share of each class, to one member; which class gets one more is drawn. One
    member of each class at least goes to the first part, if that has room for all classes.
    """
    rest = rng.permutation(len(labels))
    parts: list[NDArray[np.int64]] = []
    for size in reversed(sizes[1:]):
        taken = _share(labels[rest], size, rng)
        parts.append(np.sort(rest[taken]))
        rest = rest[~taken]
    return [np.sort(rest), *reversed(parts)]


def _share(labels: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of `size` labels: the first ones of each class, by its share."""
    _, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    room = counts - 1 if size <= len(labels) - len(counts) else counts
    exact = counts * size / len(labels)
    quotas = np.minimum(exact.astype(np.int64), room)
    by_rest = np.lexsort((rng.random(len(counts)), quotas - exact))
    while (left := size - int(quotas.sum())) > 0:
        open_classes = by_rest[(quotas < room)[by_rest]]
        quotas[open_classes[:left]] += 1
    order = np.argsort(of, kind="stable")
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    mask: NDArray[np.bool_] = rank < quotas[of]
    return mask


def grouped(
    group: NDArray[np.int64],
    labels: NDArray[np.int64],
    shares: Sequence[float],
    rng: np.random.Generator,
    place: str,
) -> list[NDArray[np.int64]]:
    """Return, for each share, the sorted positions of the groups that are dealt to it.

    Groups are shuffled and dealt in turn, each whole to the part that lags furthest behind its
    share of the group's classes: the parts have their shares as nearly as whole groups allow. The
    first part gets groups of every class. Raises InputError, at `place`, where a part stays empty.
    """
    numbers, of = np.unique(group, return_inverse=True)
    classes, kind = np.unique(labels, return_inverse=True)
    members_GC = np.zeros((len(numbers), len(classes)))
    np.add.at(members_GC, (of, kind), 1)
    part_of = np.full(len(numbers), -1)
    order, seen = rng.permutation(len(numbers)), np.zeros(len(classes), dtype=bool)
    for number in order:
        if (members_GC[number] > 0)[~seen].any():
            part_of[number] = 0
            seen |= members_GC[number] > 0
    rest = order[part_of[order] < 0]
    if len(rest) < len(shares) - 1:
        raise InputError.of(
            place,
            f"there must be enough groups for {len(shares)} parts, with every class in training; "
            f"{len(numbers)} groups of {len(classes)} classes are too few"
            if len(classes) > 1
            else f"there must be at least {len(shares)} groups, one for each part, not "
            f"{len(numbers)}",
            "give more, smaller groups, or leave group out",
        )
    lag = np.outer(shares, members_GC[part_of == 0].sum(axis=0))
    lag[0] -= members_GC[part_of == 0].sum(axis=0)
    for left, number in zip(range(len(rest), 0, -1), rest, strict=True):
        lag += np.outer(shares, members_GC[number])
        empty = np.setdiff1d(np.arange(len(shares)), part_of)
        open_parts = empty if len(empty) == left else np.arange(len(shares))
        part_of[number] = open_parts[np.argmax((lag @ members_GC[number])[open_parts])]
        lag[part_of[number]] -= members_GC[number]
    return [np.flatnonzero(part_of[of] == part).astype(np.int64) for part in range(len(shares))]


def rotated(
    order: NDArray[np.int64], sizes: Sequence[int], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return, for each size, a contiguous stretch of a circle that begins at a drawn place.

    order: the places of the sequences in the text or series. Every sequence is as likely to be in
    a part as any other. A part that reaches over the end goes on at the beginning.
    """
    circle = np.roll(np.argsort(order, kind="stable"), -int(rng.integers(len(order))))
    ends = np.cumsum(sizes)
    return [np.sort(circle[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def consecutive(steps: int, shares: Sequence[float]) -> list[slice]:
    """Return consecutive stretches of `steps` in time order, one for each share."""
    ends = [round(steps * sum(shares[: part + 1])) for part in range(len(shares))]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def windows(series: NDArray[np.int64], window: int, stride: int, first: int = 0) -> Sequences:
    """Return windows of a series of symbols for next-token training and scoring.

    first: where the series begins in the text that it is a part of.

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
    offsets = first + np.array([start for start, _ in spans], dtype=np.int64)
    x = np.concatenate(pieces) if pieces else series[:0].copy()
    return Sequences(x, lengths, offsets=offsets)
