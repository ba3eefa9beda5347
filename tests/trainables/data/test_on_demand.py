"""Columns of a table that are looked at on demand are read seldom, and one at a time."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from trainables.data.formats import parquet_table
from trainables.data.formats.on_demand import open_table
from trainables.data.formats.table import Column, Source, Table
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles

SEQUENCES, STEPS, STEADY, FEATURES = 12, 5, 20, 20
MOST_READS = 7  #: of a column: for each part that it may play, for figures and for warnings


class CountingSource:
    """A source that counts how often each of its columns is read whole."""

    def __init__(self, source: Source) -> None:
        self._source, self.reads = source, Counter[str]()
        self.rows, self.files, self.begins = source.rows, source.files, source.begins
        self.kind, self.stretches = source.kind, source.stretches

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See Source."""
        self.reads.update(names)
        return self._source.columns(names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table of two columns of parts, and many that are the same in a sequence or change in it."""
    draw = np.random.default_rng(0)
    steady = {f"s{at}": draw.integers(0, 9, SEQUENCES).repeat(STEPS) for at in range(STEADY)}
    varying = {f"f{at}": draw.standard_normal(SEQUENCES * STEPS) for at in range(FEATURES)}
    columns = {
        "id": np.arange(SEQUENCES).repeat(STEPS),
        **steady,
        **varying,
        "class": (np.arange(SEQUENCES) % 2).repeat(STEPS),
    }
    parquet.write_table(pa.table(columns), tmp_path / "own.parquet")
    return tmp_path / "own.parquet"


def opened(path: Path) -> tuple[CountingSource, Table]:
    names = parquet_table.names(path, path.name)
    source = CountingSource(parquet_table.open_source(path, path.name, names))
    return source, open_table(source, path.name, names)


def test_each_column_is_read_a_few_times_whatever_their_number(path: Path) -> None:
    source, table = opened(path)
    inspect(path, path.name, table, find_roles(table, {}))
    assert max(source.reads.values()) <= MOST_READS


def test_a_column_is_found_among_others_without_reading_any(path: Path) -> None:
    source, table = opened(path)
    *others, column = table.columns.values()
    assert column in [*others, table.columns[column.name]] and column not in others
    assert not source.reads
