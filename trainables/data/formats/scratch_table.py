"""A table that is read once, batch by batch, into a file without a name, and from there by columns.

The file is gone with the process, however it ends. It takes 8 bytes a number, or the text itself:
of the disk, or of the memory where the folder for temporary files is there (tmpfs).
"""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from trainables.data.formats.table import (
    COLUMN_BYTES,
    STRETCH_ROWS,
    Column,
    ColumnKind,
    check_rows,
    check_size,
    columns_of,
    kind_of,
    reading,
)
from trainables.data.memory import refuse_unless_it_fits
from trainables.machine import is_in_memory

_REMEDY = "set TMPDIR to a folder on disk, or use a machine with more memory"


class ScratchSource:
    """Columns in a file, each of which is read when it is asked for."""

    files: tuple[str, ...] = ()
    begins: tuple[int, ...] = (0,)

    def __init__(self, batches: Any, place: str, beside: int) -> None:
        """Write the batches of a pyarrow.RecordBatchReader.

        beside: bytes of memory that what is read of the file takes. Raises pyarrow.ArrowException
        where a batch cannot be read, OSError where there is no room, and InputError where there are
        no rows, or where a file in memory is too large for it.
        """
        self._file = tempfile.TemporaryFile(prefix="gatesearch-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._place, self._schema, self.rows = place, batches.schema, 0
        #: Of each batch and column, where it lies in the file, and its bytes.
        self._at: list[list[tuple[int, int]]] = []
        in_memory = is_in_memory(self._file.fileno())
        for table in _joined(batches):
            self.rows += table.num_rows
            self._at.append([self._write(table.select([at])) for at in range(len(self._schema))])
            if in_memory:
                refuse_unless_it_fits(self._file.tell() + beside, place, _REMEDY)
        self._file.flush()
        pa.default_memory_pool().release_unused()
        check_rows(self.rows, place)

    def kind(self, name: str) -> ColumnKind:
        """See Source."""
        return kind_of(self._schema.field(name).type)

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See Source."""
        check_size(self.rows, COLUMN_BYTES * len(names), self._place)
        found: dict[str, Column] = {}
        for name in names:
            pieces = [self._read(batch, name) for batch in range(len(self._at))]
            found |= columns_of(pa.Table.from_batches(pieces), self._place)
        return found

    def stretches(self, names: Sequence[str]) -> Iterator[dict[str, Column]]:
        """See Source."""
        pa.default_memory_pool().release_unused()
        for batch in range(len(self._at)):
            found: dict[str, Column] = {}
            for name in names:
                found |= columns_of(self._read(batch, name), self._place)
            yield found
        pa.default_memory_pool().release_unused()

    def _write(self, column: Any) -> tuple[int, int]:
        at = self._file.tell()
        (batch,) = column.to_batches()
        return at, self._file.write(batch.serialize())

    def _read(self, batch: int, name: str) -> Any:
        number = self._schema.get_field_index(name)
        at, size = self._at[batch][number]
        schema = pa.schema([self._schema.field(number)])

        def read() -> Any:
            buffer = pa.py_buffer(os.pread(self._file.fileno(), size, at))
            return pa.ipc.read_record_batch(buffer, schema)

        return reading(self._place, read)


def _joined(batches: Any) -> Iterator[Any]:
    """Yield batches of a few rows as tables of one batch of many rows each."""
    found, rows = [], 0
    for batch in batches:
        found.append(batch)
        rows += batch.num_rows
        if rows >= STRETCH_ROWS:
            yield pa.Table.from_batches(found).combine_chunks()
            found, rows = [], 0
    if rows:
        yield pa.Table.from_batches(found).combine_chunks()
