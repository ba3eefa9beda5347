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


@pytest.mark.parametrize("seed", range(10))
def test_noise_and_random_walks_have_no_season(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=600)
    assert found(noise) is None
    assert found(noise.cumsum()) is None


@pytest.mark.parametrize(
    "series", [np.zeros(100), np.arange(100.0), np.ones(3), np.ones(1)], ids=len
)
def test_series_that_tell_nothing_have_no_season(series: np.ndarray) -> None:
    assert found(series) is None


def test_what_comes_after_the_training_part_changes_no_season() -> None:
    wave = np.sin(2 * np.pi * STEPS / 24)
    later = wave.copy()
    later[1200:] = RNG.normal(size=800)
    assert found(wave) == found(later) == 24
