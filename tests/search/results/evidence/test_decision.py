"""Claims about decisions on pairs of arms, one and several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.results.evidence.betting import Counts, interval
from search.results.evidence.decision import (
    decide,
    decisions,
    not_shown_worse,
    simultaneous_intervals,
)
from search.results.evidence.needed import MOST, still_needed

ALPHA = 0.05
numbers = st.integers(0, 60)
counts_of_a_pair = st.tuples(numbers, numbers, numbers).filter(any)


def counted(wins: float, ties: float, losses: float) -> Counts:
    return Counts(*map(np.float64, (wins, ties, losses)))


@pytest.mark.parametrize(
    ("counts", "decision"),
    [
        ((10, 0, 0), "better"),
        ((0, 0, 10), "better"),
        ((5, 0, 0), "inconclusive"),
        ((6, 0, 4), "inconclusive"),
        ((0, 8, 0), "equivalent"),
        ((0, 6, 0), "inconclusive"),
        ((25, 0, 25), "equivalent"),
        ((75, 0, 25), "better"),
        ((600, 0, 400), "better"),  # equivalent as well: the stronger claim is made
    ],
)
def test_known_counts_are_decided_as_they_should(
    counts: tuple[int, int, int], decision: str
) -> None:
    assert decisions([counted(*counts)], ALPHA) == [decision]


@given(st.lists(counts_of_a_pair, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_decision_does_not_depend_on_the_order_of_the_two_arms(
    pairs: list[tuple[int, int, int]],
) -> None:
    counts = [counted(*pair) for pair in pairs]
    assert decisions([c.swapped for c in counts], ALPHA) == decisions(counts, ALPHA)


@given(st.lists(counts_of_a_pair, min_size=2, max_size=6))
@settings(deadline=None)
def test_further_arms_make_no_claim_that_one_pair_alone_does_not_allow(
    pairs: list[tuple[int, int, int]],
) -> None:
    counts = [counted(*pair) for pair in pairs]
    for alone, together in zip(counts, decisions(counts, ALPHA), strict=True):
        better, same = decide(Counts(*(np.array([c]) for c in alone)), ALPHA)
        assert together == "inconclusive" or better[0] or same[0]


@given(st.lists(counts_of_a_pair, min_size=2, max_size=6))
@settings(deadline=None)
def test_the_adjusted_level_is_never_stricter_than_bonferroni(
    pairs: list[tuple[int, int, int]],
) -> None:
    counts = [counted(*pair) for pair in pairs]
    for pair, together in zip(counts, decisions(counts, ALPHA), strict=True):
        if decisions([pair], ALPHA / len(pairs)) != ["inconclusive"]:
            assert together != "inconclusive"


def test_the_best_arms_are_those_that_none_was_shown_better_than() -> None:
    assert not_shown_worse(["a", "b", "c"], {"b"}) == ("a", "c")
    assert not_shown_worse(["a", "b", "c"], {"a", "b", "c"}) == ("a", "b", "c")


def test_pairs_still_needed_fall_as_evidence_grows_and_tell_their_range() -> None:
    few, more = (still_needed(counted(w, 0, n - w), ALPHA) for w, n in ((4, 5), (8, 9)))
    for found in (few, more):
        assert found.low is not None and found.estimate is not None
        assert 1 <= found.low <= found.estimate and found.high is not None
        assert found.estimate <= found.high <= MOST
    assert more.estimate < few.estimate  # type: ignore[operator]


@given(counts_of_a_pair)
@settings(max_examples=20, deadline=None)
def test_pairs_still_needed_are_the_same_for_both_orders_of_arms(
    pair: tuple[int, int, int],
) -> None:
    counts = counted(*pair)
    assert still_needed(counts, ALPHA) == still_needed(counts.swapped, ALPHA)


def test_more_arms_need_more_pairs() -> None:
    one, three = (still_needed(counted(7, 0, 3), ALPHA / pairs) for pairs in (1, 3))
    assert three.estimate > one.estimate  # type: ignore[operator]


def test_intervals_of_several_pairs_of_arms_share_the_level() -> None:
    several = [counted(9, 2, 1), counted(0, 3, 9), counted(0, 0, 0)]
    each = [tuple(map(float, interval(counts, ALPHA / 3))) for counts in several]
    assert simultaneous_intervals(several, ALPHA) == each
