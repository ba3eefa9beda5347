"""Labels and several numbers in columns of a table: the same as from arrays, or refused by row."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import csv, parquet
from refusals import refused

from search.run import session
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

N = 30
LENGTHS = np.random.default_rng(0).integers(3, 9, N)
X = np.random.default_rng(1).normal(size=(int(LENGTHS.sum()), 2)).astype(np.float32)
LABELS = np.random.default_rng(2).integers(0, 2, (N, 3))
NUMBERS = np.random.default_rng(3).normal(size=(N, 3)) * [1, 100, 0.01]
NAMES = ("cough", "fever", "rash")
FORMS = ("csv", "parquet", "folder", "folder of parquet")


def rows(y: Any) -> dict[str, Any]:
    columns = {"who": np.repeat([f"w{n:02}" for n in range(N)], LENGTHS), "a": X[:, 0]}
    columns |= {"cough": np.repeat(y[:, 0], LENGTHS), "b": X[:, 1]}
    return columns | {name: np.repeat(y[:, at], LENGTHS) for at, name in enumerate(NAMES) if at}


def write(folder: Path, form: str, columns: dict[str, Any]) -> str:
    """Write a table and return its name."""
    if form in ("csv", "parquet"):
        writer = csv.write_csv if form == "csv" else parquet.write_table
        writer(pa.table(columns), folder / f"own.{form}")
        return f"own.{form}"
    (folder / "own").mkdir()
    suffix = form.split()[-1].replace("folder", "csv")
    for who in np.unique(columns["who"]):
        own = {name: c[columns["who"] == who] for name, c in columns.items() if name != "who"}
        writer = csv.write_csv if suffix == "csv" else parquet.write_table
        writer(pa.table(own), folder / "own" / f"{who}.{suffix}")
    return "own"


def from_table(folder: Path, form: str, kind: Any, y: Any, **changes: Any) -> Data:
    file = write(folder, form, rows(y))
    data: dict[str, Any] = {"file": file, "target": list(NAMES)}
    data |= {} if file == "own" else {"id": "who"}
    return load(OwnData.model_validate({"kind": kind, "data": {**data, **changes}}), folder)


def from_arrays(folder: Path, kind: Any, y: Any) -> Data:
    np.savez(folder / "own.npz", x=X, lengths=LENGTHS, y=y)
    return load(OwnData(kind=kind, data="own.npz"), folder)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("kind", "y"),
    [("multi-label", LABELS), ("multi-label", LABELS.astype(bool)), ("regression", NUMBERS)],
)
def test_columns_of_targets_are_the_data_that_arrays_give(
    kind: Any, y: Any, form: str, tmp_path: Path
) -> None:
    table, arrays = from_table(tmp_path, form, kind, y), from_arrays(tmp_path, kind, y)
    assert table.info.fingerprint == arrays.info.fingerprint
    assert table.info.outputs == arrays.info.outputs == 3
    assert table.info.labels == NAMES and arrays.info.labels is None


def test_targets_are_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    data = from_table(tmp_path, "csv", "regression", NUMBERS, target=["rash", "cough"])
    assert data.info.labels == ("rash", "cough")
    assert data.info.columns is not None
    assert [f.name for f in data.info.columns.features] == ["a", "b", "fever"]


def test_a_list_of_one_target_is_that_target(tmp_path: Path) -> None:
    written = [
        from_table(tmp_path, "csv", "regression", NUMBERS, target=t).info
        for t in ("rash", ["rash"])
    ]
    assert written[0] == written[1] and written[0].outputs == 1


def test_new_tables_have_all_targets_or_none(tmp_path: Path) -> None:
    info = from_table(tmp_path, "csv", "multi-label", LABELS).info
    assert TaskInfo.from_dict(asdict(info)) == info
    columns = {name: values[:5] for name, values in rows(LABELS).items()}
    write(tmp_path, "csv", {name: columns[name] for name in ("who", "a", "b")})
    assert read_new(tmp_path / "own.csv", info)[1].y is None
    write(tmp_path, "csv", columns)
    y = read_new(tmp_path / "own.csv", info)[1].y
    assert y is not None and y.shape == (len(set(columns["who"])), 3)
    write(tmp_path, "csv", {name: columns[name] for name in ("who", "a", "b", "cough")})
    refused(lambda: read_new(tmp_path / "own.csv", info), "columns fever and rash")


#: What is written, the kind, and the parts of what is said.
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], list[str]]] = {
    "another number": (
        "multi-label", np.where(LABELS == 1, 2, 0), {}, ["own.csv: row", ": cough", "0 or 1"]
    ),
    "text": (
        "multi-label", np.where(LABELS == 1, "yes", "no"), {}, ["own.csv: cough", "not string"]
    ),
    "text for numbers": (
        "regression", np.where(LABELS == 1, "yes", "no"), {}, ["regression targets must be numbers"]
    ),
    "infinity": (
        "regression", np.where(LABELS == 1, np.inf, 0.5), {}, ["own.csv: row", "targets must be"]
    ),
    "one label": (
        "multi-label", LABELS, {"target": "rash"}, ["target must name a column for each", "[A, B]"]
    ),
    "several classes": (
        "classification", LABELS, {}, ["one column for classification, not 3", "multi-label"]
    ),
    "twice": (
        "multi-label", LABELS, {"target": ["rash", "rash"]}, ["'rash' is target and target"]
    ),
    "no name": ("multi-label", LABELS, {"target": 3}, ["a column's name or a list of them, not 3"]),
    "none": ("multi-label", LABELS, {"target": []}, ["a column's name or a list of them, not"]),
    "unknown": ("multi-label", LABELS, {"target": ["rash", "feve"]}, ["must have the column feve"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_targets_that_break_a_rule_are_refused(case: str, tmp_path: Path) -> None:
    kind, y, changes, parts = REFUSED[case]
    file = write(tmp_path, "csv", rows(y))
    data = {"file": file, "id": "who", "target": list(NAMES), **changes}
    job = tmp_path / "job.yaml"
    job.write_text(
        yaml.safe_dump({"name": "j", "task": {"kind": kind, "data": data}, "arms": ["gru"]})
    )
    refused(lambda: session.load(job), *parts)


def test_rows_of_one_sequence_must_agree_in_each_target(tmp_path: Path) -> None:
    columns = rows(NUMBERS)
    columns["rash"][1] += 1
    write(tmp_path, "csv", columns)
    data = {"file": "own.csv", "id": "who", "target": list(NAMES)}
    spec = OwnData.model_validate({"kind": "regression", "data": data})
    refused(lambda: load(spec, tmp_path), "own.csv: row 2: rash", "must have one target")
