"""Series that are learned as differences, or transformed: figures are those of their values."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import points, small_config

from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import Series, TaskInfo
from trainables.data.baselines import baselines
from trainables.data.batches import Batches
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.training.cohort import cohort_of
from trainables.training.trainer import Training

LENGTHS = (70, 50)
HORIZON, WINDOW = 6, 8
LAG = 4
OPTIONS: list[dict[str, Any]] = [
    {"difference": 1},
    {"difference": LAG},
    {"transform": "log"},
    {"difference": LAG, "transform": "log"},
    {"difference": 1, "transform": "signed-log", "likelihood": "quantile"},
]


def series() -> Any:
    """Two series that grow by a share each step, with a season, and a covariate."""
    draw = np.random.default_rng(0)
    steps = np.concatenate([np.arange(n) for n in LENGTHS])
    value = 50 * np.exp(steps / 40 + 0.2 * np.sin(steps * 2 * np.pi / LAG))
    value += draw.normal(size=len(steps))
    return np.stack([value, draw.normal(size=len(steps))], axis=1).astype(np.float32)


def loaded(folder: Path, **options: Any) -> Data:
    np.savez(folder / "own.npz", x=series(), lengths=LENGTHS)
    given = {"horizon": HORIZON, "window": WINDOW, "season": LAG, **options}
    return load(OwnData.model_validate({"kind": "forecasting", "data": "own.npz", **given}), folder)


def test_a_window_is_of_differences_and_targets_lie_from_the_naive_forecast(
    tmp_path: Path,
) -> None:
    data, value = loaded(tmp_path, difference=LAG, standardise=False), series()
    ends = np.cumsum(LENGTHS)
    for part in data.parts:
        assert part.y is not None
        for start, y in zip(part.starts, part.y, strict=True):
            at = start + np.arange(WINDOW)
            series_begins = 0 if start < ends[0] else ends[0]
            assert start >= series_begins + LAG, "no difference reaches into another series"
            np.testing.assert_allclose(part.x[at, 0], value[at, 0] - value[at - LAG, 0], atol=1e-4)
            np.testing.assert_array_equal(part.x[at, 1], value[at, 1])
            ahead = at[-1] + 1 + np.arange(HORIZON)
            seasonal = [at[-1] + 1 - LAG + step % LAG for step in range(HORIZON)]
            np.testing.assert_allclose(y, value[ahead, 0] - value[seasonal, 0], atol=1e-4)
    first = data.train.starts.min()
    assert first == LAG, "the first window has all differences that there are"


def test_scales_are_those_of_differences_in_the_training_part(tmp_path: Path) -> None:
    data = loaded(tmp_path, difference=1, transform="log")
    assert data.train.scaling is not None
    logs = np.log1p(series()[:, 0].astype(np.float64))
    read = [np.diff(logs)[start - 1 : start - 1 + WINDOW] for start in data.train.starts]
    mean, deviation = (scale[0] for scale in data.train.scaling)
    assert mean == pytest.approx(np.mean(read), rel=1e-3)
    assert deviation == pytest.approx(np.std(read), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "metric"),
    [*((each, "mae") for each in OPTIONS), (OPTIONS[3], "rmse"), (OPTIONS[3], "mase")],
    ids=str,
)
def test_figures_are_those_of_values_whatever_is_learned(
    options: dict[str, Any], metric: str, tmp_path: Path
) -> None:
    """Of naive forecasts, which are the same for all, and of a training, by its own forecasts."""
    plain = baselines(loaded(tmp_path, metric=metric))
    data = loaded(tmp_path, metric=metric, **options)
    for one, other in zip(plain, baselines(data), strict=True):
        assert one.name == other.name
        # A longer lag leaves some first windows of training out, and none of the others.
        assert other.test[metric] == pytest.approx(one.test[metric], rel=1e-4)
        if "transform" in options:
            assert other.test.keys() == {"loss", metric}
    alone, *cohort = (Training(small_config(max_epochs=2), data, seed=3) for _ in range(3))
    alone.advance(2)
    cohort_of(cohort).advance(2)
    assert points(cohort[0]) == points(alone)
    errors = np.abs(forecasts(alone) - true(data))
    if metric == "mase":
        errors /= data.test.naive_error[:, None]  # type: ignore[index]
    found = np.sqrt(np.square(errors).mean()) if metric == "rmse" else errors.mean()
    metrics, examples = alone.evaluate_examples("test")
    assert metrics[metric] == pytest.approx(found, rel=1e-4)
    if metric != "rmse":
        np.testing.assert_allclose(examples.shares(metric), errors.mean(axis=1), rtol=1e-3)


def true(data: Data) -> Any:
    ends = data.test.starts + WINDOW
    return series()[ends[:, None] + np.arange(HORIZON), 0].astype(np.float64)


def forecasts(training: Training) -> Any:
    """Return a model's forecasts of the test part in the data's units, by the definitions."""
    part, info, model = training.data.test, training.data.info, training.best_model()
    batches, found = Batches(part, "forecasting"), np.zeros((len(part), HORIZON))
    for chosen in batches.ordered_choices():
        batch = batches.batch(chosen)
        with torch.inference_mode():
            found[chosen] = model(batch.x, batch.lengths)[:, info.central]
    value, (mean, deviation) = series()[:, 0].astype(np.float64), part.y_scaling or (0, 1)
    logs = np.log1p(value) if info.transform else value
    lag = info.ahead.lag
    seasonal = [part.starts + WINDOW - lag + step % lag for step in range(HORIZON)]
    found = logs[np.stack(seasonal, axis=1)] + mean + deviation * found
    return np.expm1(found) if info.transform else found


def test_a_built_in_series_is_transformed_alike() -> None:
    spec = Series.model_validate({"name": "airline", "difference": 12, "transform": "log"})
    data = load(spec, Path())
    assert data.info.ahead.difference == 12 and not data.info.ahead.relative
    assert TaskInfo.from_dict(asdict(data.info)) == data.info
    last, seasonal = baselines(data)
    assert seasonal.test["mae"] < last.test["mae"] < 150


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"difference": WINDOW + 1}, "difference must be at most the window of 8 steps"),
        ({"difference": 1, "relative": True}, "relative must not be given with difference"),
        ({"transform": "log", "likelihood": "gaussian"}, "likelihood must not be gaussian"),
        ({"transform": "log", "metric": "mse"}, "must be mae, loss, rmse or mase, not 'mse'"),
        ({"difference": 0}, "difference|greater"),
        ({"kind": "regression", "difference": 1}, "difference must be given for forecasting"),
        ({"window": 45, "difference": 40}, "40 steps before them, and the 6 that follow"),
    ],
)
def test_what_fits_no_series_is_refused(options: dict[str, Any], rule: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, ValueError), match=rule):
        loaded(tmp_path, **options)


def test_values_of_which_there_is_no_logarithm_are_told_with_their_place(tmp_path: Path) -> None:
    x = series()
    x[61, 0] = -3
    np.savez(tmp_path / "own.npz", x=x, lengths=LENGTHS)
    plain = {"kind": "forecasting", "data": "own.npz", "horizon": 3, "transform": "log"}
    with pytest.raises(InputError, match=r"x\[61, 0\].*at least 0 for transform: log"):
        load(OwnData.model_validate(plain), tmp_path)


def test_a_new_series_that_is_too_short_for_a_difference_is_refused(tmp_path: Path) -> None:
    info = loaded(tmp_path, difference=LAG).info
    np.savez(tmp_path / "new.npz", x=series()[:9], lengths=[5, 4])
    with pytest.raises(InputError, match=r"lengths\[1\].*more than 4 steps"):
        read_new(tmp_path / "new.npz", info)
    np.savez(tmp_path / "new.npz", x=series()[:25], lengths=[5, 20])
    found, _ = read_new(tmp_path / "new.npz", info)
    assert found.lengths.tolist() == [5, WINDOW + LAG]


def test_features_that_are_transformed_leave_a_regression_its_metric() -> None:
    task = OwnData.model_validate({"kind": "regression", "transform": "log", "data": "own.npz"})
    assert task.chosen_metric.name == "mse"
