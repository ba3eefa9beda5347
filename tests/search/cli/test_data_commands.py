"""`inspect` says what is in a user's data and what to mind; `init` writes a job file for it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from refusals import refused

from search.cli.data import init, inspect
from search.job.spec import JobSpec
from search.run import session
from spaces.own_task import OwnData

PUMPS = Path(__file__).resolve().parents[2] / "data" / "own" / "pumps.csv"
Row = dict[str, str]


def rows() -> list[Row]:
    return list(csv.DictReader(PUMPS.read_text().splitlines()))


def write(path: Path, table: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def found(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    inspect(path, as_json=True, **options)
    plain: dict[str, Any] = json.loads(capsys.readouterr().out)
    return plain


def test_parts_of_columns_follow_from_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    plain = found(PUMPS, capsys)
    assert plain["columns"] == {"id": "pump", "time": "stamp", "target": "state"}
    assert [feature["name"] for feature in plain["features"]] == ["pressure", "flow"]
    assert (plain["kind"], plain["sequences"]) == ("classification", 24)
    assert plain["classes"] == {"leaking": 8, "new": 8, "worn": 8}
    assert plain["refusals"] == []


def test_names_of_columns_do_not_matter_where_values_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {"pump": "aa", "stamp": "bb", "pressure": "cc", "flow": "dd", "state": "ee"}
    table = [{new[name]: value for name, value in row.items()} for row in rows()]
    plain = found(write(tmp_path / "pumps.csv", table), capsys)
    assert plain["columns"] == {"id": "aa", "time": "bb", "target": "ee"}


def test_what_the_user_says_stands(capsys: pytest.CaptureFixture[str]) -> None:
    plain = found(PUMPS, capsys, features="flow", group="state", kind="next-step")
    assert plain["kind"] == "next-step" and "target" not in plain["columns"]
    assert [feature["name"] for feature in plain["features"]] == ["flow"]
    assert "0 or 1" in plain["refusals"][0]["rule"]


def test_arrays_are_inspected_as_tables_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    x, lengths = rng.normal(size=(60, 2)), np.full(20, 3)
    np.savez(path, x=x, lengths=lengths, y=rng.normal(size=20))
    assert found(path, capsys)["kind"] == "regression"
    np.savez(path, x=x, lengths=lengths, y=np.array(["a", "b"] * 10))
    assert found(path, capsys)["classes"] == {"a": 10, "b": 10}
    np.savez(path, x=rng.integers(0, 2, (60, 3)), lengths=lengths)
    assert found(path, capsys)["kind"] == "next-step"
    np.savez(path, x=rng.integers(0, 9, 60), lengths=lengths)
    assert found(path, capsys)["kind"] == "next-token"


def each(change: Callable[[Row], dict[str, str]]) -> list[Row]:
    return [{**row, **change(row)} for row in rows()]


def copied() -> list[Row]:
    return [*rows(), *({**row, "pump": "copy"} for row in rows() if row["pump"] == "p00")]


def number(row: Row) -> int:
    return int(row["pump"][1:])


def split_of(row: Row) -> dict[str, str]:
    return {"part": "test" if number(row) % 4 == 0 else "val" if number(row) % 4 == 1 else "train"}


#: What a table has, and a part of the sentence that warns of it.
PITFALLS: dict[str, tuple[Callable[[], list[Row]], str]] = {
    "a column that is the target renamed": (
        lambda: each(lambda row: {"code": str(len(row["state"]))}), "code tells state"
    ),
    "copies": (copied, "1 sequence is a copy of others"),
    "copies across a split": (
        lambda: [
            {**row, **({"part": "train"} if row["pump"] == "copy" else split_of(row))}
            for row in copied()
        ],
        "have exact copies in another part",
    ),
    "a constant feature": (lambda: each(lambda row: {"flow": "5"}), "flow never changes"),
    "rows out of order": (lambda: rows()[::-1], "do not lie in the order of stamp"),
    "gaps in time": (
        lambda: [r for r in each(dict) if r["stamp"][14:16] not in ("01", "02", "03")]
        + [{**r, "pump": f"q{r['pump']}"} for r in rows()],
        "gaps in stamp",
    ),
    "equal times": (
        lambda: each(lambda row: {"stamp": row["stamp"].replace("00:01:00", "00:00:00")}),
        "same stamp as the one before",
    ),
    "few sequences": (rows, "too few sequences for a sure verdict: about 5 are for test, of 24"),
    "a rare class": (
        lambda: each(lambda row: {"state": "odd"} if number(row) < 3 else {}),
        "classes with fewer than 5 sequences: odd",
    ),
    "few groups": (
        lambda: each(lambda row: {"site": str(number(row) % 8 // 3)}), "only 3 groups in site"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PITFALLS)
def test_inspect_warns_of_what_makes_a_comparison_worth_less(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, warning = PITFALLS[case]
    plain = found(write(tmp_path / "pumps.csv", table()), capsys)
    assert [text for text in plain["warnings"] if warning in text], plain["warnings"]
    before = found(PUMPS, capsys)["warnings"]
    assert case == "few sequences" or not [text for text in before if warning in text]


def test_ids_that_are_split_apart_are_warned_of_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = each(split_of)
    table[1]["part"] = "val"
    plain = found(write(tmp_path / "pumps.csv", table), capsys)
    assert "rows of one sequence differ in part, their part" in plain["warnings"]
    assert plain["refusals"][0]["place"].endswith("pumps.csv: row 2: part")


def test_missing_values_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows()
    table[4]["flow"] = table[9]["flow"] = ""
    path = write(tmp_path / "pumps.csv", table)
    plain = found(path, capsys)
    assert {feature["name"]: feature["missing"] for feature in plain["features"]}["flow"] == 2
    assert plain["refusals"] == []
    init(path, tmp_path / "job.yaml")
    assert session.load(tmp_path / "job.yaml")[1].info.missing == "forward"


def test_init_writes_a_job_file_that_validates_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs").mkdir()
    path = write(tmp_path / "my pumps.csv", each(lambda row: {"code": row["state"][:1]}))
    init(path, tmp_path / "jobs" / "job.yaml")
    job, data = session.load(tmp_path / "jobs" / "job.yaml")
    assert (job.name, data.info.kind, data.info.inputs) == ("my-pumps", "classification", 2)
    text = (tmp_path / "jobs" / "job.yaml").read_text()
    assert "file: ../my pumps.csv" in text
    assert "# 3 classes: leaking, new, worn" in text and "# mind: too few sequences" in text
    assert "gatesearch run" in capsys.readouterr().out
    refused(lambda: init(path, tmp_path / "jobs" / "job.yaml"), "--out", "must not exist")


@pytest.mark.parametrize(("sequences", "epochs"), [(50, 243), (300, 81), (1000, 27)])
def test_small_data_is_trained_for_more_epochs(sequences: int, epochs: int, tmp_path: Path) -> None:
    lengths, y = np.full(sequences, 3), np.arange(sequences) % 2
    x = np.random.default_rng(0).normal(size=(3 * sequences, 1))
    np.savez(tmp_path / "own.npz", x=x, lengths=lengths, y=y)
    init(tmp_path / "own.npz", tmp_path / "job.yaml")
    training = JobSpec.load(tmp_path / "job.yaml").training
    assert (training.max_epochs, training.patience) == (epochs, epochs // 3)


def test_init_tries_how_series_are_learned_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    months = np.arange(144)
    sold = np.exp(months / 40) * (20 + 8 * np.sin(2 * np.pi * months / 12))
    table = [{"month": str(month), "sold": f"{value:.1f}"} for month, value in enumerate(sold)]
    init(write(tmp_path / "sales.csv", table), tmp_path / "job.yaml", kind="forecasting")
    task = JobSpec.load(tmp_path / "job.yaml").task
    assert isinstance(task, OwnData)
    assert (task.season, task.difference, task.transform) == (12, 12, "log")
    assert "A small GRU is off by" in (tmp_path / "job.yaml").read_text()
    assert "trying how the series are learned best" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a: b", "1e3", "no", "x, y]", "#", "'", "ü\t"])
def test_odd_names_of_columns_come_through_whole(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = [{name if key == "flow" else key: v for key, v in row.items()} for row in rows()]
    init(write(tmp_path / "pumps.csv", table), tmp_path / "job.yaml")
    assert session.load(tmp_path / "job.yaml")[1].info.inputs == 2
    init(tmp_path / "pumps.csv", None, name="a b")
    shown = yaml.safe_load(capsys.readouterr().out.partition("run ")[2].partition("\n")[2])
    assert JobSpec.load(tmp_path / "job.yaml").arms and shown["name"] == "a-b"


@pytest.mark.parametrize(
    ("y", "rule"),
    [
        (np.zeros((4, 1)), "y must be [n, labels]"),
        (np.zeros(8), "y must be [n]"),
        (np.array([["a", "b"]] * 4), "multi-label targets must be numbers"),
        (np.zeros((4, 2, 2)), "y must be [n]"),
    ],
)
def test_targets_of_no_kind_are_refused(y: Any, rule: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((8, 2)), lengths=[2] * 4, y=y)
    refused(lambda: inspect(tmp_path / "own.npz"), "own.npz: y: ", rule, "remedy")
