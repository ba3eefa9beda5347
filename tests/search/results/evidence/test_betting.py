"""Claims about the bets on P: what they are, what they hold, what changes nothing in them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.results.evidence.betting import FRACTIONS, Counts, interval, log_capital

ALPHA = 0.05
outcome_lists = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60)


def counted(wins: float, ties: float, losses: float) -> Counts:
    return Counts(*map(np.float64, (wins, ties, losses)))


@given(outcome_lists, st.sampled_from([0.1, 0.25, 0.5, 0.75]))
@settings(deadline=None)
def test_the_capital_is_the_average_of_products_over_constant_fractions(
    drawn: list[float], mean: float
) -> None:
    products = [
        math.prod(1 + fraction / mean * (x - mean) for x in drawn) for fraction in FRACTIONS
    ]
    found = np.exp(log_capital(Counts.of(np.array(drawn)), mean))
    assert found == pytest.approx(sum(products) / 10, rel=1e-9)


@given(st.sampled_from([0.2, 0.5, 0.8]), st.floats(0, 1))
@settings(deadline=None)
def test_one_more_pair_multiplies_no_expected_capital_where_the_bet_is_wrong(
    mean: float, ties: float
) -> None:
    """E[capital] is 1 after one pair at P = mean: what Ville's inequality needs."""
    share = ties * min(mean, 1 - mean) * 2
    chances = (mean - share / 2, share, 1 - mean - share / 2)
    units = np.eye(3)
    capitals = [float(np.exp(log_capital(counted(*unit), mean))) for unit in units]
    assert sum(c * k for c, k in zip(chances, capitals, strict=True)) == pytest.approx(1)


@given(outcome_lists, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_pairs_changes_no_capital(drawn: list[float], random: object) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Counts.of(np.array(shuffled)) == Counts.of(np.array(drawn))


@given(outcome_lists)
@settings(deadline=None)
def test_the_interval_holds_the_mean_and_mirrors_when_arms_are_swapped(drawn: list[float]) -> None:
    counts = Counts.of(np.array(drawn))
    low, high = interval(counts, ALPHA)
    assert 0 <= low <= np.mean(drawn) <= high <= 1
    assert interval(counts.swapped, ALPHA) == pytest.approx((1 - high, 1 - low))


@given(outcome_lists)
@settings(deadline=None)
def test_the_interval_excludes_a_half_exactly_where_a_bet_against_it_is_won(
    drawn: list[float],
) -> None:
    counts = Counts.of(np.array(drawn))
    low, high = interval(counts, ALPHA)
    won = max(log_capital(counts, 0.5), log_capital(counts.swapped, 0.5)) >= np.log(2 / ALPHA)
    assert won == (low > 0.5 or high < 0.5)


def test_the_interval_narrows_with_pairs_and_reaches_its_ends_only_on_one_side() -> None:
    widths = [np.subtract(*interval(counted(n, 0, n), ALPHA)[::-1]) for n in (3, 10, 50, 500)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.15
    low, high = interval(counted(20, 0, 0), ALPHA)
    assert high == 1 and 0.7 < low < 1
    assert interval(counted(0, 0, 0), ALPHA) == (0, 1)
