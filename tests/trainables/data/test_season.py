"""The season of series is found, and none where there is none."""

import numpy as np
import pytest

from spaces.series import SERIES
from trainables.data.inspection.season import season_of
from trainables.data.tasks.series import read

RNG = np.random.default_rng(0)
STEPS = np.arange(2000)


def found(*series: np.ndarray, horizon: int = 12) -> int | None:
    return season_of(np.concatenate(series), np.array(list(map(len, series))), horizon)


@pytest.mark.parametrize("name", SERIES)
def test_the_season_of_a_built_in_series_is_found(name: str) -> None:
    series = [np.array(values) for values in read(name)]
    assert found(*series, horizon=SERIES[name].horizon) == SERIES[name].season


def test_a_season_is_found_in_noise_and_on_a_trend() -> None:
    wave = np.sin(2 * np.pi * STEPS / 24)
    assert found(wave + 0.2 * RNG.normal(size=2000)) == 24
    assert found(10 * wave + 0.5 * STEPS + RNG.normal(size=2000)) == 24


def test_a_season_of_many_short_series_is_found_from_all_of_them() -> None:
    week = np.array([1, 2, 3, 4, 5, 1, 0])
    series = [np.tile(week, 20) + RNG.normal(size=140) / 2 for _ in range(30)]
    assert found(*series, horizon=7) == 7


@pytest.mark.parametrize("steps", [30, 60, 144, 600])
def test_noise_and_random_walks_have_no_season(steps: int) -> None:
    """At most one in a hundred has: the highest of many correlations is looked at."""
    generator = np.random.default_rng(0)
    noise = [generator.normal(size=steps) for _ in range(100)]
    assert sum(found(each) is not None for each in noise) <= 1
    assert sum(found(each.cumsum()) is not None for each in noise) <= 1


@pytest.mark.parametrize(
    "series",
    [
        np.zeros(100),
        np.arange(100.0),
        np.arange(144, dtype=np.float32) * np.float32(0.1),
        np.ones(3),
        np.ones(1),
    ],
    ids=len,
)
def test_series_that_tell_nothing_have_no_season(series: np.ndarray) -> None:
    assert found(series) is None


def test_a_large_series_has_no_more_say_than_a_small_one() -> None:
    waves = [np.sin(2 * np.pi * STEPS[:200] / 12 + shift) for shift in range(39)]
    walk = 1000 * RNG.normal(size=200).cumsum()
    assert found(*waves, walk) == 12


def test_what_comes_after_the_training_part_changes_no_season() -> None:
    wave = np.sin(2 * np.pi * STEPS / 24)
    later = wave.copy()
    later[1200:] = RNG.normal(size=800)
    assert found(wave) == found(later) == 24
