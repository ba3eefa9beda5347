"""Preparations of series are tried on training and validation parts, and chosen by a margin."""

from pathlib import Path

import numpy as np
import pytest

from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import Series
from trainables.data.tasks.series import read
from trainables.training.preparation import Tried, chosen, prepare, try_preparations

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


def test_series_that_are_too_short_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be long enough for windows"):
        try_preparations(task(tmp_path, np.arange(10.0)), tmp_path, None)


@pytest.mark.parametrize(("error", "expected"), [(8.9, {"difference": 7}), (9.1, PLAIN.options)])
def test_a_preparation_must_be_better_by_a_tenth(error: float, expected: dict[str, object]) -> None:
    found = chosen([PLAIN, Tried({"difference": 7}, error)])
    assert found.options == expected
    assert found.plain_error == PLAIN.error
