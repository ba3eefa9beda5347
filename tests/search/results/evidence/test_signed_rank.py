"""Claims about tests of gains over tasks: oracles of the Bayesian and of Wilcoxon's test, ranks."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search.results.evidence.ranks import holm, least_tasks, ranks
from search.results.evidence.signed_rank import (
    Shares,
    above_zero,
    bayesian,
    beyond,
    midranks,
    within,
)

GAINS = (
    (0.2, 1.1, 3.0, -0.4, 1.7, 3.3, 4.1),
    (0.5, -0.6, 0.3, 0.1, -0.2, 0.75),
    (2.0, 9.0, -7.0, 5.0, -4.5, 1.5, 0.3, -0.8, 3.1),
    (-12.0, -3.0, -5.0, -1.5, -2.5, -8.0),
)
gains_of_tasks = st.lists(st.integers(-6, 6), min_size=1, max_size=8)


@pytest.mark.parametrize("gains", GAINS)
def test_the_bayesian_test_gives_what_its_authors_package_gives(gains: tuple[float, ...]) -> None:
    import baycomp

    ours = np.array(bayesian(np.array(gains), 1.0))
    # baycomp's first share is that of the first argument's being better.
    theirs = baycomp.SignedRankTest.probs(
        np.array(gains), np.zeros(len(gains)), 1.0, nsamples=20_000, random_state=0
    )
    assert np.abs(ours - theirs).max() < 0.02  # both are drawn 20,000 times


def test_the_bayesian_test_follows_its_definition() -> None:
    """For each draw of the tasks' weights, the largest of three sums over all two tasks counts."""
    gains, counted = [0.7, -0.2, 2.5], np.zeros(3)
    seen = [0.0, *gains]
    for weights in np.random.default_rng(5).dirichlet([0.5, 1, 1, 1], size=4_000):
        sums = [0.0, 0.0, 0.0]
        for (a, one), (b, other) in product(enumerate(seen), repeat=2):
            side = 0 if one + other > 2 else 2 if one + other < -2 else 1
            sums[side] += weights[a] * weights[b]
        counted[int(np.argmax(sums))] += 1 / 4_000
    assert bayesian(np.array(gains), 1.0) == pytest.approx(tuple(counted), abs=0.03)


def test_the_other_order_of_two_arms_mirrors_the_answer() -> None:
    for gains in GAINS:
        shares, mirrored = (bayesian(sign * np.array(gains), 1.0) for sign in (1, -1))
        assert mirrored == Shares(shares.second, shares.same, shares.first)


@settings(max_examples=60, deadline=None)
@given(gains_of_tasks)
def test_wilcoxons_test_counts_all_signs_of_the_same_sizes(gains: list[int]) -> None:
    found = np.array(gains, dtype=float)
    weights = np.where(found == 0, 0.0, midranks(np.abs(found)))
    seen = weights[found > 0].sum()
    sums = [np.dot(signs, weights) for signs in product((0, 1), repeat=len(gains))]
    assert above_zero(found) == pytest.approx(np.mean([s >= seen - 1e-9 for s in sums]))


def test_wilcoxons_test_gives_what_scipy_gives_where_nothing_ties() -> None:
    rng = np.random.default_rng(1)
    for number in (6, 9, 14):
        gains = rng.normal(0.5, 1, number)
        assert beyond(gains, 0.0) == pytest.approx(stats.wilcoxon(gains, method="exact").pvalue)
        greater = stats.wilcoxon(gains, alternative="greater", method="exact").pvalue
        assert above_zero(gains) == pytest.approx(greater)


def test_gains_within_the_margin_are_shown_so_from_both_sides() -> None:
    assert within(np.array([0.1, -0.2, 0.3, 0.05, -0.1, 0.2]), 1.0) == 1 / 64
    assert within(np.array([0.1, -0.2, 0.3, 0.05, -0.1, 5.0]), 1.0) > 0.05
    assert within(np.array([2.0] * 6), 1.0) == 1.0
    assert beyond(np.array([2.0] * 6), 1.0) == 2 / 64
    assert beyond(np.array([0.9] * 6), 1.0) == 1.0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_midranks_are_those_of_scipy(values: list[int]) -> None:
    found = np.array(values, dtype=float)
    assert midranks(found).tolist() == stats.rankdata(found).tolist()


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_fewer_tasks_than_the_least_can_tell_no_two_arms_apart() -> None:
    for pairs in (1, 3, 6, 10):
        least = least_tasks(pairs, 0.05)
        ahead = [beyond(np.arange(1.0, number + 1), 0.0) for number in (least - 1, least)]
        assert pairs * ahead[0] > 0.05 >= pairs * ahead[1]


def test_arms_stand_at_their_mean_ranks_and_bars_join_those_not_told_apart() -> None:
    costs = {
        "c": np.array([3.0, 3.0, 3.0]),
        "a": np.array([1.0, 2.0, 1.0]),
        "b": np.array([2.0, 1.0, 1.0]),
    }
    found = ranks(costs, {frozenset("ac")})
    assert found.means == pytest.approx({"a": 1.5, "b": 1.5, "c": 3.0})
    # Who is told apart need not follow the ranks: a and b are joined, and b and c.
    assert found.groups == (("a", "b"), ("b", "c"))
    assert ranks(costs, {frozenset(two) for two in ("ab", "ac", "bc")}).groups == ()
    assert ranks(costs, set()).groups == (("a", "b", "c"),)
