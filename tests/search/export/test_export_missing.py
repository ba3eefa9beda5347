"""A model of data that lacks values takes such data, in ONNX as in training."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from exported_jobs import GAPS, TABLE, SmallJob, small_job, write_table
from refusals import refused

from search.export.export import export
from search.export.predict import apply
from trainables.data import tasks


def exported(folder: Path, task: str) -> SmallJob:
    job = small_job(folder / "job", task)
    job.add("lstm", max_epochs=4, learning_rate=0.03)
    export(job.results, job.folder / "export")
    return job


@pytest.mark.parametrize("missing", GAPS)
def test_predictions_on_raw_gaps_score_as_training_did(missing: str, tmp_path: Path) -> None:
    job = exported(tmp_path, missing)
    with np.load(job.folder / "own.npz") as raw:
        x, lengths, y = raw["x"].astype(np.float32), raw["lengths"], raw["y"]
    assert np.isnan(x).any()
    part, order = job.data.validation, job.data.dealing.order
    assert order is not None
    chosen = order[len(job.data.train) : len(job.data.train) + len(part)]
    begins = np.cumsum(lengths) - lengths
    steps = [x[begins[i] : begins[i] + lengths[i]] for i in chosen]
    np.savez(tmp_path / "new.npz", x=np.concatenate(steps), lengths=lengths[chosen], y=y[chosen])
    prediction = apply(job.folder / "export", tmp_path / "new.npz")
    best = min(job.trials[0].curve, key=lambda point: point.rank(job.data.info.metric))
    assert prediction.metrics == pytest.approx(best.metrics, rel=1e-4)
    assert "Missing values (NaN)" in (job.folder / "export" / "card.md").read_text()


@pytest.mark.parametrize("missing", GAPS)
def test_the_model_reads_nothing_behind_a_sequence_s_end(missing: str, tmp_path: Path) -> None:
    job = exported(tmp_path, missing)
    session = onnxruntime.InferenceSession(job.folder / "export" / "model.onnx")
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    x[0, 1:3, 0] = x[:, 0, 1] = np.nan
    lengths = np.array([6, 4, 1])
    (outputs,) = session.run(None, {"x": x, "lengths": lengths})
    x[1, 4:], x[2, 1:] = np.nan, 1e6
    (again,) = session.run(None, {"x": x, "lengths": lengths})
    np.testing.assert_array_equal(outputs, again)
    assert np.isfinite(outputs).all()


def test_a_table_with_empty_cells_is_predicted(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    job = small_job(folder, "table")
    text = TABLE["table"].replace("target: mood", "target: mood, missing: mask")
    (folder / "job.yaml").write_text(
        f"name: small\ntask: {text}\narms: [lstm]\nspace: {{hidden_size: 8, depth: 1}}\n"
    )
    job.job = type(job.job).load(folder / "job.yaml")
    job.data = tasks.load(job.job.task, job.job.base)
    job.add("lstm")
    export(job.results, folder / "export")
    write_table(tmp_path / "new.csv")
    lines = (tmp_path / "new.csv").read_text().splitlines()
    cells = lines[2].split(",")
    lines[2] = ",".join([cells[0], "", *cells[2:]])
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    assert len(apply(folder / "export", tmp_path / "new.csv")) == 30


def test_a_model_of_complete_data_refuses_gaps(tmp_path: Path) -> None:
    job = exported(tmp_path, "classification")
    x = np.full((2, 4), np.nan)
    np.savez(tmp_path / "new.npz", x=x, lengths=np.array([2]))
    refused(lambda: apply(job.folder / "export", tmp_path / "new.npz"), "x[0, 0]", "missing")
