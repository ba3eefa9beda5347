"""Columns of a table that are read when somebody looks at them, of which one is kept in memory."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.formats.ragged import Array
from trainables.data.formats.table import Column, ColumnKind, Source, Table


def open_table(source: Source, place: str, names: Sequence[str]) -> Table:
    """Return some columns of a source, each of which is read when it is looked at."""
    return Table(place, _Columns(source, names), source.files, source.begins)


class _Columns(Mapping[str, Column]):
    """Columns by name."""

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        self.source, self._names = source, tuple(names)
        self._read: dict[str, Column] = {}  # the one that was looked at last

    def __getitem__(self, name: str) -> Column:
        if name not in self._names:
            raise KeyError(name)
        return _Column(self, name, self.source.kind(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, name: str) -> Column:
        """Return a column with its values. Raises InputError."""
        if name not in self._read:
            self._read.clear()
            pa.default_memory_pool().release_unused()
            self._read |= self.source.columns([name])
        return self._read[name]


class _Column(Column):
    """A column that holds no values."""

    def __init__(self, columns: _Columns, name: str, kind: ColumnKind) -> None:
        self.__dict__.update(_columns=columns, name=name, kind=kind)  # a Column is frozen

    @property
    def _found(self) -> Column:
        columns: _Columns = self.__dict__["_columns"]
        return columns.read(self.name)

    @property
    def rows(self) -> int:
        rows: int = self.__dict__["_columns"].source.rows
        return rows

    @property
    def values(self) -> Array:
        return self._found.values

    @property
    def missing(self) -> NDArray[np.bool_]:
        return self._found.missing

    @property
    def categories(self) -> tuple[str, ...]:
        return self._found.categories if self.kind == "text" else ()

    @property
    def type(self) -> str:
        return self._found.type
