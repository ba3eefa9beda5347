"""Cohorts side by side: each is what it is by itself, and a failure ends none but its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small_trainings import points, small_config

from trainables.data.sequences import Data
from trainables.training.cohort import Cohort, cohort_of
from trainables.training.side_by_side import Lane, advance
from trainables.training.trainer import Training

MakeData = Callable[..., Data]
SIZES = (4, 6, 9)


def cohorts(data: Data, epochs: int) -> list[Any]:
    """Return a cohort of two trainings for each size."""
    return [
        cohort_of(
            [
                Training(small_config(hidden_size=size, max_epochs=epochs), data, seed=seed)
                for seed in (1, 2)
            ]
        )
        for size in SIZES
    ]


def lanes() -> list[Lane]:
    return [Lane(torch.device("cpu")) for _ in SIZES]


def never(number: int, error: Exception) -> None:
    raise AssertionError from error


def test_cohorts_side_by_side_train_as_each_does_by_itself(make_data: MakeData) -> None:
    data = make_data()
    together, alone = cohorts(data, 3), cohorts(data, 3)
    advance(together, lanes(), lambda number: True, never)
    for one, other in zip(together, alone, strict=True):
        other.advance(3)
        found = [points(member) for member in one.members]
        assert found == [points(member) for member in other.members]


def test_all_end_their_epoch_when_one_does_not_go_on(make_data: MakeData) -> None:
    together = cohorts(make_data(), 9)
    told: list[int] = []

    def goes_on(number: int) -> bool:
        told.append(number)
        return len(told) < 5

    advance(together, lanes(), goes_on, never)
    epochs = [cohort.members[0].epoch for cohort in together]
    assert epochs == [told.count(number) for number in range(len(SIZES))]
    assert all(1 <= epoch <= 2 for epoch in epochs)


def test_a_cohort_that_fails_is_told_and_no_other_begins_an_epoch(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Cohort.epoch

    def epoch(self: Cohort) -> Iterator[None]:
        if self.members[0].config.hidden_size == SIZES[1]:
            raise torch.OutOfMemoryError("none left")
        yield from train(self)

    together = cohorts(make_data(), 9)
    monkeypatch.setattr(Cohort, "epoch", epoch)
    failures: list[tuple[int, str]] = []
    advance(together, lanes(), lambda n: True, lambda n, error: failures.append((n, str(error))))
    assert failures == [(1, "none left")]
    assert [cohort.members[0].epoch for cohort in together] == [1, 0, 0]


def test_a_cohort_knows_how_many_trainings_advance_beside_it(make_data: MakeData) -> None:
    together = cohorts(make_data(), 1)
    beside: list[int] = []
    advance(together, lanes(), lambda n: bool(beside.append(together[n].beside)) or True, never)
    assert beside == [4, 4, 4], "other trainings of each"
    assert [cohort.beside for cohort in together] == [0, 0, 0]
