"""Curves of the best of n are told apart only where their bands do not meet."""

import numpy as np
import pytest

from search.results.evidence.bands import BestOf, best_of_n, distribution
from search.results.evidence.crossing import contrasts, curves


def curve(*bounds: tuple[float, float]) -> list[BestOf]:
    """A curve with these worse and better sides at n = 1, 2, ..."""
    return [BestOf(n, worse, worse, better) for n, (worse, better) in enumerate(bounds, 1)]


@pytest.mark.parametrize("maximize", [True, False])
def test_an_arm_is_ahead_only_where_the_bands_do_not_meet(maximize: bool) -> None:
    sign = 1 if maximize else -1
    first = curve((sign * 3, sign * 4), (sign * 2, sign * 4), (sign * 5, sign * np.inf))
    second = curve((sign * 1, sign * 2), (sign * 1, sign * 2), (-sign * np.inf, sign * np.inf))
    (pair,) = contrasts({"a": first, "b": second}, maximize=maximize)
    assert pair.ahead == ("a", None, None)
    (turned,) = contrasts({"b": second, "a": first}, maximize=maximize)
    assert turned.ahead == pair.ahead


def test_a_crossing_lies_between_the_numbers_at_which_each_arm_is_ahead() -> None:
    low, wide, high = (0.0, 1.0), (0.0, 9.0), (2.0, 3.0)
    still = curve(*[(1.2, 1.8)] * 5)
    (pair,) = contrasts({"a": curve(low, wide, high, wide, high), "b": still}, maximize=True)
    assert pair.ahead == ("b", None, "a", None, "a")
    assert pair.crossings == [(1, 3)]
    assert pair.stretches("a") == [(3, 3), (5, 5)]
    (pair,) = contrasts({"a": curve(low, wide, low, wide, wide), "b": still}, maximize=True)
    assert pair.crossings == []


def test_a_steady_arm_and_a_daring_one_are_seen_to_cross() -> None:
    draw = np.random.default_rng(0)
    steady = list(0.8 + 0.01 * draw.random(200))
    daring: list[float | None] = [0.9 if x < 0.25 else None for x in draw.random(200)]
    found = curves({"steady": steady, "daring": daring}, maximize=True, confidence=0.95)
    (pair,) = contrasts(found, maximize=True)
    ((after, before),) = pair.crossings
    # The daring arm's median passes 0.8 where 0.75^n is 1/2: from n = 3 on.
    assert pair.ahead[0] == "steady" and after < 3 <= before


def test_equal_arms_are_told_apart_in_at_most_5_of_100_jobs() -> None:
    draw = np.random.default_rng(1)
    told = 0
    for _ in range(300):
        values = np.round(draw.normal(size=(3, 40)), 1)
        lost = draw.random((3, 40)) < 0.2
        arms = {
            str(arm): [None if gone else float(x) for x, gone in zip(xs, away, strict=True)]
            for arm, (xs, away) in enumerate(zip(values, lost, strict=True))
        }
        found = curves(arms, maximize=False, confidence=0.95)
        told += any(any(pair.ahead) for pair in contrasts(found, maximize=False))
    assert told <= 15


def test_an_arm_with_few_controls_has_no_curve() -> None:
    arms = {"a": [0.5] * 11, "b": [0.5] * 12}
    assert list(curves(arms, maximize=True, confidence=0.95)) == ["b"]


def test_a_distribution_counts_diverged_controls_as_worst() -> None:
    found = distribution([0.9, None, 0.7, 0.8], maximize=True)
    assert [(step.value, step.share) for step in found.steps] == [
        (0.9, 0.25),
        (0.8, 0.5),
        (0.7, 0.75),
    ]
    assert distribution([3.0, None, None], maximize=False).median is None


@pytest.mark.parametrize("size", [12, 13, 30])
def test_the_median_of_a_distribution_is_the_best_of_one(size: int) -> None:
    values = list(np.random.default_rng(size).random(size))
    found = distribution(values, maximize=False)
    assert found.median == best_of_n(values, maximize=False)[0].value


def test_the_band_of_a_distribution_holds_everywhere_in_95_of_100_jobs() -> None:
    """Values in tenths, one in five diverged: true shares are known at every value."""
    draw = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        tenths = draw.integers(1, 11, size=25)
        lost = draw.random(25) < 0.2
        values = [None if gone else float(x) for x, gone in zip(tenths, lost, strict=True)]
        found = distribution(values, maximize=True)
        bounds = {10.5: (0.0, found.beyond), **{s.value: (s.low, s.high) for s in found.steps}}
        starts = sorted(bounds, reverse=True)
        held += all(
            low <= 0.8 * (11 - place) / 10 <= high
            for place in range(1, 11)
            for low, high in [bounds[min(start for start in starts if start >= place)]]
        )
    assert held >= 380
