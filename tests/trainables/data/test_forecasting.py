"""Forecasting: windows of parts that follow time, in which nothing knows what comes after it."""

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import points, small_config

from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from trainables.data.baselines import baselines
from trainables.data.batches import Batches
from trainables.data.inspection import source
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles
from trainables.data.redealing import check
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.training.cohort import cohort_of
from trainables.training.trainer import Training

LENGTHS = (60, 45)
HORIZON, WINDOW = 3, 8


def series() -> Any:
    """Two series of one covariate: the value of each step tells which step it is."""
    value = np.concatenate([np.arange(n) + 1000.0 * k for k, n in enumerate(LENGTHS)])
    return np.stack([value, np.random.default_rng(0).normal(size=len(value))], axis=1)


def loaded(folder: Path, x: Any = None, **options: Any) -> Data:
    np.savez(folder / "own.npz", x=series() if x is None else x, lengths=LENGTHS)
    given = {"horizon": HORIZON, "window": WINDOW, **options}
    return load(OwnData.model_validate({"kind": "forecasting", "data": "own.npz", **given}), folder)


def test_a_window_is_followed_by_what_is_forecast(tmp_path: Path) -> None:
    data = loaded(tmp_path, standardise=False)
    for part in data.parts:
        assert part.y is not None and part.y.shape == (len(part), HORIZON)
        for start, length, y in zip(part.starts, part.lengths, part.y, strict=True):
            assert length == WINDOW
            last = part.x[start + length - 1, 0]
            np.testing.assert_array_equal(y, np.arange(1, HORIZON + 1))  # beyond the last value
            assert last // 1000 == part.x[start, 0] // 1000, "a window is of one series"


def test_parts_follow_time_in_every_series(tmp_path: Path) -> None:
    """No value is forecast in two parts, and every origin of the test part is used."""
    data = loaded(tmp_path, standardise=False)
    ahead = [np.asarray(part.y) + part.x[part.starts + part.lengths - 1, :1] for part in data.parts]
    for at, length in enumerate(LENGTHS):
        own = [values[values[:, 0] // 1000 == at] % 1000 for values in ahead]
        for before, after in pairwise(own):
            assert before.max() < after.min()
        assert own[2][:, 0].tolist() == list(range(round(length * 0.8), length - HORIZON + 1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"standardise": False},
        {"difference": 1},
        {"difference": 4, "transform": "log"},
        {"relative": True, "scaling": "robust", "transform": "signed-log"},
    ],
)
def test_a_changed_future_changes_no_forecast_made_before_it(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """Nor the scale, nor a training: what lies behind the training part is not looked at."""
    before = loaded(tmp_path, **options)
    changed, step = series(), 50  # of the first series; in its test part
    changed[step : LENGTHS[0]] += 500.0
    after = loaded(tmp_path, changed, **options)
    one, other = (Training(small_config(max_epochs=2), data, seed=1) for data in (before, after))
    one.advance(2)
    other.advance(2)
    assert torch.equal(one.weights, other.weights)
    forecasts = [_forecasts(each) for each in (one, other)]
    origins = before.test.starts + WINDOW - 1
    known = (origins < step) | (origins >= LENGTHS[0])
    assert 0 < known.sum() < len(known)
    np.testing.assert_array_equal(forecasts[0][known], forecasts[1][known])
    assert not np.array_equal(forecasts[0][~known], forecasts[1][~known])


def _forecasts(training: Training) -> Any:
    part = training.data.test
    batches = Batches(part, "forecasting")
    found = np.zeros((len(part), HORIZON))
    model = training.best_model()
    for chosen in batches.ordered_choices():
        batch = batches.batch(chosen)
        with torch.inference_mode():
            found[chosen] = model(batch.x, batch.lengths)
    return found


def test_naive_forecasts_are_what_the_definitions_say(tmp_path: Path) -> None:
    """Of a straight line the last value errs by 1, 2, 3, and last season's by a season."""
    for standardise in (True, False):
        data = loaded(tmp_path, season=4, standardise=standardise)
        last, seasonal = baselines(data)
        assert [last.name, seasonal.name] == ["last-value", "seasonal"]
        assert last.test["mae"] == pytest.approx(2, rel=1e-4)
        assert last.test["mse"] == pytest.approx((1 + 4 + 9) / 3, rel=1e-4)
        assert seasonal.test["mae"] == pytest.approx(4, rel=1e-4)
    assert [each.name for each in baselines(loaded(tmp_path))] == ["last-value"]


@pytest.mark.parametrize("season", [None, 4])
def test_mase_is_what_hyndman_and_koehler_say(season: int | None, tmp_path: Path) -> None:
    """Each error in units of the naive error of its own series, in its training part."""
    x = np.cumsum(np.random.default_rng(1).normal(size=(sum(LENGTHS), 1)), axis=0)
    x[LENGTHS[0] :] *= 50
    data = loaded(tmp_path, x, season=season, metric="mase")
    training = Training(small_config(max_epochs=1), data, seed=1)
    training.advance(1)
    scaled = []
    part = data.test
    assert part.y is not None and part.y_scaling is not None
    mean, deviation = part.y_scaling
    errors = np.abs(_forecasts(training) * deviation + mean - part.y).mean(axis=1)
    for start, error in zip(part.starts, errors, strict=True):
        own = x[: LENGTHS[0], 0] if start < LENGTHS[0] else x[LENGTHS[0] :, 0]
        known = own[: round(0.6 * len(own))]
        lag = season or 1
        scaled.append(error / np.abs(known[lag:] - known[:-lag]).mean())
    assert training.evaluate("test")["mase"] == pytest.approx(np.mean(scaled), rel=1e-4)
    _, examples = training.evaluate_examples("test")
    np.testing.assert_allclose(examples.shares("mase"), scaled, rtol=1e-4)
    alone, *cohort = (Training(small_config(max_epochs=2), data, seed=3) for _ in range(3))
    alone.advance(2)
    cohort_of(cohort).advance(2)
    assert points(cohort[0]) == points(alone)
    naive = baselines(data)[-1]
    assert naive.test["mase"] > 0 and naive.test.keys() == {"mase", "loss", "mse"}


def test_a_series_without_a_naive_error_has_no_mase(tmp_path: Path) -> None:
    x = np.ones((sum(LENGTHS), 1))
    x[: LENGTHS[0], 0] = np.arange(LENGTHS[0])
    with pytest.raises(InputError, match="for mase the first 60% of a series must change"):
        loaded(tmp_path, x, metric="mase")
    assert loaded(tmp_path, x).test.naive_error is None


def test_a_table_of_series_is_the_same_data(tmp_path: Path) -> None:
    rows = ["shop,day,sold,rain"]
    for at, (sold, rain) in enumerate(series().tolist()):
        rows.append(f"{int(at >= LENGTHS[0])},{at},{sold!r},{rain!r}")
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    section = {"file": "own.csv", "id": "shop", "time": "day", "target": "sold"}
    table = loaded(tmp_path, data=section)
    assert table.info.fingerprint == loaded(tmp_path).info.fingerprint
    np.testing.assert_array_equal(table.test.starts, loaded(tmp_path).test.starts)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"horizon": None}, "horizon must say how many steps"),
        ({"season": 9}, "season must be at most the window of 8"),
        ({"window": 50}, "long enough for windows of 50 steps"),
        ({"data": "own.ts"}, "series must be in a table or an .npz"),
        ({"data": {"file": "own.csv", "target": "a", "split": "b"}}, "whose parts follow time"),
        ({"kind": "classification"}, "horizon must be given for forecasting alone"),
    ],
)
def test_what_fits_no_forecast_is_refused(
    options: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises((InputError, ValueError), match=rule):
        loaded(tmp_path, **options)


def test_series_are_not_dealt_anew(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="design must be seeds"):
        check(loaded(tmp_path), "splits")


def test_series_that_are_too_short_for_a_part_are_named(tmp_path: Path) -> None:
    """By `validate`, in a journal and by `inspect`; and all of them too short are refused."""
    lengths = {"long": 60, "a": 12, "b": 12, "tiny": 4}
    rows = [f"{name},{at},{at * 2.0}" for name, n in lengths.items() for at in range(n)]
    (tmp_path / "own.csv").write_text("\n".join(["shop,day,sold", *rows]) + "\n")
    section = {"file": "own.csv", "id": "shop", "time": "day", "target": "sold"}
    spec = {"kind": "forecasting", "data": section, "horizon": 2, "window": 6}
    data = load(OwnData.model_validate(spec), tmp_path)
    told = {each.part: each.sentence for each in data.info.left_out}
    assert told["training"] == (
        "3 of 4 series are too short for a window and the steps ahead in the training part, and "
        "are not in it: a, b, tiny"
    )
    assert told["test"].startswith("1 of 4 series is too short") and told["test"].endswith(": tiny")
    assert TaskInfo.from_dict(json.loads(json.dumps(asdict(data.info)))) == data.info
    table, _ = source.read(tmp_path / "own.csv")
    given = {"id": "shop", "time": "day", "target": "sold"}
    roles = find_roles(table, given, None, "forecasting")
    found = inspect(tmp_path / "own.csv", "own.csv", table, roles)
    assert any("too short" in warning and "tiny" in warning for warning in found.warnings)
    with pytest.raises(InputError, match="none has one for train"):
        load(OwnData.model_validate({**spec, "window": 40}), tmp_path)
