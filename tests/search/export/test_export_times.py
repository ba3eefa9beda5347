"""Times between steps reach a model alike in training, in ONNX and in predictions from a table."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from exported_jobs import SmallJob
from refusals import refused

from search.export.export import export
from search.export.predict import apply
from search.job.spec import JobSpec
from spaces.own_task import OwnData
from trainables.data import tasks
from trainables.data.formats.own import read_new
from trainables.data.missing import features, given, told
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data

N = 30
PARTS = ("train", "val", "test")


def rows(seed: int = 3, later: float = 1.0) -> list[dict[str, str]]:
    """Return people's steps; later: a factor of the times of those who are for test."""
    draw, found = np.random.default_rng(seed), []
    for who in range(N):
        at = datetime(2026, 1, 1)
        for _ in range(int(draw.integers(2, 8))):
            gap = 60 * draw.exponential(1 + who % 2 * 4)
            at += timedelta(seconds=round(gap * (later if who % 3 == 2 else 1)))
            values = ["" if draw.random() < 0.3 else f"{draw.normal():.3f}" for _ in "ab"]
            row = {"who": f"w{who}", "stamp": at.isoformat(), "part": PARTS[who % 3]}
            found.append({**row, "a": values[0], "b": values[1], "y": "ab"[who % 2]})
    return found


def write(path: Path, table: list[dict[str, str]]) -> None:
    lines = [",".join(table[0]), *(",".join(row.values()) for row in table)]
    path.write_text("\n".join(lines) + "\n")


def section(**more: object) -> dict[str, object]:
    names = {"id": "who", "time": "stamp", "target": "y", "split": "part", "features": ["a", "b"]}
    return {"file": "own.csv", **names, "missing": "mask", "time_gaps": True, **more}


def load(folder: Path, **more: object) -> Data:
    data = section(**more)
    return tasks.load(OwnData(kind="classification", data=data), folder)  # type: ignore[arg-type]


def test_a_model_is_told_seconds_since_the_step_before_and_since_a_value_was_there() -> None:
    nan = float("nan")
    x = np.array([[1, nan], [nan, 2], [nan, nan], [4, 5], [nan, 6]], np.float32)
    gap = np.array([0, 3, 5, 0, 7], np.float32)
    found = told(x, np.array([3, 2]), "mask", gap)
    np.testing.assert_array_equal(found[:, 4:6], [[0, 0], [3, 3], [8, 5], [0, 0], [7, 7]])
    np.testing.assert_array_equal(found[:, 6], gap)
    assert told(x, np.array([3, 2]), "mean", gap).shape == (5, 3)


def test_gaps_are_seconds_divided_by_their_mean_in_training(tmp_path: Path) -> None:
    write(tmp_path / "own.csv", rows())
    data = load(tmp_path)
    assert (data.info.inputs, features(data.info), given(data.info)) == (7, 2, 3)
    raw, scaled = data.train.unscaled()[:][:, -1], data.train.all_steps()[:, -1]
    begins = np.cumsum(data.train.lengths) - data.train.lengths
    assert (raw[begins] == 0).all() and raw.max() > 60
    assert np.delete(scaled, begins).mean() == pytest.approx(1, rel=1e-5)
    assert load(tmp_path, missing="mean").info.inputs == 3
    again = redeal(data, Split("splits", 1))
    assert again.train.scaling is not None and again.info.gaps


def test_times_of_test_sequences_change_nothing_that_is_fitted(tmp_path: Path) -> None:
    found = []
    for later in (1.0, 50.0):
        write(tmp_path / "own.csv", rows(later=later))
        found.append(load(tmp_path))
    one, other = (data.train.scaling for data in found)
    assert one is not None and other is not None
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(found[0].test.all_steps(), found[1].test.all_steps())


def test_gaps_without_times_and_of_what_is_predicted_are_refused() -> None:
    for data, kind, rule in (
        (section(time=None), "classification", "time_gaps must have a time"),
        ({"file": "own.csv", "time": "t", "time_gaps": True}, "next-step", "must not be given"),
    ):
        with pytest.raises(ValueError, match=rule):
            OwnData(kind=kind, data=data)  # type: ignore[arg-type]


def exported(folder: Path, arm: str, missing: str) -> SmallJob:
    folder.mkdir()
    write(folder / "own.csv", rows())
    names = "id: who, time: stamp, target: y, split: part, features: [a, b]"
    task = f"{{file: own.csv, {names}, missing: {missing}, time_gaps: true}}"
    (folder / "job.yaml").write_text(
        f"name: small\ntask: {{kind: classification, data: {task}}}\narms: [{arm}]\n"
        "space: {hidden_size: 8, depth: 2}\n"
    )
    job = JobSpec.load(folder / "job.yaml")
    made = SmallJob(folder, job, tasks.load(job.task, job.base))
    made.add(arm, depth=2)
    export(made.results, folder / "export")
    return made


@pytest.mark.parametrize(("arm", "missing"), [("gru-d", "mask"), ("cfc", "mean"), ("gru", "mask")])
def test_predictions_from_a_table_score_as_training_did(
    arm: str, missing: str, tmp_path: Path
) -> None:
    job = exported(tmp_path / "job", arm, missing)
    write(tmp_path / "new.csv", [row for row in rows() if row["part"] == "val"])
    prediction = apply(job.folder / "export", tmp_path / "new.csv")
    best = min(job.trials[0].curve, key=lambda point: point.rank(job.data.info.metric))
    assert prediction.metrics == pytest.approx(best.metrics, rel=1e-4)
    session = onnxruntime.InferenceSession(job.folder / "export" / "model.onnx")
    x = np.random.default_rng(1).random((2, 5, 3)).astype(np.float32)
    x[0, 1:3, 0] = np.nan
    lengths = np.array([5, 3])
    (outputs,) = session.run(None, {"x": x, "lengths": lengths})
    x[1, 3:] = 1e6
    np.testing.assert_array_equal(session.run(None, {"x": x, "lengths": lengths})[0], outputs)
    x[:, 1:3, -1] *= 4
    assert not np.array_equal(session.run(None, {"x": x, "lengths": lengths})[0], outputs)


def test_a_table_without_the_column_of_times_is_refused(tmp_path: Path) -> None:
    job = exported(tmp_path / "job", "gru-d", "mask")
    write(tmp_path / "new.csv", [{k: v for k, v in row.items() if k != "stamp"} for row in rows()])
    refused(lambda: apply(job.folder / "export", tmp_path / "new.csv"), "stamp", "")


def npz_of(table: list[dict[str, str]], path: Path, **changed: object) -> None:
    """Write what a table holds as arrays: times in seconds."""
    whose = [row["who"] for row in table]
    first = [at for at, who in enumerate(whose) if at == 0 or who != whose[at - 1]]
    lengths = np.diff([*first, len(table)])
    time = [datetime.fromisoformat(row["stamp"]).timestamp() for row in table]
    x = [[float(row[name] or "nan") for name in "ab"] for row in table]
    y, split = ([table[at][name] for at in first] for name in ("y", "part"))
    arrays = {"x": x, "lengths": lengths, "y": y, "split": split, "time": time, **changed}
    np.savez(path, **{name: np.array(array) for name, array in arrays.items()})


def test_times_of_an_npz_are_those_of_a_table(tmp_path: Path) -> None:
    write(tmp_path / "own.csv", rows())
    npz_of(rows(), tmp_path / "own.npz")
    plain = {"file": "own.npz", "missing": "mask", "time_gaps": True}
    data = tasks.load(OwnData.model_validate({"kind": "classification", "data": plain}), tmp_path)
    assert data.info.gaps and data.info.fingerprint == load(tmp_path).info.fingerprint
    new, _ = read_new(tmp_path / "own.npz", data.info)
    assert new.x.shape[1] == 3 and (new.x[:, 2] >= 0).all()
    wrong = np.zeros(len(rows())) - np.arange(len(rows()))
    npz_of(rows(), tmp_path / "own.npz", time=wrong)
    refused(lambda: read_new(tmp_path / "own.npz", data.info), "own.npz: time[1]", "must not fall")
    npz_of(rows(), tmp_path / "own.npz", time=np.where(wrong == -2, np.nan, -wrong))
    refused(lambda: read_new(tmp_path / "own.npz", data.info), "own.npz: time[2]", "finite number")
    npz_of(rows(), tmp_path / "own.npz", time=wrong[:-1])
    refused(lambda: read_new(tmp_path / "own.npz", data.info), "own.npz: time", "finite numbers")
