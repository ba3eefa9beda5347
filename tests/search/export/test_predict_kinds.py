"""Kinds with other targets than one for each sequence, from their data to what is predicted."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_jobs import FURTHER, SmallJob, small_job

from search.export.export import export
from search.export.predict import predict
from spaces.errors import InputError
from trainables.data.transforms import undone
from trainables.training.trainer import Training


@pytest.fixture(scope="module", params=FURTHER)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SmallJob:
    job = small_job(tmp_path_factory.mktemp(request.param), request.param)
    job.add("gru", max_epochs=2, bidirectional=True)
    export(job.results, job.folder / "export")
    return job


def training(job: SmallJob) -> Training:
    (trial,) = job.trials
    assert trial.checkpoint is not None
    folder = job.folder / "checkpoints" / trial.checkpoint
    return Training.restore(folder, trial.config, job.data, seed=trial.seed)


def test_figures_are_those_of_training(exported: SmallJob, tmp_path: Path) -> None:
    """The whole file is predicted, so its figures are those of all parts together."""
    one, data = training(exported), exported.data
    found = predict(exported.folder / "export", exported.folder / "own.npz", tmp_path / "out.csv")
    if data.info.kind == "forecasting":  # what follows the ends of series is not known
        assert found.metrics == {}
        return
    assert len(found) == sum(map(len, data.parts))
    parts = [one.evaluate_examples(name)[1] for name in ("train", "validation", "test")]
    counts = np.concatenate([part.count for part in parts]).sum()
    loss = np.concatenate([part.loss for part in parts]).sum() / counts
    assert found.metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert found.metrics.keys() == {metric.name for metric in data.info.metrics}


def test_targets_that_are_none_of_the_kind_are_refused(exported: SmallJob, tmp_path: Path) -> None:
    part, kind = exported.data.validation, exported.data.info.kind
    if kind == "forecasting":  # has no targets
        return
    several, n = (len(part), exported.data.info.outputs), len(part)
    cases = [np.zeros(n)]
    cases += [np.full(several, np.nan)] + [np.full(several, 2)] * (kind == "multi-label")
    for y in cases:
        np.savez(tmp_path / "bad.npz", x=part.unscaled()[:], lengths=part.lengths, y=y)
        with pytest.raises(InputError) as caught:
            predict(exported.folder / "export", tmp_path / "bad.npz")
        (problem,) = caught.value.problems
        assert problem.place.startswith("bad.npz: y") and problem.remedy


def test_answers_are_the_torch_model_s(exported: SmallJob, tmp_path: Path) -> None:
    model, info = training(exported).best_model(), exported.data.info
    part = exported.data.validation
    x, lengths = part.unscaled()[:], part.lengths
    if info.kind == "forecasting":  # as the user's file has what is read
        unread = info.ahead.unread
        lengths = lengths + unread
        steps = [start - unread + np.arange(unread + 5) for start in part.starts]
        x = np.load(exported.folder / "own.npz")["x"][np.concatenate(steps)]
    np.savez(tmp_path / "new.npz", x=x, lengths=lengths)
    found = predict(exported.folder / "export", tmp_path / "new.npz", tmp_path / "out.npz")
    assert found.metrics == {}
    expected = []
    for start, length in zip(part.starts, part.lengths, strict=True):
        x = torch.from_numpy(part.steps(start + np.arange(length)))
        with torch.inference_mode():
            outputs = model(x[:, None], torch.tensor([length]))
        expected.append(outputs[:, 0] if info.stepwise else outputs)
    logits = torch.cat(expected)
    match info.kind:
        case "tagging":
            wanted, array = logits.softmax(-1), found.arrays["probabilities"]
            names = np.array(info.labels)[logits.argmax(-1)]
            np.testing.assert_array_equal(found.arrays["class"], names)
        case "multi-label":
            wanted, array = logits.sigmoid(), found.arrays["probabilities"]
        case _:
            assert part.y_scaling is not None
            mean, deviation = (torch.as_tensor(scale) for scale in part.y_scaling)
            wanted, array = logits * deviation + mean, found.arrays["prediction"]
            if info.kind == "forecasting":
                assert part.series is not None
                last = part.starts[:, None] + 4 - np.array([[0, 0, 0]])
                if unread:  # two steps before each
                    last = last + np.array([[-1, 0, -1]])
                levels = torch.from_numpy(part.series.values[last])
                wanted = wanted + levels.repeat(1, info.ahead.numbers)
                wanted = torch.from_numpy(undone(wanted.numpy(), info.transform))
                numbers = [found.arrays[info.ahead.name(n)] for n in range(info.ahead.numbers)]
                array = np.concatenate(numbers, axis=1)
                central = found.arrays["prediction"]
                np.testing.assert_array_equal(central, array[:, info.central])
                if info.ahead.likelihood == "gaussian":
                    wanted[:, 3:] = logits[:, 3:] * deviation
    np.testing.assert_allclose(array, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_a_table_of_predictions_has_a_row_for_each_target(
    exported: SmallJob, tmp_path: Path
) -> None:
    predict(exported.folder / "export", exported.folder / "own.npz", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    with np.load(exported.folder / "own.npz") as arrays:
        lengths = arrays["lengths"]
    match exported.data.info.kind:
        case "tagging":
            assert len(rows) == lengths.sum()
            steps = [int(row["step"]) for row in rows if row["sequence"] == "1"]
            assert steps == list(range(lengths[1]))
            assert {row["class"] for row in rows} <= {"up", "down"}
        case "forecasting":
            assert len(rows) == 2  # one for each series
            ahead = exported.data.info.ahead
            names = dict.fromkeys(["prediction", *map(ahead.name, range(ahead.numbers))])
            shown = [f"{name}_{step}" for name in names for step in (1, 2, 3)]
            assert list(rows[0]) == ["sequence", *shown]
            others = {"point": 0, "gaussian": 1, "quantile": 3}[ahead.likelihood]
            assert len(names) == 1 + others
        case "multi-label":
            assert [len(rows), len(rows[0])] == [len(lengths), 1 + 3]
        case _:
            assert list(rows[0]) == ["sequence", "prediction_0", "prediction_1"]
            assert float(rows[0]["prediction_1"]) < float(rows[0]["prediction_0"])


def test_a_forecast_is_given_what_is_known_ahead(tmp_path: Path) -> None:
    """From a table with a column that is known ahead to a forecast, and to what a card says."""
    job = small_job(tmp_path, "known-future")
    job.add("lstm", max_epochs=2)
    export(job.results, tmp_path / "export")
    new, lines = tmp_path / "new.csv", (tmp_path / "own.csv").read_text().splitlines()
    new.write_text("\n".join(lines[:60]) + "\n")
    with pytest.raises(InputError, match="must end with 3 rows that have price and no target"):
        predict(tmp_path / "export", new)
    forecasts = []
    for price in (4, 6):
        new.write_text("\n".join([*lines[:60], *[f"{price},,"] * 3]) + "\n")
        found = predict(tmp_path / "export", new).arrays["prediction"]
        assert found.shape == (1, 3)
        forecasts.append(found)
    assert (forecasts[0] != forecasts[1]).all()
    card = (tmp_path / "export" / "card.md").read_text()
    assert "each series ends with 3 rows that have `price` alone" in card
    assert "`price`, each as it is 3 steps later" in card
