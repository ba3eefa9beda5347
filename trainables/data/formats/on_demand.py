"""Columns of a table that are read when somebody looks at them, of which one is kept in memory."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.formats.ragged import Array
from trainables.data.formats.table import Column, ColumnKind, Source, Table


def open_table(source: Source, place: str, names: Sequence[str]) -> Table:
    """Return some columns of a source, each of which is read when it is looked at."""
    reader = _Reader(source)
    columns = {name: _Column(reader, name, source.kind(name)) for name in names}
    return Table(place, columns, source.files, source.begins)


class _Reader:
    """Reads columns of a source, and keeps the one that was looked at last."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._last: dict[str, Column] = {}

    def read(self, name: str) -> Column:
        """Return a column with its values. Raises InputError."""
        if name not in self._last:
            self._last.clear()
            pa.default_memory_pool().release_unused()
            self._last |= self.source.columns([name])
        return self._last[name]


class _Column(Column):
    """A column that holds no values."""

    def __init__(self, reader: _Reader, name: str, kind: ColumnKind) -> None:
        self.__dict__.update(_reader=reader, name=name, kind=kind)  # a Column is frozen

    @property
    def _found(self) -> Column:
        reader: _Reader = self.__dict__["_reader"]
        return reader.read(self.name)

    @property
    def rows(self) -> int:
        rows: int = self.__dict__["_reader"].source.rows
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
