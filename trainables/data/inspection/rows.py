"""Which rows of a table are of which sequence, and what values do along them, in stretches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import OneOrMore
from trainables.data.formats.ragged import Array
from trainables.data.formats.table import STRETCH_ROWS, Column, Table

Order = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceRows:
    """The sequences of a table, in the order of their first rows."""

    numbers: NDArray[np.int32]  #: the sequence of each row
    begins: NDArray[np.int64]  #: the first row of each sequence
    lengths: NDArray[np.int64]
    together: bool  #: whether the rows of each sequence follow one another

    @property
    def order(self) -> Order | None:
        """Rows in the order of sequences; None where that is the table's."""
        return None if self.together else np.argsort(self.numbers, kind="stable")


def sequence_rows(table: Table, name: OneOrMore | None) -> SequenceRows:
    """Return which rows are of which sequence. name: the column that tells it."""
    if not isinstance(name, str):
        rows = np.array([table.rows], np.int64)
        return SequenceRows(np.zeros(table.rows, np.int32), np.zeros(1, np.int64), rows, True)
    values = table.columns[name].values
    begins = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])  # of runs
    run_lengths = np.diff([*begins, len(values)])
    _, firsts, inverse = np.unique(values[begins], return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(firsts))[inverse].astype(np.int32)
    number = len(firsts)
    lengths = np.zeros(number, np.int64)
    np.add.at(lengths, numbers, run_lengths)
    return SequenceRows(
        np.repeat(numbers, run_lengths),
        begins[np.sort(firsts)].astype(np.int64),
        lengths,
        together=number == len(begins),
    )


def reading_order(sequences: SequenceRows, time: Column | None) -> Order | None:
    """Return the rows in the order in which a model reads them; None where that is the table's."""
    if time is None:
        return sequences.order
    steps = along(time.values, sequences, None) if sequences.together else iter(())
    if sequences.together and all(bool((each >= 0).all()) for each in steps):
        return None
    order: Order = np.lexsort((time.values, sequences.numbers))
    return order


def along(values: Array, sequences: SequenceRows, order: Order | None) -> Iterator[Array]:
    """Yield by how much each value differs from the one before it in its sequence.

    order: rows, those of a sequence one after the other; None is that of the table.
    """
    for begin in range(0, max(len(values) - 1, 0), STRETCH_ROWS):
        at = slice(begin, begin + STRETCH_ROWS + 1)
        some: slice | Order = at if order is None else order[at]
        within = np.diff(sequences.numbers[some]) == 0
        yield np.diff(values[some])[within]


def changing(values: Array, sequences: SequenceRows) -> int:
    """Return in how many sequences a value changes."""
    order, found = sequences.order, np.zeros(len(sequences.lengths), bool)
    for begin in range(0, max(len(values) - 1, 0), STRETCH_ROWS):
        at = slice(begin, begin + STRETCH_ROWS + 1)
        some: slice | Order = at if order is None else order[at]
        of = sequences.numbers[some]
        found[of[1:][(np.diff(values[some]) != 0) & (np.diff(of) == 0)]] = True
    return int(found.sum())


def is_steady(column: Column, sequences: SequenceRows) -> bool:
    """Return whether a column has one value in all rows of a sequence."""
    if column.kind not in ("text", "integer", "boolean", "number"):
        return False
    values, missing = column.values, column.missing
    once = np.where(missing[sequences.begins], 0, values[sequences.begins])
    for at in _stretches(values):
        found = np.where(missing[at], 0, values[at])
        if (found != once[sequences.numbers[at]]).any():
            return False
    return True


def counted(pieces: Iterator[Array]) -> tuple[Array, NDArray[np.int64]]:
    """Return the different values of all pieces, sorted, and how often each is there."""
    found = [np.unique(piece, return_counts=True) for piece in pieces if len(piece)]
    if not found:
        return np.zeros(0), np.zeros(0, np.int64)
    values, inverse = np.unique(np.concatenate([each for each, _ in found]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, inverse, np.concatenate([each for _, each in found]))
    return values, counts


def values_of(column: Column) -> Iterator[Array]:
    """Yield all values of a column in stretches of rows."""
    values = column.values
    return (values[at] for at in _stretches(values))


def different(column: Column) -> int:
    """Return how many different values a column has."""
    return len(counted(values_of(column))[0])


def is_label(column: Column) -> bool:
    """Return whether a column has no values but 0 and 1."""
    return column.numeric and all(bool(np.isin(v, (0, 1)).all()) for v in values_of(column))


def _stretches(values: Array) -> Iterator[slice]:
    return (slice(at, at + STRETCH_ROWS) for at in range(0, len(values), STRETCH_ROWS))
