"""From a table to a verdict in two commands, and the same results whatever the format."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from installed import alike, gatesearch, records
from pyarrow import csv as arrow
from pyarrow import parquet

PUMPS = Path(__file__).resolve().parents[1] / "data" / "own" / "pumps.csv"


@pytest.mark.slow
def test_a_table_comes_to_a_verdict_by_two_commands(tmp_path: Path) -> None:
    (tmp_path / "pumps.csv").write_bytes(PUMPS.read_bytes())
    gatesearch("init", "pumps.csv", "--out", "job.yaml", cwd=tmp_path)
    said = " ".join(gatesearch("run", "job.yaml", cwd=tmp_path).split())
    verdict = json.loads((tmp_path / "runs" / "pumps" / "verdict.json").read_text())
    assert verdict["sentence"][:60] in said
    rows = gatesearch("predict", "runs/pumps/best", "pumps.csv", cwd=tmp_path).splitlines()
    predicted = [row for row in csv.DictReader(rows) if row.get("probability")]
    assert [row["sequence"] for row in predicted] == [f"p{number:02}" for number in range(24)]
    assert {row["class"] for row in predicted} <= {"new", "worn", "leaking"}


JOB = """\
name: {name}
task: {{kind: classification, data: {data}}}
arms: [gru]
space: {{depth: 1, hidden_size: 8}}
training: {{max_epochs: 3}}
search: {{trials: 2}}
confirm: {{seeds: 1}}
resources: {{max_concurrent: 1}}
"""


@pytest.mark.slow
def test_a_job_gives_the_same_results_whatever_the_format_of_its_data(tmp_path: Path) -> None:
    (tmp_path / "pumps.csv").write_bytes(PUMPS.read_bytes())
    table = arrow.read_csv(PUMPS)
    parquet.write_table(table, tmp_path / "pumps.parquet")
    columns = {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}
    _, begins, lengths = np.unique(columns["pump"], return_index=True, return_counts=True)
    np.savez(
        tmp_path / "pumps.npz",
        x=np.stack([columns["pressure"], columns["flow"]], axis=1),
        lengths=lengths,
        y=columns["state"][begins],
    )
    found = []
    for suffix in ("csv", "parquet", "npz"):
        data = f"{{file: pumps.{suffix}, id: pump, time: stamp, target: state}}"
        data = "pumps.npz" if suffix == "npz" else data
        (tmp_path / f"{suffix}.yaml").write_text(JOB.format(name=suffix, data=data))
        gatesearch("run", f"{suffix}.yaml", cwd=tmp_path)
        found.append(alike(records(tmp_path, suffix)))
    assert found[0] == found[1] == found[2]
