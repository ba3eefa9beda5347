"""The columns of a table that a stranger may have made, as NumPy arrays of few types.

pyarrow reads them; nothing is unpickled. Only the columns that are asked for are read.
"""

import difflib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.text import first_line, listed, named
from trainables.data.formats.ragged import Array, first
from trainables.data.memory import refuse_unless_it_fits

ColumnKind = Literal["number", "integer", "boolean", "text", "time", "empty", "other"]
#: Kinds of columns that a model can read as they are.
NUMERIC: tuple[ColumnKind, ...] = ("number", "integer", "boolean")
T = TypeVar("T")
#: At the worst moment, as measured: of a row for its place in its sequence, and more where rows do
#: not lie in order; of a value that is read from text, that stands in a column that is read whole,
#: or that is read in stretches and kept as float32 (tests/trainables/data/test_data_size.py).
#: What sorting takes is not added to what features take: it is over before they are read.
ROW_BYTES, SORTED_BYTES = 32, 64
VALUE_BYTES, COLUMN_BYTES, KEPT_BYTES = 24, 16, 4
FEWER = "name fewer features, or use a machine with more memory"
#: The remedy where all columns are inspected, whichever features are named.
BY_HAND = "write a job file by hand, with few features, or use a machine with more memory"
STRETCH_ROWS = 2**17  #: of a table, that are looked at at once, at most
_STRETCH_VALUES = 2**20  # of all columns, that are converted at once
_MOST_NAMED = 12  # columns that a message lists


@dataclass(frozen=True, eq=False)  # equal only to itself: values are not compared in passing
class Column:
    """One column of a table.

    values: [rows] float64, or float32 where the file has that (number), int64 (integer, boolean,
    time), or the places of text in `categories`; anything where a value is missing.
    """

    name: str
    kind: ColumnKind
    values: Array
    missing: NDArray[np.bool_]
    categories: tuple[str, ...] = ()  #: of text, sorted
    type: str = ""  #: as the file has it, for messages

    @property
    def numeric(self) -> bool:
        """Whether a model can read the values as they are."""
        return self.kind in NUMERIC

    @property
    def rows(self) -> int:
        """The number of values."""
        return len(self.values)

    def plain(self, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """Return values of text, whole numbers or booleans as such, to be labels or names."""
        values = self.values[rows]
        if self.kind == "text":
            return np.array(self.categories or [""], dtype=np.str_)[values]
        return values.astype(bool) if self.kind == "boolean" else values


@dataclass(frozen=True)
class Table:
    """Some columns of a file, by name."""

    place: str  #: what the user called the file or folder
    columns: Mapping[str, Column]
    #: Of a folder, the files and the first row of each; none where it is one file.
    files: tuple[str, ...] = ()
    begins: tuple[int, ...] = (0,)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return next(iter(self.columns.values())).rows

    def at(self, row: int, column: str | None = None) -> str:
        """Return the place of a row, or of a value of it; rows count from 1, without names."""
        file = bisect_right(self.begins, row) - 1
        name = f"{self.place}/{self.files[file]}" if self.files else self.place
        place = f"{name}: row {int(row) - self.begins[file] + 1}"
        return place if column is None else f"{place}: {named(column)}"


class Source(Protocol):
    """A table that is read piece by piece: no more of it is in memory than somebody asks for."""

    rows: int
    files: tuple[str, ...]  #: as Table.files
    begins: tuple[int, ...]  #: as Table.begins

    def kind(self, name: str) -> ColumnKind:
        """Return the kind of a column."""

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """Return some columns whole. Raises InputError."""

    def stretches(self, names: Sequence[str]) -> Iterator[dict[str, Column]]:
        """Yield columns in stretches of bounded size, which may be forgotten then.

        Only once, and last of all. Raises InputError.
        """


class ArrowSource:
    """A pyarrow.Table, which is given away as it is read."""

    def __init__(
        self, arrow: Any, place: str, files: Sequence[str] = (), begins: Sequence[int] = (0,)
    ) -> None:
        """Raises InputError for a table without rows, or a damaged one."""
        check_rows(arrow.num_rows, place)
        reading(place, lambda: arrow.validate(full=True))  # a damaged file may point at no text
        self._arrow, self._place, self.rows = arrow, place, arrow.num_rows
        self.files, self.begins = tuple(files), tuple(begins)

    def kind(self, name: str) -> ColumnKind:
        """See Source."""
        return kind_of(self._arrow.schema.field(name).type)

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See Source."""
        return columns_of(self._arrow.select(list(names)), self._place)

    def stretches(self, names: Sequence[str]) -> Iterator[dict[str, Column]]:
        """See Source."""
        import pyarrow as pa

        size = rows_at_once(len(names))
        batches = self._arrow.select(list(names)).to_batches(max_chunksize=size)
        self._arrow = None
        batches.reverse()
        while batches:
            yield columns_of(batches.pop(), self._place)
        pa.default_memory_pool().release_unused()


def check_file(path: Path, place: str) -> None:
    """Raise InputError where there is no file to read."""
    try:
        if path.is_file():
            return
        is_there = path.exists()
    except (OSError, ValueError) as error:  # ValueError: of a path that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        rule = f"the data file must be readable; {path} is not ({reason})"
        raise InputError.of(place, rule, "check the path and its permissions") from error
    if is_there:
        kind = "a directory" if path.is_dir() else "none"
        rule, remedy = f"the data must be a file; {path} is {kind}", "give the path of a file"
    else:
        rule = f"the data file must exist; there is none at {path}"
        remedy = "give a path relative to the job file's folder"
    raise InputError.of(place, rule, remedy)


def check_names(names: Sequence[str], wanted: Sequence[str], place: str) -> None:
    """Raise InputError where the header of a table lacks a column, or has one twice."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        rule = f"a table must have each column once; {named(twice[0])} is there twice"
        raise InputError.of(place, rule, "rename one of them")
    missing = [name for name in wanted if name not in names]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0][:60], names, n=1)
    known = [named(name) for name in names[:_MOST_NAMED]]
    known += ["…"] * (len(names) > _MOST_NAMED)
    raise InputError.of(
        place,
        f"the table must have the {'columns' if len(missing) > 1 else 'column'} "
        f"{listed(map(named, missing))}; it has {', '.join(known) or 'none'}",
        (f"did you mean {named(near[0])}? " if near else "") + "Name columns as the file has them",
    )


def check_size(rows: int, row_bytes: int, place: str, remedy: str = FEWER) -> int:
    """Return the bytes of memory that a table takes. row_bytes: of a row's values.

    Raises InputError where it does not fit.
    """
    size = rows * (row_bytes + ROW_BYTES)
    refuse_unless_it_fits(size, place, remedy)
    return size


def check_pieces(rows: int, columns: int, place: str, *, at_once: bool) -> int:
    """Return the bytes of memory that columns take which are read piece by piece.

    at_once: whether their values are kept, as float32; if not, one column is in memory at a time.
    Raises InputError where they do not fit.
    """
    if at_once:
        return check_size(rows, KEPT_BYTES * columns, place)
    return check_size(rows, COLUMN_BYTES, place, "use fewer rows, or a machine with more memory")


def rows_at_once(columns: int) -> int:
    """Return how many rows of so many columns are converted at once."""
    return max(1, min(STRETCH_ROWS, _STRETCH_VALUES // max(1, columns)))


def check_rows(rows: int, place: str) -> None:
    """Raise InputError for a table without rows."""
    if rows == 0:
        rule = "the data must hold at least one sequence; the table has no rows"
        raise InputError.of(place, rule, "check how the file was written")


def table_of(source: Source, place: str, columns: Sequence[str]) -> Table:
    """Return some columns of a source."""
    return Table(place, source.columns(columns), source.files, source.begins)


def columns_of(arrow: Any, place: str) -> dict[str, Column]:
    """Return the columns of a pyarrow.Table or a batch of one. Raises InputError."""
    import pyarrow as pa

    if isinstance(arrow, pa.RecordBatch):
        arrow = pa.Table.from_batches([arrow])
    return {
        name: reading(place, partial(_column, name, arrow.column(name)))
        for name in arrow.column_names
    }


def check_column(column: Column, kinds: Sequence[str], rule: str, table: Table) -> None:
    """Raise InputError where a column is of another kind or a value is missing."""
    check_kind(column, kinds, rule, table)
    at = first(column.missing)
    if at is not None:
        number = int(column.missing.sum())
        raise InputError.of(
            table.at(at, column.name),
            "every row must have a value; here it is missing"
            + (f" ({number} such rows)" if number > 1 else ""),
            "fill the gaps, or leave such sequences or the column out",
        )


def check_kind(column: Column, kinds: Sequence[str], rule: str, table: Table) -> None:
    """Raise InputError where a column is of another kind."""
    if column.kind not in (*kinds, "empty"):
        raise InputError.of(
            f"{table.place}: {named(column.name)}",
            f"{rule}, not {column.type}",
            "name another column",
        )


def kind_of(type: Any) -> ColumnKind:
    """Return the kind of columns of a type of pyarrow's."""
    import pyarrow as pa

    return _column("", pa.chunked_array([pa.array([], type)])).kind


def reading(place: str, action: Callable[[], T]) -> T:
    """Return what an action returns; what pyarrow raises becomes an InputError."""
    import pyarrow

    try:
        return action()
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        rule = f"the table must be readable; it is damaged or of another form ({first_line(error)})"
        raise InputError.of(place, rule, "correct that place, or write the file again") from error


def _column(name: str, chunked: Any) -> Column:
    """Return a pyarrow.ChunkedArray as a column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, found = chunked.type, chunked
    missing = np.asarray(pc.is_null(found).to_numpy(), dtype=bool)
    types, written = pa.types, str(kind)
    if types.is_null(kind):
        return Column(name, "empty", np.zeros(len(found)), missing, type=written)
    if types.is_boolean(kind):
        values = pc.fill_null(found, False).to_numpy().astype(np.int64)
        return Column(name, "boolean", values, missing, type=written)
    if types.is_integer(kind):
        whole = pc.fill_null(found, 0).cast(pa.int64()).to_numpy()
        return Column(name, "integer", whole, missing, type=written)
    if types.is_floating(kind) or types.is_decimal(kind):
        numbers = found.cast(pa.float32() if is_short(kind) else pa.float64())
        values = pc.fill_null(numbers, float("nan")).to_numpy()
        return Column(name, "number", values, missing | np.isnan(values), type=written)
    if types.is_temporal(kind) and not types.is_interval(kind):
        if types.is_date32(kind) or types.is_time32(kind):
            found = found.cast(pa.int32())
        moments = pc.fill_null(found.cast(pa.int64()), 0).to_numpy()
        return Column(name, "time", moments, missing, type=written)
    if types.is_dictionary(kind) and types.is_integer(kind.value_type):
        return _column(name, found.cast(kind.value_type))
    if types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _text(name, found, missing, written)
    return Column(name, "other", np.zeros(len(found)), missing, type=written)


def is_short(kind: Any) -> bool:
    """Return whether float32 holds all values of a type of pyarrow's."""
    import pyarrow as pa

    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def _text(name: str, found: Any, missing: NDArray[np.bool_], written: str) -> Column:
    """Return a column of text. An empty text is a missing one."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(found.type):
        value = found.type.value_type
        if not (types.is_string(value) or types.is_large_string(value)):
            return Column(name, "other", np.zeros(len(found)), missing, type=written)
    else:
        found = found.dictionary_encode()
    combined = found.unify_dictionaries().combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        combined = combined.chunk(0)
    texts = combined.dictionary.to_pylist()
    codes = combined.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    categories = sorted({text for text in texts if text})
    place_of = {text: place for place, text in enumerate(categories)}
    recoded = np.array([place_of.get(text, -1) for text in texts] or [-1], np.int64)[codes]
    missing = missing | (recoded < 0)
    return Column(name, "text", np.maximum(recoded, 0), missing, tuple(categories), type=written)
