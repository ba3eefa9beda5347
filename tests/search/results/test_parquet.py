"""results.parquet holds what the records hold, in the same columns at every stage of a job."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_results import STRINGS, job_text, made

from search.results.parquet import write_parquet
from spaces.config import TrialConfig


def test_every_record_is_a_row_with_its_configuration_and_curve(tmp_path: Path) -> None:
    results = made(tmp_path)
    first = results.trials[0]
    patient = first.config.model_copy(update={"patience": 5, "gradient_clip": None})
    results.trials[0] = replace(first, config=patient)
    write_parquet(results, tmp_path / "results.parquet")
    rows = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert len(rows) == len(results.trials)
    for row, record in zip(rows, results.trials, strict=True):
        assert {name: row[f"config_{name}"] for name in TrialConfig.model_fields} == (
            record.config.model_dump(mode="json")
        )
        assert (row["arm"], row["phase"], row["state"]) == (record.arm, record.phase, record.state)
        assert row["value"] == record.value and row["seed"] == record.seed
        assert [point["value"] for point in row["curve"]] == [each.value for each in record.curve]
        assert row["test_accuracy"] == (record.test or {}).get("accuracy")


@pytest.mark.parametrize("trials", [0, 3])
def test_an_unfinished_jobs_columns_are_a_finished_ones(tmp_path: Path, trials: int) -> None:
    whole, part = tmp_path / "whole.parquet", tmp_path / "part.parquet"
    write_parquet(made(tmp_path), whole)
    write_parquet(made(tmp_path, trials=trials, phase="search"), part)
    assert pq.read_schema(part) == pq.read_schema(whole)
    assert pq.read_metadata(part).num_rows == 3 * trials


def test_the_tasks_metrics_are_columns(tmp_path: Path) -> None:
    text = job_text(task="{name: symbolic, complexity: 30}")
    write_parquet(made(tmp_path, text, STRINGS), tmp_path / "results.parquet")
    schema = pq.read_schema(tmp_path / "results.parquet")
    assert "test_bits-per-token" in schema.names
    assert schema.metadata[b"job"] == b"vowels"


def test_a_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    results = made(tmp_path)
    write_parquet(results, path)
    before = path.read_bytes()
    record = results.trials[0]
    broken = replace(record, config=record.config.model_copy(update={"depth": "three"}))
    results.trials[0] = broken
    with pytest.raises(Exception, match="three"):
        write_parquet(results, path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".results*"))
