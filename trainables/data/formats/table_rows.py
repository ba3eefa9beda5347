"""Which rows of a table are which sequence, and what each sequence has in all its rows alike."""

import re
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.own_data import Columns, several
from spaces.text import listed, named
from trainables.data.formats.ragged import Array, Part, first
from trainables.data.formats.table import SORTED_BYTES, Column, Table, check_column, check_size

#: Of a type of times, as pyarrow writes it, its unit; and how many seconds that is.
_UNIT = re.compile(r"\[(day|s|ms|us|ns)\b")
_SECONDS = {"day": 86_400.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_ROLE_OF: dict[Part, str] = {"lengths": "id", "y": "target", "split": "split", "group": "group"}


@dataclass(frozen=True)
class TablePlaces:
    """Places by row and column: "pumps.csv: row 17: pressure"; rows count from 1, without names."""

    table: Table = field(repr=False)  #: without its columns
    columns: Columns
    #: Rows as the sequences have them; None where that is as they lie.
    order: NDArray[np.int64] | None = field(repr=False)
    begins: NDArray[np.int64] = field(repr=False)  #: of each sequence, its first step

    def whole(self, part: Part) -> str:
        """Return the place of a column."""
        names = [] if part == "x" else several(getattr(self.columns, _ROLE_OF[part]))
        return ": ".join([self.table.place, *([listed(map(named, names))] if names else [])])

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value: its first row."""
        names = [] if part == "x" else several(getattr(self.columns, _ROLE_OF[part]))
        place = self._at(self.begins[sequence])
        return ": ".join([place, *([listed(map(named, names))] if names else [])])

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        names = [f.name for f in self.columns.features for _ in f.inputs]
        return self._at(at, names[feature or 0])

    def _at(self, step: int, name: str | None = None) -> str:
        return self.table.at(step if self.order is None else self.order[step], name)


@dataclass(frozen=True)
class TableRows:
    """Which rows are sequences, and what each sequence has once."""

    places: TablePlaces
    lengths: NDArray[np.int64]
    y: NDArray[np.int64]  #: the rows that have the targets: of sequences, or of steps
    ids: Array | None
    once: dict[str, Array]  #: by role, [n] of each sequence
    gap: NDArray[np.float32] | None  #: [steps] since the step before; None where it is not read

    @property
    def columns(self) -> Columns:
        """How the table is read."""
        return self.places.columns


def arrange(table: Table, columns: Columns, rows: int, *, each_step: bool, gaps: bool) -> TableRows:
    """Return so many rows as sequences. table: of roles, if columns have any.

    each_step: whether targets are of steps. gaps: whether the time between steps is read.
    """
    order, lengths = _in_sequences(table, columns, rows)
    begins = np.cumsum(lengths) - lengths
    first_rows = begins if order is None else order[begins]
    places = TablePlaces(replace(table, columns={}), columns, order, begins)
    ids = None if columns.id is None else table.columns[columns.id].plain(first_rows)
    once: dict[str, Array] = {}
    for role in ("target", "split", "group"):
        for name in several(getattr(columns, role)):
            steps = each_step and role == "target"
            _check_once(table, name, role, order, None if steps else lengths)
            once[role] = table.columns[name].plain(first_rows)
    if each_step:
        first_rows = np.arange(rows) if order is None else order
    gap = None
    if gaps and columns.time is not None:
        gap = _gaps(table.columns[columns.time], order, begins)
    return TableRows(places, lengths, first_rows, ids, once, gap)


def _in_sequences(
    table: Table, columns: Columns, rows: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    """Return rows in the order of sequences and steps, and the steps of each sequence.

    The order is None where rows lie in it, which spares sorting them.
    """
    order, lengths = None, np.array([rows], np.int64)
    if columns.id is not None:
        of = table.columns[columns.id]
        check_column(of, ("integer", "text", "time"), "ids must be text or whole numbers", table)
        begins = np.flatnonzero(np.concatenate([[True], of.values[1:] != of.values[:-1]]))
        lengths = np.diff([*begins, rows]).astype(np.int64)
        if len(np.unique(of.values[begins])) < len(begins):
            check_size(rows, SORTED_BYTES, table.place)
            _, firsts, inverse = np.unique(of.values, return_index=True, return_inverse=True)
            sequence_R = np.argsort(np.argsort(firsts))[inverse].astype(np.int64)
            order = np.argsort(sequence_R, kind="stable")
            lengths = np.bincount(sequence_R).astype(np.int64)
    if columns.time is not None:
        time = table.columns[columns.time]
        rule = "times must be numbers, or dates and times in ISO 8601"
        check_column(time, ("integer", "number", "time"), rule, table)
        moments = time.values if order is None else time.values[order]
        grows = moments[1:] >= moments[:-1]
        grows[(np.cumsum(lengths) - 1)[:-1]] = True  # from one sequence to the next
        if not grows.all():
            check_size(rows, SORTED_BYTES, table.place)
            sequences = np.repeat(np.arange(len(lengths)), lengths)
            within = np.lexsort((moments, sequences))
            order = within if order is None else order[within]
    return order, lengths


def _gaps(
    time: Column, order: NDArray[np.int64] | None, begins: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the time since the step before [steps]: in seconds where it is of dates or times."""
    values = time.values if order is None else time.values[order]
    gaps = np.diff(values, prepend=values[:1]).astype(np.float64)
    gaps[begins] = 0
    unit = _UNIT.search(time.type) if time.kind == "time" else None
    seconds = 1.0 if unit is None else _SECONDS[unit[1]]
    return (gaps * seconds).astype(np.float32)


def _check_once(
    table: Table,
    name: str,
    role: str,
    order: NDArray[np.int64] | None,
    lengths: NDArray[np.int64] | None,
) -> None:
    """Raise InputError unless a column fits a role, and all rows of a sequence have it alike.

    lengths: of the sequences; None where each row has a value of its own.
    """
    kinds: dict[str, tuple[tuple[str, ...], str]] = {
        "target": (("integer", "text", "boolean", "number"), "targets must be text or numbers"),
        "split": (("text",), "a split must be train, validation (or val) or test"),
        "group": (("integer", "text"), "groups must be text or whole numbers"),
    }
    column = table.columns[name]
    check_column(column, *kinds[role], table)
    if lengths is None:
        return
    values = column.values if order is None else column.values[order]
    begins = np.cumsum(lengths) - lengths
    at = first(values != np.repeat(values[begins], lengths))
    if at is not None:
        remedy = f"correct the row; {column.name} may be no {role} of whole sequences"
        if role == "target":
            remedy += "; or cut sequences where it changes, each with an id of its own"
        raise InputError.of(
            table.at(at if order is None else order[at], column.name),
            f"all rows of a sequence must have one {role}; this one differs from those before",
            remedy,
        )
