"""Claims about intervals of differences, components of variance and bands, against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search.results.evidence.bands import FEWEST, best_of_n, cdf_band, coverage
from search.results.evidence.components import Components, Observation, components
from search.results.evidence.crossed import crossed_interval
from search.results.evidence.difference import always_valid, nadeau_bengio

ALPHA = 0.05
differences = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=4, max_size=40)


@given(differences)
@settings(deadline=None)
def test_without_overlap_nadeau_bengio_is_the_paired_t_interval(drawn: list[float]) -> None:
    values = np.array(drawn)
    expected = (
        stats.t.interval(
            0.95, len(values) - 1, values.mean(), values.std(ddof=1) / np.sqrt(len(values))
        )
        if values.std() > 1e-9
        else (values.mean(), values.mean())
    )
    assert nadeau_bengio(values, 0.0, ALPHA) == pytest.approx(expected, abs=1e-6)


@given(differences)
@settings(deadline=None)
def test_an_always_valid_interval_is_wider_than_that_of_one_look(drawn: list[float]) -> None:
    values = np.array(drawn)
    always, once = always_valid(values, ALPHA), nadeau_bengio(values, 0.0, ALPHA)
    assert always is not None and once is not None
    assert always[0] <= once[0] + 1e-9 and always[1] >= once[1] - 1e-9


@given(differences, st.sampled_from([-60.0, 0.5, 3600.0]))
@settings(deadline=None)
def test_intervals_follow_the_unit_of_the_values(drawn: list[float], unit: float) -> None:
    plain = always_valid(np.array(drawn), ALPHA)
    scaled = always_valid(unit * np.array(drawn), ALPHA)
    assert plain is not None and scaled is not None
    assert sorted(unit * x for x in plain) == pytest.approx(scaled, abs=1e-6 * abs(unit))


def test_the_always_valid_interval_is_where_the_t_capital_is_below_one_over_alpha() -> None:
    """The capital of theorem 4.9, written down once more and solved for the mean by numbers."""
    values, k = np.array([0.3, -0.1, 0.5, 0.2, 0.4, 0.1]), 0.25
    n = len(values)

    def capital(mean: float) -> float:
        shifted = values - mean
        total, squares = shifted.sum(), (shifted**2).sum()
        grown = (n + k) * squares / ((n + k) * squares - total**2)
        return float(np.sqrt(k / (n + k)) * grown ** (n / 2))

    for bound in always_valid(values, ALPHA) or ():
        assert capital(bound) == pytest.approx(1 / ALPHA)


def test_three_differences_bound_no_mean_at_all_times() -> None:
    assert always_valid(np.array([0.1, 0.1, 0.2]), ALPHA) is None
    assert nadeau_bengio(np.array([0.1]), 0.0, ALPHA) is None


def drawn_observations(
    truth: Components, *, arms: int, splits: int, configurations: int, seeds: int
) -> list[Observation]:
    rng = np.random.default_rng(7)
    of = {name: np.sqrt(getattr(truth, name) or 0.0) for name in truth.__dataclass_fields__}
    found = []
    common = of["split"] * rng.normal(size=splits)
    for arm in range(arms):
        own = of["arm_split"] * rng.normal(size=splits)
        for split in range(splits):
            for configuration in range(configurations):
                shared = common[split] + own[split] + of["configuration"] * rng.normal()
                for _ in range(seeds):
                    value = arm + shared + of["seed"] * rng.normal()
                    name = f"{split}-{configuration}" if configurations > 1 else "finalist"
                    found.append(Observation(str(arm), str(split), name, float(value)))
    return found


def test_components_of_variance_are_found_again() -> None:
    truth = Components(split=4.0, arm_split=1.0, configuration=0.5, seed=0.25)
    seen = drawn_observations(truth, arms=3, splits=400, configurations=4, seeds=2)
    found = components(seen)
    for name in truth.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=0.2), name


def test_components_that_results_cannot_tell_are_none() -> None:
    truth = Components(split=1.0, arm_split=1.0, seed=1.0)
    one_split = components(drawn_observations(truth, arms=3, splits=1, configurations=1, seeds=9))
    assert one_split.seed is not None
    assert (one_split.split, one_split.arm_split, one_split.configuration) == (None, None, None)
    one_seed = components(drawn_observations(truth, arms=3, splits=9, configurations=1, seeds=1))
    assert one_seed.split is not None and one_seed.seed is None and one_seed.arm_split is None
    assert components([]) == Components()


@pytest.mark.parametrize("size", [12, 16, 32])
def test_the_band_of_a_distribution_covers_exactly_what_was_asked(size: int) -> None:
    low, high = cdf_band(size, 0.95)
    assert coverage(low, high) == pytest.approx(0.95, abs=1e-6)
    draws = np.sort(np.random.default_rng(0).random((40_000, size)), axis=1)
    simulated = ((draws >= low) & (draws <= high)).all(axis=1).mean()
    assert simulated == pytest.approx(0.95, abs=0.005)


def test_coverage_of_a_constant_band_is_that_of_kolmogorov() -> None:
    """Bounds i / n - d and (i - 1) / n + d are those of Kolmogorov and Smirnov."""
    n, d = 20, 0.29
    ranks = np.arange(1, n + 1)
    low, high = np.clip(ranks / n - d, 0, 1), np.clip((ranks - 1) / n + d, 0, 1)
    assert coverage(low, high) == pytest.approx(stats.kstwo.cdf(d, n), abs=1e-9)


@given(st.lists(st.floats(0, 1) | st.none(), min_size=FEWEST, max_size=40), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_curve_lies_in_its_band_and_never_gets_worse(
    controls: list[float | None], maximize: bool
) -> None:
    curve = best_of_n(controls, maximize=maximize)
    assert [point.n for point in curve] == list(range(1, len(controls) // 4 + 1))
    sign = 1 if maximize else -1
    for column in ("worse", "value", "better"):
        gains = [sign * getattr(point, column) for point in curve]
        assert gains == sorted(gains)
    for point in curve:
        assert sign * point.worse <= sign * point.value <= sign * point.better


def test_fewer_than_twelve_controls_give_no_curve_and_a_ceiling_bounds_it() -> None:
    values = list(np.linspace(0.5, 0.9, FEWEST))
    assert best_of_n(values[1:], maximize=True) == []
    assert best_of_n(values, maximize=True)[-1].better == np.inf
    assert best_of_n(values, maximize=True, ceiling=1.0)[-1].better == 1.0


# splits and test examples, both resampled


def test_the_cross_bootstrap_is_computed_as_drawing_would_find_it() -> None:
    rng = np.random.default_rng(7)
    counts = rng.integers(1, 9, 30).astype(float)
    table = 0.3 * rng.normal(size=(12, 1)) + rng.normal(size=30) + rng.normal(size=(12, 30))
    differences = counts * table
    splits = rng.multinomial(12, np.full(12, 1 / 12), size=20_000) / 12
    examples = rng.multinomial(30, np.full(30, 1 / 30), size=20_000)
    means = (examples @ differences.T) / (examples @ counts)[:, None]
    drawn = (means * splits).sum(axis=1).std()
    low, high = crossed_interval(differences, counts, 0.05) or (0.0, 0.0)
    own = differences.sum(axis=1) / counts.sum()
    assert (low + high) / 2 == pytest.approx(own.mean())
    radius = drawn * float(stats.t.ppf(0.975, 11))
    assert (high - low) / 2 == pytest.approx(
        radius, rel=0.1
    )  # sample variances are a little larger


@pytest.mark.parametrize("example", [0.0, 0.5, 2.0])
def test_an_interval_that_resamples_examples_holds_what_one_over_splits_alone_misses(
    example: float,
) -> None:
    """Differences of a split, of an example (the same on all splits), and of both together."""
    rng = np.random.default_rng(11)
    crossed, alone = 0, 0
    for _ in range(400):
        table = 0.1 * rng.normal(size=(10, 1)) + example * rng.normal(size=50)
        table = table + rng.normal(size=(10, 50))
        low, high = crossed_interval(table, np.ones(50), 0.05) or (0.0, 0.0)
        crossed += low <= 0 <= high
        low, high = nadeau_bengio(table.mean(axis=1), 0.0, 0.05) or (0.0, 0.0)
        alone += low <= 0 <= high
    assert crossed / 400 >= 0.94
    assert example < 2 or alone / 400 < 0.5


def test_one_split_or_one_example_has_no_such_interval() -> None:
    assert crossed_interval(np.zeros((1, 9)), np.ones(9), 0.05) is None
    assert crossed_interval(np.zeros((9, 1)), np.ones(1), 0.05) is None
