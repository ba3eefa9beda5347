"""Data that fits into the machine is read, and what is too large for it is refused before it is."""

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data import memory
from trainables.data.formats import csv_table, own, scratch_table
from trainables.data.inspection import source
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles
from trainables.data.tasks import load

SEQUENCES, STEPS, FEATURES = 400, 200, 16


def write(folder: Path, form: str) -> tuple[OwnData, int]:
    """Write sequences; return their task and the bytes that they take as float32."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((SEQUENCES * STEPS, FEATURES)).astype(np.float32)
    lengths, y = np.full(SEQUENCES, STEPS), np.arange(SEQUENCES) % 2
    data: Any = "own.npz"
    if form == "parquet":
        ids = np.repeat(np.arange(SEQUENCES), STEPS)
        columns = {f"f{at}": pa.array(x[:, at]) for at in range(FEATURES)}
        table = pa.table({"id": ids, **columns, "y": np.repeat(y, STEPS)})
        parquet.write_table(table, folder / "own.parquet", row_group_size=10_000)
        data = {"file": "own.parquet", "id": "id", "target": "y"}
    else:
        np.savez(folder / "own.npz", x=x.astype(form), lengths=lengths, y=y)
    return OwnData.model_validate({"kind": "classification", "data": data}), x.nbytes


#: By form, how many times the bytes of float32 reading takes at the worst moment, at most.
TAKES = {"float32": 1.1, "float64": 3.1, "int8": 1.4, "parquet": 1.7}


@pytest.mark.parametrize("form", TAKES)
def test_what_fits_is_read_and_what_does_not_is_refused(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the machine's memory may be taken; the benchmark large_data.py measures it."""
    spec, size = write(tmp_path, form)
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(TAKES[form] * size / memory.MAX_SHARE))
    assert load(spec, tmp_path).train.x.nbytes == size
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(0.9 * size / memory.MAX_SHARE))
    with pytest.raises(InputError, match="at most 25% of the machine's memory"):
        load(spec, tmp_path)


#: What a section of a task says, with which more than one copy of an .npz is in memory.
COPIES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "filled": {"data": {"missing": "forward"}},
    "masks": {"data": {"missing": "mask"}},
    "masks and times": {"data": {"missing": "mask", "time_gaps": True}},
    "times": {"data": {"time_gaps": True}},
    "logarithms": {"transform": "log"},
    "logarithms and masks": {"data": {"missing": "mask"}, "transform": "log"},
    "series": {"kind": "forecasting", "horizon": 6},
    "differences": {"kind": "forecasting", "horizon": 6, "difference": 1},
    "a long horizon": {"kind": "forecasting", "horizon": 100, "transform": "log"},
}


@pytest.mark.parametrize("case", COPIES)
def test_what_is_demanded_follows_what_reading_takes(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = COPIES[case]
    series, data = given.get("kind") == "forecasting", given.get("data", {})
    draw = np.random.default_rng(0)
    x = np.abs(draw.standard_normal((2 * SEQUENCES * STEPS, FEATURES))).astype(np.float32)
    each = len(x) // 4 if series else STEPS
    arrays: dict[str, Any] = {"x": x, "lengths": np.full(len(x) // each, each)}
    if not series:
        arrays["y"] = np.arange(2 * SEQUENCES) % 2
    if data.get("time_gaps"):
        arrays["time"] = np.arange(len(x), dtype=np.float32)
    if "missing" in data:
        x[draw.random(x.shape) < 0.1] = np.nan
    np.savez(tmp_path / "own.npz", allow_pickle=False, **arrays)
    task = {"kind": "classification", **given, "data": {"file": "own.npz", **data}}
    spec = OwnData.model_validate(task)
    monkeypatch.setattr("trainables.data.rows.BLOCK_BYTES", 2**18)  # as little beside as of much
    tracemalloc.start()
    own.load(spec, tmp_path)
    takes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(1.2 * takes / memory.MAX_SHARE))
    own.load(spec, tmp_path)
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(0.75 * takes / memory.MAX_SHARE))
    with pytest.raises(InputError, match="at most 25% of the machine's memory"):
        own.load(spec, tmp_path)


def test_values_that_are_too_large_are_told_with_place_and_number(tmp_path: Path) -> None:
    rows = ["who,a,b,y", *(f"p{at // 4},{at},{-at},{at // 4}" for at in range(200))]
    for wrong, place in (("inf", "row 10: a"), ("1e300", "row 10: a")):
        changed = [*rows]
        changed[10], changed[30] = f"p2,{wrong},0,2", f"p7,{wrong},0,7"
        (tmp_path / "own.csv").write_text("\n".join(changed) + "\n")
        data = {"file": "own.csv", "id": "who", "target": "y", "features": ["a", "b"]}
        spec = OwnData.model_validate({"kind": "regression", "data": data})
        with pytest.raises(InputError, match=rf"{place}: features must be .* \(2 such values"):
            load(spec, tmp_path)
    rows = [f"{row[:-1]}inf" if row.startswith(("p2,", "p7,")) else row for row in rows]
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"row 9: y: targets must be finite.* \(2 such targets\)"):
        load(spec, tmp_path)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_table_is_inspected_though_all_its_columns_at_once_do_not_fit(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences, steps, features = 40, 50, 60
    draw, rows = np.random.default_rng(0), sequences * steps
    columns = {f"f{at}": draw.standard_normal(rows) for at in range(features)}
    ids = np.arange(sequences).repeat(steps)
    table, path = pa.table({"id": ids, **columns, "class": ids % 2}), tmp_path / f"own.{form}"
    parquet.write_table(table, path) if form == "parquet" else csv.write_csv(table, path)
    monkeypatch.setattr(csv_table, "_IN_MEMORY", 0)
    monkeypatch.setattr(scratch_table, "is_in_memory", lambda file: False)  # as tests' folders are
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(rows * 64 / memory.MAX_SHARE))
    for named, fits in (("f0", "f1"), True), (None, False):
        opened, given = source.read(path)
        found = inspect(path, path.name, opened, find_roles(opened, given, named))
        assert found.roles.targets == ("class",) and found.sequences == sequences
        if fits:
            assert not found.refusals and load(found.task, tmp_path).train.x.shape[1] == 2
        else:
            assert "name fewer features" in found.refusals[0].remedy
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(rows * 40 / memory.MAX_SHARE))
    with pytest.raises(InputError, match="use fewer rows") as refused:
        source.read(path)
    assert "features" not in str(refused.value)


#: Prints by how many bytes the process has grown at most while a table was inspected.
INSPECT = """\
from pathlib import Path
from trainables.data.inspection import source
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
def inspected(path):
    table, given = source.read(path)
    return inspect(path, path.name, table, find_roles(table, given))
inspected(Path("small.parquet"))
before = peak()
found = inspected(Path("large.parquet"))
assert found.sequences == 2000 and not found.refusals
print(peak() - before)
"""


def test_a_table_that_is_inspected_is_not_in_memory(tmp_path: Path) -> None:
    features, draw = 80, np.random.default_rng(0)
    for name, sequences in (("small", 10), ("large", 2000)):
        lengths = np.full(sequences, 200)
        columns = {
            f"f{at}": pa.array(draw.standard_normal(lengths.sum(), np.float32))
            for at in range(features)
        }
        ids, y = np.repeat(np.arange(sequences), lengths), np.repeat(lengths.cumsum() % 3, lengths)
        table = pa.table({"id": ids, **columns, "class": y})
        # Of each column that is read, some pages are in memory: they are small.
        parquet.write_table(
            table, tmp_path / f"{name}.parquet", use_dictionary=False, data_page_size=2**14
        )
    done = subprocess.run(
        [sys.executable, "-c", INSPECT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 0.6 * 4 * features * int(lengths.sum())
