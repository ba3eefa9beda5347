"""Preparations of series are tried on training and validation parts, and chosen by a margin."""

from pathlib import Path

import numpy as np
import pytest

from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import Series
from trainables.data.tasks.series import read
from trainables.training.curve import Epoch
from trainables.training.preparation import (
    MOST_STEPS,
    Tried,
    chosen,
    prepare,
    try_preparations,
)
from trainables.training.trainer import Training

PLAIN = Tried({"relative": True}, 10.0)


def task(folder: Path, values: "np.ndarray | list[float]", **options: object) -> OwnData:
    """Return the task of a .csv with one series, an hour a row."""
    rows = "".join(f"{hour},{value}\n" for hour, value in enumerate(values))
    (folder / "series.csv").write_text("hour,sold\n" + rows)
    data = {"file": "series.csv", "time": "hour", "target": "sold"}
    options = {"horizon": 6, **options}
    return OwnData.model_validate({"kind": "forecasting", "data": data, **options})


def test_a_series_that_grows_and_repeats_is_learned_as_differences_of_logarithms(
    tmp_path: Path,
) -> None:
    found = prepare(task(tmp_path, read("airline")[0], horizon=12), tmp_path)
    assert found.options == {"season": 12, "difference": 12, "transform": "log"}
    assert found.helps
    assert found.error < found.plain_error / 2


def test_a_series_that_wanders_is_learned_as_it_is(tmp_path: Path) -> None:
    walk = np.random.default_rng(0).normal(size=300).cumsum()
    found = prepare(task(tmp_path, walk), tmp_path)
    assert found.options == {"relative": True}
    assert not found.helps


def test_the_test_part_changes_nothing(tmp_path: Path) -> None:
    values = np.array(read("airline")[0])
    found = prepare(task(tmp_path, values), tmp_path)
    values[-len(values) // 5 :] = 1.0
    assert prepare(task(tmp_path, values), tmp_path) == found


def test_logarithms_of_values_below_0_are_not_tried() -> None:
    tried = try_preparations(Series.model_validate({"name": "m1-yearly"}), Path(), None)
    assert [each.options for each in tried] == [{"relative": True}]


def test_a_season_that_leaves_too_few_steps_is_not_tried(tmp_path: Path) -> None:
    few = task(tmp_path, np.arange(60.0) % 10)
    assert all("season" not in each.options for each in try_preparations(few, tmp_path, 40))


def test_preparations_that_would_leave_series_out_are_not_tried(tmp_path: Path) -> None:
    """Each of the others is scored on the same forecasts."""
    rows = [
        (name, hour, 2 + np.sin(2 * np.pi * hour / 24))
        for name, steps in (("long", 120), ("short", 60))
        for hour in range(steps)
    ]
    lines = [f"{name},{hour},{value}\n" for name, hour, value in rows]
    (tmp_path / "series.csv").write_text("shop,hour,sold\n" + "".join(lines))
    data = {"file": "series.csv", "id": "shop", "time": "hour", "target": "sold"}
    own = OwnData.model_validate({"kind": "forecasting", "data": data, "horizon": 6})
    tried = try_preparations(own, tmp_path, 24)
    assert [each.options.get("difference") for each in tried] == [None] * len(tried)


def test_a_long_season_is_tried_in_as_many_steps_as_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    train = Training.advance

    def advance(self: Training, until: int) -> list[Epoch]:
        windows = self.data.train
        read.append(until * len(windows) * int(windows.lengths[0]))
        return train(self, min(until, 1))

    monkeypatch.setattr(Training, "advance", advance)
    long = task(tmp_path, np.sin(2 * np.pi * np.arange(2000) / 365))
    tried = try_preparations(long, tmp_path, 365)
    assert {each.options.get("season") for each in tried} == {365}
    assert max(read) < 2 * MOST_STEPS


def test_series_that_are_too_short_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be long enough for windows"):
        try_preparations(task(tmp_path, np.arange(10.0)), tmp_path, None)


@pytest.mark.parametrize(("error", "expected"), [(8.9, {"difference": 7}), (9.1, PLAIN.options)])
def test_a_preparation_must_be_better_by_a_tenth(error: float, expected: dict[str, object]) -> None:
    found = chosen([PLAIN, Tried({"difference": 7}, error)])
    assert found.options == expected
    assert found.plain_error == PLAIN.error
