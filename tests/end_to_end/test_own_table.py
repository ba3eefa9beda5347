"""From a table to a verdict in two commands, and the same results whatever the format."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pumps
import pytest
import yaml
from installed import gatesearch
from pyarrow import csv as arrow
from pyarrow import parquet
from small_trainings import points, small_config

from search import GateSearch
from search.results.read import read_results
from spaces.own_task import OwnData
from trainables.data.tasks import load
from trainables.training.trainer import Training

ROLES = {"id": "pump", "time": "stamp", "target": "state"}
PUMPS = Path(__file__).resolve().parents[1] / "data" / "own" / "pumps.csv"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_table_comes_to_a_verdict_by_two_commands(tmp_path: Path) -> None:
    pumps.write(tmp_path / "pumps.csv", 24)
    gatesearch("init", "pumps.csv", "--out", "job.yaml", cwd=tmp_path)
    said = " ".join(gatesearch("run", "job.yaml", cwd=tmp_path, seconds=800).split())
    verdict = json.loads((tmp_path / "runs" / "pumps" / "verdict.json").read_text())
    assert verdict["sentence"][:60] in said
    rows = gatesearch("predict", "runs/pumps/best", "pumps.csv", cwd=tmp_path).splitlines()
    predicted = [row for row in csv.DictReader(rows) if row.get("probability")]
    assert [row["sequence"] for row in predicted] == [f"p{number:03}" for number in range(24)]
    assert {row["class"] for row in predicted} <= {"new", "worn", "leaking"}


@pytest.mark.parametrize("suffix", ["parquet", "npz", "ts"])
def test_a_training_is_the_same_whatever_the_format_of_its_data(
    suffix: str, tmp_path: Path
) -> None:
    table = arrow.read_csv(PUMPS)
    parquet.write_table(table, tmp_path / "pumps.parquet")
    sequences, y = arrays()
    np.savez(
        tmp_path / "pumps.npz",
        x=np.concatenate(sequences),
        lengths=[len(each) for each in sequences],
        y=y,
    )
    lines = ["@classLabel true " + " ".join(sorted(set(y))), "@data"]
    for each, label in zip(sequences, y, strict=True):
        lines.append(":".join([*(",".join(map(repr, one)) for one in each.T.tolist()), label]))
    (tmp_path / "pumps.ts").write_text("\n".join(lines) + "\n")
    roles = ROLES if suffix == "parquet" else {}
    ours = trained({"file": str(tmp_path / f"pumps.{suffix}"), **roles})
    theirs = trained({"file": str(PUMPS), **ROLES})
    assert ours.data.info.fingerprint == theirs.data.info.fingerprint
    assert points(ours) == points(theirs)
    assert ours.evaluate("test") == theirs.evaluate("test")


#: Sections of a job of seconds, one trial at a time: the same every time.
SMALL: dict[str, Any] = {
    "arms": ["lstm", "gru"],
    "space": {"depth": 1, "hidden_size": 8},
    "training": {"max_epochs": 3},
    "search": {"trials": 2},
    "confirm": {"seeds": 2},
    "resources": {"max_concurrent": 1},
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_on_a_table_and_a_fit_on_arrays_come_to_the_same(tmp_path: Path) -> None:
    task = {"kind": "classification", "data": {"file": str(PUMPS), **ROLES}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"name": "table", "task": task, **SMALL}))
    gatesearch("run", "job.yaml", cwd=tmp_path, seconds=500)
    fit = GateSearch("classification", **SMALL, root=tmp_path / "runs").fit(*arrays())
    table, own = (read_results(tmp_path / "runs" / name) for name in ("table", fit.job_.name))
    assert table.info.fingerprint == own.info.fingerprint
    figures = [
        [(t.arm, t.phase, t.number, t.value, t.test) for t in found.trials]
        for found in (table, own)
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 8
    assert (
        json.loads((tmp_path / "runs" / "table" / "verdict.json").read_text())["sentence"]
        == fit.verdict_["sentence"]
    )


def arrays() -> tuple[list[Any], Any]:
    """The sequences of the table and their classes."""
    table = arrow.read_csv(PUMPS)
    columns = {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}
    pumps, begins = np.unique(columns["pump"], return_index=True)
    x = np.stack([columns["pressure"], columns["flow"]], axis=1)
    return [x[columns["pump"] == pump] for pump in pumps], columns["state"][begins]


def trained(data: dict[str, str]) -> Training:
    training = Training(
        small_config(), load(OwnData(kind="classification", data=data), Path()), seed=5
    )
    training.advance(3)
    return training
