"""Reads columns of a .parquet file."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trainables.data.formats.table import (
    COLUMN_BYTES,
    Column,
    ColumnKind,
    Source,
    Table,
    check_file,
    check_names,
    check_pieces,
    check_rows,
    check_size,
    columns_of,
    kind_of,
    reading,
    rows_at_once,
    table_of,
)

_BUFFER = 2**16  # bytes of each column that are read at once


def names(path: Path, place: str) -> list[str]:
    """Return the names of a file's columns. Raises InputError."""
    with _open(path, place) as file:
        return list(file.schema_arrow.names)


def read(path: Path, place: str, columns: Sequence[str]) -> Table:
    """Return some columns of a file. Raises InputError."""
    return table_of(open_source(path, place, columns), place, columns)


def open_source(path: Path, place: str, columns: Sequence[str], *, at_once: bool = True) -> Source:
    """Return some columns of a file, to be read piece by piece. Raises InputError.

    at_once: whether there must be memory for all of them, or for one at a time.
    """
    return _ParquetSource(path, place, columns, at_once=at_once)


def read_arrow(path: Path, place: str, columns: Sequence[str]) -> Any:
    """Return some columns of a file as a pyarrow.Table. Raises InputError."""
    return _ParquetSource(path, place, columns).arrow(columns)


class _ParquetSource:
    """A file of columns, each of which is read when it is asked for."""

    files: tuple[str, ...] = ()
    begins: tuple[int, ...] = (0,)

    def __init__(
        self, path: Path, place: str, columns: Sequence[str], *, at_once: bool = True
    ) -> None:
        """Raises InputError where it lacks a column, or what they hold does not fit into memory."""
        with _open(path, place) as file:
            self._path, self._place, self._schema = path, place, file.schema_arrow
            check_names(list(self._schema.names), columns, place)
            self.rows: int = file.metadata.num_rows
        check_pieces(self.rows, len(columns), place, at_once=at_once)

    def kind(self, name: str) -> ColumnKind:
        """See Source."""
        return kind_of(self._schema.field(name).type)

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See Source."""
        check_rows(self.rows, self._place)
        check_size(self.rows, COLUMN_BYTES * len(names), self._place)
        return {name: columns_of(self._valid([name]), self._place)[name] for name in names}

    def stretches(self, names: Sequence[str]) -> Iterator[dict[str, Column]]:
        """See Source."""
        check_rows(self.rows, self._place)
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
        with _open(self._path, self._place) as file:
            batches = file.iter_batches(
                rows_at_once(len(names)), columns=list(names), use_threads=False
            )
            while (batch := reading(self._place, partial(next, batches, None))) is not None:
                yield columns_of(batch, self._place)
        pa.default_memory_pool().release_unused()

    def arrow(self, names: Sequence[str]) -> Any:
        """Return some columns as a pyarrow.Table. Raises InputError."""
        import pyarrow as pa

        # A text that is there a million times is read once.
        texts = [name for name in names if pa.types.is_string(self._schema.field(name).type)]
        with _open(self._path, self._place, texts) as file:
            return reading(self._place, lambda: file.read(columns=list(names), use_threads=False))

    def _valid(self, names: Sequence[str]) -> Any:
        arrow = self.arrow(names)
        reading(self._place, lambda: arrow.validate(full=True))  # it may point at no text
        return arrow


def _open(path: Path, place: str, texts: Sequence[str] = ()) -> Any:
    import pyarrow.parquet

    check_file(path, place)
    return reading(
        place,
        # Not memory-mapped: what is read of a mapped file counts as the process's own memory.
        lambda: pyarrow.parquet.ParquetFile(
            path, read_dictionary=list(texts), buffer_size=_BUFFER, pre_buffer=False
        ),
    )
