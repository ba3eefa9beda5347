"""Reads columns of a .csv file: commas, semicolons or tabs, a first line of names, UTF-8."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from spaces.errors import InputError
from trainables.data.formats.table import (
    BY_HAND,
    FEWER,
    VALUE_BYTES,
    ArrowSource,
    Source,
    Table,
    check_file,
    check_names,
    check_pieces,
    check_size,
    reading,
    table_of,
)

_DELIMITERS = (",", ";", "\t")
_MOST_HEADER = 2**20  # bytes of the line of names
_BLOCK = 2**24  # bytes that are read at once; no row may be longer
_STREAMED_BLOCK = 2**20  # the same, of a file that goes to disk: some dozens are read ahead
_IN_MEMORY = 2**25  # bytes of a file whose columns stay in memory


def names(path: Path, place: str) -> list[str]:
    """Return the names of a file's columns. Raises InputError."""
    return _header(path, place)[0]


def read(path: Path, place: str, columns: Sequence[str]) -> Table:
    """Return some columns of a file. Raises InputError."""
    return table_of(open_source(path, place, columns), place, columns)


def open_source(path: Path, place: str, columns: Sequence[str], *, at_once: bool = True) -> Source:
    """Return some columns of a file, whose types are known once it is read. Raises InputError.

    at_once: whether there must be memory for all of them, or for one at a time; a small file is in
    memory as a whole.
    """
    delimiter = _checked_header(path, place, columns)
    large = path.stat().st_size > _IN_MEMORY
    source = _on_disk(path, place, columns, delimiter, at_once=at_once) if large else None
    if source is None:
        arrow = read_arrow(path, place, columns, FEWER if at_once else BY_HAND)
        source = ArrowSource(arrow, place)
    check_lines(source, place, columns)
    return source


def read_arrow(path: Path, place: str, columns: Sequence[str], remedy: str = FEWER) -> Any:
    """Return some columns of a file as a pyarrow.Table.

    Raises InputError; where it does not fit into memory, with a remedy.
    """
    from pyarrow import csv as arrow

    delimiter = _checked_header(path, place, columns)
    check_size(_lines(path), VALUE_BYTES * len(columns), place, remedy)
    return reading(place, lambda: arrow.read_csv(path, *_options(columns, delimiter, block=_BLOCK)))


def _on_disk(
    path: Path, place: str, columns: Sequence[str], delimiter: str, *, at_once: bool
) -> Source | None:
    """Return some columns of a file, written by columns to disk, where that can be done.

    It cannot where the first block does not tell the types of columns, where the file is damaged,
    and where there is no room.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    from trainables.data.formats.scratch_table import ScratchSource

    beside = check_pieces(_lines(path), len(columns), place, at_once=at_once)
    with suppress(pa.ArrowException, OSError):
        batches = arrow.open_csv(path, *_options(columns, delimiter, block=_STREAMED_BLOCK))
        return ScratchSource(batches, place, beside)
    return None


def _options(columns: Sequence[str], delimiter: str, *, block: int) -> tuple[Any, ...]:
    from pyarrow import csv as arrow

    return (
        arrow.ReadOptions(block_size=block, use_threads=False),
        arrow.ParseOptions(delimiter=delimiter),
        arrow.ConvertOptions(include_columns=list(columns), check_utf8=True),
    )


def check_lines(source: Source, place: str, columns: Sequence[str]) -> None:
    """Raise InputError for text of several lines: a quote that is not closed takes in the rest."""
    for name in columns:
        if source.kind(name) != "text":
            continue
        table = table_of(source, place, [name])
        column = table.columns[name]
        for code, text in enumerate(column.categories):
            if "\n" in text or "\r" in text:
                raise InputError.of(
                    table.at(int(np.argmax(column.values == code)), column.name),
                    "a value must stand on one line; this one goes on on the next",
                    "close its quotes",
                )


def _checked_header(path: Path, place: str, columns: Sequence[str]) -> str:
    """Return the delimiter of a file that has some columns. Raises InputError."""
    known, delimiter = _header(path, place)
    check_names(known, columns, place)
    return delimiter


def _header(path: Path, place: str) -> tuple[list[str], str]:
    check_file(path, place)
    try:
        with path.open("rb") as file:
            line = file.readline(_MOST_HEADER + 1)
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        rule = f"the data file must be readable; {path} is not ({error.strerror or error})"
        raise InputError.of(place, rule, "check the path and its permissions") from error
    except UnicodeDecodeError as error:
        rule = "a .csv must be text in UTF-8; the line of names is not"
        raise InputError.of(place, rule, "save the table as CSV in UTF-8") from error
    if len(line) > _MOST_HEADER or "\0" in text or not text.strip():
        rule = "a .csv must begin with a line of the columns' names"
        raise InputError.of(place, rule, "write the names of the columns into the first line")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        (found,) = csv.reader([text], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as error:
        rule = f"the columns' names must be readable ({error})"
        raise InputError.of(place, rule, "correct the first line") from error
    return found, delimiter


def _lines(path: Path) -> int:
    """Return the number of lines of a file, which is at least that of its rows."""
    number = 1
    with path.open("rb") as file:
        while block := file.read(2**20):
            number += block.count(b"\n") + block.count(b"\r")
    return number
