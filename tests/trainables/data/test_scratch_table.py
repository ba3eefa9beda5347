"""A large .csv is read through a file on disk: as one in memory would be, whatever its columns."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spaces.errors import InputError
from trainables.data import memory
from trainables.data.formats import csv_table, scratch_table
from trainables.data.formats.csv_table import open_source
from trainables.data.formats.scratch_table import ScratchSource
from trainables.data.formats.table import Source, table_of

NAMES = ["who", "at", "day", "a", "b", "yes"]
ROWS = [
    f"p{at // 9},2026-01-01T00:{at // 60:02}:{at % 60:02},2026-02-{1 + at % 28:02},"
    f"{'' if at % 7 == 0 else at / 8},{at},{str(at % 3 == 0).lower()}"
    for at in range(600)
]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is a large one, and has many blocks and batches."""
    monkeypatch.setattr(csv_table, "_IN_MEMORY", 0)
    monkeypatch.setattr(csv_table, "_STREAMED_BLOCK", 2000)
    monkeypatch.setattr(scratch_table, "STRETCH_ROWS", 100)


def opened(folder: Path, rows: list[str]) -> Source:
    (folder / "own.csv").write_text("\n".join([",".join(NAMES), *rows]) + "\n")
    return open_source(folder / "own.csv", "own.csv", NAMES)


def whole(folder: Path, rows: list[str], monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(csv_table, "_IN_MEMORY", 2**30)
    return opened(folder, rows)


def same(one: Source, other: Source) -> None:
    ours, theirs = (table_of(each, "own.csv", NAMES).columns for each in (one, other))
    for name in NAMES:
        a, b = ours[name], theirs[name]
        assert (a.kind, a.type, a.categories) == (b.kind, b.type, b.categories)
        assert a.values.tobytes() == b.values.tobytes() and (a.missing == b.missing).all()


def test_columns_from_disk_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = opened(tmp_path, ROWS)
    assert isinstance(on_disk, ScratchSource) and on_disk.rows == len(ROWS)
    pieces = [piece["b"].values for piece in on_disk.stretches(["a", "b"])]
    assert len(pieces) > 3 and np.concatenate(pieces).tolist() == [*range(600)]
    same(on_disk, whole(tmp_path, ROWS, monkeypatch))


def words(rows: list[str]) -> list[str]:
    return [*rows[:-1], rows[-1].replace(",599,", ",many,")]


def fractions(rows: list[str]) -> list[str]:
    return [*rows[:-1], rows[-1].replace(",599,", ",599.5,")]


@pytest.mark.parametrize("change", [words, fractions])
def test_a_column_whose_type_shows_late_is_of_that_type(
    change: Callable[[list[str]], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(tmp_path, change(ROWS))
    assert found.kind("b") == ("text" if change is words else "number")
    same(found, whole(tmp_path, change(ROWS), monkeypatch))


def test_a_damaged_row_is_refused_as_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*ROWS, "p9,1"]
    with pytest.raises(InputError) as late:
        opened(tmp_path, rows)
    with pytest.raises(InputError) as early:
        whole(tmp_path, rows, monkeypatch)
    assert str(late.value) == str(early.value)


def test_a_file_counts_as_memory_where_the_folder_of_temporary_files_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(size: int) -> None:
        monkeypatch.setattr(memory, "memory_bytes", lambda: int(size / memory.MAX_SHARE))

    in_columns = 56 * (len(ROWS) + 2)  # of lines, what is read of the file
    in_file = 8 * len(NAMES) * len(ROWS)
    limit(in_columns)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patched:
        # The folder of tests may be in memory, too.
        patched.setattr(scratch_table, "is_in_memory", lambda file: False)
        assert isinstance(opened(tmp_path, ROWS), ScratchSource)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    with pytest.raises(InputError, match="set TMPDIR to a folder on disk"):
        opened(tmp_path, ROWS)
    limit(in_columns + in_file // 2)
    with pytest.raises(InputError, match="set TMPDIR to a folder on disk"):
        opened(tmp_path, ROWS)
    limit(in_columns + 3 * in_file)  # batches of a hundred rows have large headers
    assert isinstance(opened(tmp_path, ROWS), ScratchSource)
