"""Dominance: less is better in every objective."""

import pytest

from search.job.objectives import dominates


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 1.0], [2.0, 2.0], True),
        ([1.0, 2.0], [2.0, 2.0], True),
        ([2.0, 2.0], [2.0, 2.0], False),
        ([1.0, 3.0], [2.0, 2.0], False),
        ([2.0, 2.0], [1.0, 2.0], False),
        ([1.0], [2.0], True),
    ],
)
def test_a_trial_dominates_where_it_is_nowhere_worse_and_somewhere_better(
    one: list[float], other: list[float], expected: bool
) -> None:
    assert dominates(one, other) is expected


def test_trials_with_different_objectives_are_not_compared() -> None:
    with pytest.raises(ValueError, match="longer"):
        dominates([1.0], [1.0, 2.0])
