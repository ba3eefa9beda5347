"""Batches hold every sequence once, padded with zeros, in an order that can be had again."""

from typing import Any

import numpy as np
import pytest

from trainables.data.batches import Batches
from trainables.data.sequences import Data, Sequences


def test_every_sequence_comes_once_an_epoch(make_data: Any) -> None:
    data: Data = make_data(count=23)
    batches = list(Batches(data.train, data.info.kind).shuffled(5, seed=0, epoch=1))
    assert [len(batch.lengths) for batch in batches] == [5, 5, 5, 5, 3]
    sums = sorted(float(total) for batch in batches for total in batch.x.sum(dim=(0, 2)).double())
    parts = np.split(data.train.x, data.train.starts[1:])
    np.testing.assert_allclose(sums, sorted(float(part.sum()) for part in parts), atol=1e-4)


def test_padding_is_zero_and_the_longest_comes_first(make_data: Any) -> None:
    data: Data = make_data()
    for batch in Batches(data.train, data.info.kind).shuffled(6, seed=0, epoch=1):
        lengths = batch.lengths.tolist()
        assert lengths == sorted(lengths, reverse=True)
        assert len(batch.x) == lengths[0]
        for at, length in enumerate(lengths):
            assert batch.x[length:, at].abs().sum() == 0
            assert batch.x[:length, at].abs().min() > 0


def test_the_order_follows_from_seed_and_epoch(make_data: Any) -> None:
    data: Data = make_data()
    batches = Batches(data.train, data.info.kind)

    def first(seed: int, epoch: int) -> list[float]:
        return list(next(batches.shuffled(6, seed, epoch)).x.flatten().tolist())

    assert first(0, 1) == first(0, 1)
    assert first(0, 1) != first(0, 2)
    assert first(0, 1) != first(1, 1)


@pytest.mark.parametrize("kind", ["next-token", "next-step"])
def test_targets_are_the_input_one_step_on(kind: Any, make_data: Any) -> None:
    data: Data = make_data(kind)
    for batch in Batches(data.train, kind).ordered():
        for at, length in enumerate(batch.lengths.tolist()):
            assert (batch.targets[: length - 1, at] == batch.x[1:length, at]).all()


def test_sequences_too_short_to_hold_a_target_are_left_out() -> None:
    sequences = Sequences(np.arange(6) % 3, np.array([1, 4, 1]))
    batches = Batches(sequences, "next-token")
    (batch,) = batches.ordered()
    assert batch.x[:, 0].tolist() == [1, 2, 0]
    assert batch.targets[:, 0].tolist() == [2, 0, 1]


def test_an_evaluation_s_batches_stay_below_the_asked_steps(make_data: Any) -> None:
    data: Data = make_data(count=40)
    batches = list(Batches(data.train, data.info.kind).ordered(steps=30))
    assert all(batch.x.shape[0] * batch.x.shape[1] <= 30 for batch in batches)
    assert sum(len(batch.lengths) for batch in batches) == 40
