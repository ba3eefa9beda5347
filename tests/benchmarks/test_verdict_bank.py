"""What makes pairs of pseudo-arms honest, and what counts as a contradiction."""

from typing import Any

import numpy as np
import pytest
from verdict_bank import (
    CONFIGURATIONS,
    SEEDS,
    SPLITS,
    WAYS,
    Bank,
    PseudoArm,
    dealt_out,
    finalists,
    searches,
)
from verdict_jobs import contradictions

from search.results.evidence.pairs import Paired, default_margin
from search.results.ranking import CHOOSING

SHAPE = (CONFIGURATIONS, SPLITS, SEEDS)


def bank(**given: Any) -> Bank:
    """Return a bank of random values, but for those that are given."""
    drawn = np.random.default_rng(1).random((3, *SHAPE))
    values = dict(zip(("validation", "loss", "test"), drawn, strict=True))
    return Bank(**values | given)


def test_two_pseudo_arms_divide_all_trainings() -> None:
    made = bank(test=np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE))
    first, second = dealt_out(made, np.random.default_rng(0))
    assert sorted([*first.test.flat, *second.test.flat]) == list(made.test.flat)
    assert np.array_equal(first.test // SEEDS, second.test // SEEDS)  # of every configuration


def test_a_finalist_is_the_best_by_validation_then_by_loss() -> None:
    validation, loss = np.zeros(SHAPE), np.ones(SHAPE)
    validation[[3, 5, 7]], loss[5] = 1.0, 0.5
    arm, _ = dealt_out(bank(validation=validation, loss=loss), np.random.default_rng(0))
    assert list(arm.best_first(np.arange(CONFIGURATIONS), 0)[:2]) == [5, 3]


@pytest.mark.parametrize("name", WAYS)
def test_no_test_value_changes_what_is_chosen(name: str) -> None:
    seen, other = (
        WAYS[name][0](*dealt_out(bank(test=test), rng), rng)
        for test in (bank().test, bank().test - 1.0)
        for rng in [np.random.default_rng(0)]
    )
    assert np.allclose(seen.first, other.first + 1) and np.allclose(seen.second, other.second + 1)


def test_finalists_are_compared_on_all_splits_but_that_of_their_search() -> None:
    """All trainings on split 4 score 1, all others 0: the sum says whether it is among them."""
    test = np.zeros(SHAPE)
    test[:, 4] = 1.0
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pair = finalists(*dealt_out(bank(test=test), rng), rng, number=1, same=False)
        assert len(pair.first) == SPLITS - 1 and pair.first.sum() == pair.second.sum()
        found.append(pair.first.sum())
    assert set(found) == {0.0, 1.0} and found.count(0.0) < 15


def test_several_finalists_are_chosen_among_by_the_first_replicates() -> None:
    validation = np.random.default_rng(2).random(SHAPE)
    validation[:, :CHOOSING] = np.arange(CONFIGURATIONS)[:, None, None]
    arm, _ = dealt_out(bank(validation=validation), np.random.default_rng(0))
    assert arm.leader(np.array([2, 9, 4]), np.arange(CHOOSING)) == 9


def test_who_chooses_the_worst_loses() -> None:
    values, rng = np.random.default_rng(2).random(SHAPE), np.random.default_rng(0)
    first, second = dealt_out(bank(validation=values, test=values), rng)
    pair = searches(first, second.misled, rng)
    assert (pair.first > pair.second).all()


def test_a_diverged_training_comes_last_in_a_search_and_loses() -> None:
    rows = [{"trained": [[one, one]]} for one in (None, (0.1, 2.0, 0.2))]
    made = Bank.of(rows)
    arm = PseudoArm(*(value[..., 0] for value in (made.validation, made.loss, made.test)))
    assert list(arm.best_first(np.arange(2), 0)) == [1, 0]
    pair = Paired(arm.test[0], arm.test[1])
    assert list(pair.outcomes(default_margin(maximize=True), maximize=True)) == [0.0]


@pytest.mark.parametrize(
    ("winners", "found"),
    [(["a", "a"], 0), (["a", None], 0), (["a", "b"], 1), (["b", "a", "b"], 1)],
)
def test_jobs_contradict_each_other_where_they_name_opposite_winners(
    winners: list[str | None], found: int
) -> None:
    verdicts = {
        str(job): {
            "pairs": [
                {
                    "first": "a",
                    "second": "b",
                    "winner": winner,
                    "decision": "better" if winner else "inconclusive",
                }
            ]
        }
        for job, winner in enumerate(winners)
    }
    assert len(contradictions(verdicts)) == found
