"""Reads columns of a .parquet file, memory-mapped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.data.formats.table import (
    Table,
    check_file,
    check_names,
    check_size,
    is_short,
    reading,
    table_of,
)


def names(path: Path, place: str) -> list[str]:
    """Return the names of a file's columns. Raises InputError."""
    with _open(path, place) as file:
        return list(file.schema_arrow.names)


def read(path: Path, place: str, columns: Sequence[str]) -> Table:
    """Return some columns of a file. Raises InputError."""
    return table_of(read_arrow(path, place, columns), place)


def read_arrow(path: Path, place: str, columns: Sequence[str]) -> Any:
    """Return some columns of a file as a pyarrow.Table. Raises InputError."""
    import pyarrow as pa

    with _open(path, place) as file:
        schema = file.schema_arrow
        check_names(list(schema.names), columns, place)
        sizes = [4 if is_short(schema.field(name).type) else 8 for name in columns]
        check_size(file.metadata.num_rows, sizes, place)
        # A text that is there a million times is read once.
        texts = [name for name in columns if pa.types.is_string(schema.field(name).type)]
    with _open(path, place, texts) as file:
        return reading(place, lambda: file.read(columns=list(columns), use_threads=False))


def _open(path: Path, place: str, texts: Sequence[str] = ()) -> Any:
    import pyarrow.parquet

    check_file(path, place)
    return reading(
        place,
        lambda: pyarrow.parquet.ParquetFile(path, memory_map=True, read_dictionary=list(texts)),
    )
