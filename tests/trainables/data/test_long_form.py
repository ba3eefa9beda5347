"""Own data from tables: the same as from arrays, whatever the format, and refused by row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from refusals import refused

from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

N = 20
LENGTHS = np.random.default_rng(0).integers(3, 9, N)
STATES = ["worn", "new", "leaking"]

Columns = dict[str, Any]


def pumps() -> Columns:
    """Columns of a sound table: 20 pumps, three states."""
    rng = np.random.default_rng(1)
    steps = int(LENGTHS.sum())
    state = [STATES[pump % 3] for pump in range(N)]
    return {
        "pump": np.repeat([f"p{pump:02}" for pump in range(N)], LENGTHS),
        "stamp": np.concatenate([np.arange(n) * 0.5 for n in LENGTHS]),
        "pressure": rng.normal(size=steps).astype(np.float32),
        "flow": rng.integers(0, 100, steps),
        "state": np.repeat(state, LENGTHS),
    }


def write_csv(path: Path, columns: Columns) -> None:
    csv.write_csv(pa.table(columns), path)


def write_parquet(path: Path, columns: Columns) -> None:
    parquet.write_table(pa.table(columns), path)


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
}
ROLES = {"id": "pump", "time": "stamp", "target": "state"}


def load_table(
    folder: Path, columns: Columns, suffix: str = ".csv", kind: Any = "classification", **roles: Any
) -> Data:
    WRITERS[suffix](folder / f"pumps{suffix}", columns)
    return load(OwnData(kind=kind, data={"file": f"pumps{suffix}", **roles}), folder)


def load_arrays(folder: Path, columns: Columns) -> Data:
    x = np.stack([columns["pressure"], columns["flow"]], axis=1)
    begins = np.cumsum(LENGTHS) - LENGTHS
    np.savez(folder / "pumps.npz", x=x, lengths=LENGTHS, y=columns["state"][begins])
    return load(OwnData(kind="classification", data="pumps.npz"), folder)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_table_gives_the_same_data_as_arrays(suffix: str, tmp_path: Path) -> None:
    table = load_table(tmp_path, pumps(), suffix, **ROLES)
    arrays = load_arrays(tmp_path, pumps())
    assert table.info.fingerprint == arrays.info.fingerprint
    assert table.info.labels == arrays.info.labels == ("leaking", "new", "worn")
    for ours, theirs in zip(table.parts, arrays.parts, strict=True):
        np.testing.assert_array_equal(ours.all_steps(), theirs.all_steps())


def test_rows_may_lie_in_any_order_where_a_time_is_named(tmp_path: Path) -> None:
    columns = pumps()
    begins = np.cumsum(LENGTHS) - LENGTHS
    rest = np.setdiff1d(np.arange(LENGTHS.sum()), begins)
    shuffled = np.concatenate([begins, np.random.default_rng(2).permutation(rest)])
    mixed = {name: values[shuffled] for name, values in columns.items()}
    assert load_table(tmp_path, mixed, **ROLES).info == load_table(tmp_path, columns, **ROLES).info


def test_semicolons_and_tabs_separate_as_commas_do(tmp_path: Path) -> None:
    expected = load_table(tmp_path, pumps(), **ROLES).info
    text = (tmp_path / "pumps.csv").read_text()
    for delimiter in (";", "\t"):
        (tmp_path / "pumps.csv").write_text("\ufeff" + text.replace(",", delimiter), "utf-8")
        spec = OwnData(kind="classification", data={"file": "pumps.csv", **ROLES})
        assert load(spec, tmp_path).info == expected


def test_text_among_the_features_is_one_hot(tmp_path: Path) -> None:
    columns = pumps()
    columns["mode"] = np.where(columns["flow"] > 50, "high", "low")
    spec = {**ROLES, "features": ["pressure", "mode"]}
    data = load_table(tmp_path, columns, **spec)
    assert data.info.inputs == 3
    found = data.train.unscaled()[:][:, 1:]
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    assert data.info.columns is not None
    assert data.info.columns.features[1].inputs == ["mode=high", "mode=low"]


def test_classes_may_be_any_whole_numbers_and_are_in_their_order(tmp_path: Path) -> None:
    columns = pumps()
    columns["state"] = np.repeat([(10, -2, 9)[pump % 3] for pump in range(N)], LENGTHS)
    assert load_table(tmp_path, columns, **ROLES).info.labels == (-2, 9, 10)
    columns["state"] = columns["state"].astype(str)
    assert load_table(tmp_path, columns, ".parquet", **ROLES).info.labels == (-2, 9, 10)


def test_split_and_group_columns_say_which_part_a_sequence_is_in(tmp_path: Path) -> None:
    columns = pumps()
    part = ["train"] * 12 + ["val"] * 4 + ["test"] * 4
    columns["part"] = np.repeat(part, LENGTHS)
    columns["site"] = np.repeat(np.arange(N) // 4, LENGTHS)
    data = load_table(tmp_path, columns, **ROLES, split="part", group="site")
    assert [len(split) for split in data.parts] == [12, 4, 4]
    assert data.dealing.official_test and data.dealing.group is not None
    assert data.info.inputs == 2  # neither column is a feature


@pytest.mark.parametrize("suffix", WRITERS)
def test_symbols_may_be_text(suffix: str, tmp_path: Path) -> None:
    columns = {"line": np.repeat(np.arange(12), 5), "note": np.array(list("abcde") * 12)}
    data = load_table(tmp_path, columns, suffix, "next-token", id="line", features=["note"])
    assert (data.info.inputs, data.info.outputs) == (5, 5)
    assert data.info.labels == ("a", "b", "c", "d", "e")
    assert data.train.x[:5].tolist() == [0, 1, 2, 3, 4]


def changed(name: str, at: Any, value: Any, dtype: Any = None) -> Columns:
    columns = pumps()
    columns[name] = np.array(columns[name], dtype=dtype or object)
    columns[name][at] = value
    columns[name] = columns[name].tolist()
    return columns


LAST = int(LENGTHS.sum()) - 1
#: columns, roles beside the usual ones, where the problem is, parts of the rule and the remedy
REFUSED: dict[str, tuple[Columns, dict[str, Any], str, str, str]] = {
    "a missing number": (
        changed("pressure", 16, None), {}, "row 17: pressure", "missing", "fill the gaps"
    ),
    "a missing id": (changed("pump", 3, None), {}, "row 4: pump", "missing", "leave"),
    "a missing target": (changed("state", 3, None), {}, "row 4: state", "missing", "leave"),
    "an infinite number": (
        changed("pressure", LAST, np.inf), {}, f"row {LAST + 1}: pressure", "finite", "fill"
    ),
    "two targets in one sequence": (
        changed("state", 1, "new"), {}, "row 2: state", "one target", "cut sequences"
    ),
    "numbers with one text": (
        changed("flow", 5, "?", str), {"features": ["pressure", "flow"]}, "row 6: flow",
        "with a decimal point, or names alone; here stands ?", "leave the cell empty",
    ),
    "a decimal comma": (
        pumps() | {"flow": np.array(["1,5"] * (LAST + 1))}, {"features": ["flow"]}, "row 1: flow",
        "decimal point", "correct",
    ),
    "a time that is text": (
        changed("stamp", slice(None), "noon", str), {}, "stamp", "ISO 8601", "another column"
    ),
    "classes with fractions": (
        pumps() | {"state": np.repeat(np.arange(N) / 8, LENGTHS)}, {}, "state",
        "text or whole numbers, not double", "kind: regression",
    ),
    "ids with fractions": (
        pumps() | {"pump": np.repeat(np.arange(N) / 8, LENGTHS)}, {}, "pump",
        "text or whole numbers", "another",
    ),
    "one class": (
        changed("state", slice(None), "new"), {}, "state", "all 20 sequences have class new",
        "check",
    ),
    "an unknown column": (
        pumps(), {"features": ["presure"]}, "", "column presure; it has pump, stamp, pressure",
        "did you mean pressure?",
    ),
    "too few sequences": (
        {name: values[:4] for name, values in pumps().items()}, {}, "pump", "too few", "split"
    ),
    "an unknown part": (
        pumps() | {"part": np.repeat("dev", LAST + 1)}, {"split": "part"}, "row 1: part", "'dev'",
        "rename",
    ),
    "nothing to read": (
        {name: pumps()[name] for name in ("pump", "stamp", "state")}, {}, "", "column of numbers",
        "features: [COLUMN, …]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_in_a_table_is_refused_by_row_and_column(
    case: str, suffix: str, tmp_path: Path
) -> None:
    columns, roles, place, rule, remedy = REFUSED[case]
    with pytest.raises(InputError) as caught:
        load_table(tmp_path, columns, suffix, **{**ROLES, **roles})
    (problem,) = caught.value.problems
    assert problem.place == f"pumps{suffix}" + (f": {place}" if place else "")
    assert rule in problem.rule
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "line of the columns' names"),
        ("pump,stamp,pressure,state\n", "no rows"),
        ("pump,pump,stamp,state\n", "pump is there twice"),
        ("pump,stamp,pressure,state\na,1,2\n", "Expected 4 columns, got 3"),
        ('pump,stamp,pressure,state\na,1,2,"b\n', "one line"),
        ("pump,stamp,pressure,state\na,1,2,\xff\n", "text"),
        ('pump,stamp,"pressure,state\na,1,2,b\n', "names must be readable"),
    ],
)
def test_a_csv_of_another_form_is_refused(text: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "pumps.csv").write_bytes(text.encode("latin-1"))
    spec = OwnData(kind="classification", data={"file": "pumps.csv", **ROLES})
    refused(lambda: load(spec, tmp_path), "pumps.csv", rule)


def test_a_table_beyond_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in WRITERS:
        load_table(tmp_path, pumps(), suffix, **ROLES)
        monkeypatch.setattr("trainables.data.memory.memory_bytes", lambda: 10_000)
        spec = OwnData(kind="classification", data={"file": f"pumps{suffix}", **ROLES})
        refused(lambda spec=spec: load(spec, tmp_path), "of the machine's memory")
        monkeypatch.undo()


def test_new_tables_are_read_as_the_one_of_training(tmp_path: Path) -> None:
    columns = pumps()
    columns["mode"] = np.where(columns["flow"] > 50, "high", "low")
    info = load_table(tmp_path, columns, **ROLES, features=["mode", "flow"]).info
    assert TaskInfo.from_dict({**vars(info), "metric": vars(info.metric), "columns": None})
    few = {name: columns[name][: LENGTHS[0]] for name in ("flow", "pump", "mode", "stamp")}
    write_parquet(tmp_path / "new.parquet", few)
    sequences, ragged = read_new(tmp_path / "new.parquet", info)
    expected = np.stack([few["mode"] == "high", few["mode"] == "low", few["flow"]], axis=1)
    np.testing.assert_array_equal(sequences.x, expected.astype(np.float32))
    assert ragged.ids is not None and ragged.ids.tolist() == ["p00"]
    few["mode"] = np.array(["off"] * len(few["flow"]))
    write_csv(tmp_path / "new.csv", few)
    refused(lambda: read_new(tmp_path / "new.csv", info), "row 1: mode", "of training, not off")


def test_columns_of_float32_stay_so_and_give_the_same_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60).astype(np.float32)
    ids, y = np.repeat(np.arange(12), 5), np.repeat(np.arange(12) % 2, 5)
    prints = set()
    for kind in (pa.float32(), pa.float64()):
        table = pa.table({"id": ids, "x": pa.array(x, kind), "y": y})
        parquet.write_table(table, tmp_path / "short.parquet")
        data = {"file": "short.parquet", "id": "id", "target": "y"}
        prints.add(load(OwnData(kind="classification", data=data), tmp_path).info.fingerprint)
    assert len(prints) == 1
