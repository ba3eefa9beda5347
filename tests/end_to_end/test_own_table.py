"""From a table to a verdict in two commands, and the same results whatever the format."""

import csv
import json
from pathlib import Path

import numpy as np
import pumps
import pytest
from installed import gatesearch
from pyarrow import csv as arrow
from pyarrow import parquet
from small_trainings import points, small_config

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


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_a_training_is_the_same_whatever_the_format_of_its_data(
    suffix: str, tmp_path: Path
) -> None:
    table = arrow.read_csv(PUMPS)
    columns = {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}
    parquet.write_table(table, tmp_path / "pumps.parquet")
    _, begins, lengths = np.unique(columns["pump"], return_index=True, return_counts=True)
    np.savez(
        tmp_path / "pumps.npz",
        x=np.stack([columns["pressure"], columns["flow"]], axis=1),
        lengths=lengths,
        y=columns["state"][begins],
    )
    roles = {} if suffix == "npz" else ROLES
    ours = trained({"file": str(tmp_path / f"pumps.{suffix}"), **roles})
    theirs = trained({"file": str(PUMPS), **ROLES})
    assert ours.data.info.fingerprint == theirs.data.info.fingerprint
    assert points(ours) == points(theirs)
    assert ours.evaluate("test") == theirs.evaluate("test")


def trained(data: dict[str, str]) -> Training:
    training = Training(
        small_config(), load(OwnData(kind="classification", data=data), Path()), seed=5
    )
    training.advance(3)
    return training
