"""Batches hold every sequence once, padded with zeros, in an order that can be had again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces.tasks import JapaneseVowels
from trainables.data.batches import Batches
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load
from trainables.training.stacked_data import StackedData


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


#: Few long sequences among many short ones: of a small set, one batch must hold them all.
SETS = {
    "uniform": np.random.default_rng(0).integers(20, 401, 500),
    "log-normal": np.maximum(2, np.random.default_rng(1).lognormal(4, 0.8, 4_000).astype(np.int64)),
}


def of_lengths(lengths: Any) -> Sequences:
    return Sequences(np.zeros((lengths.sum(), 1), np.float32), lengths, np.arange(len(lengths)) % 2)


def vowels() -> Sequences:
    return load(JapaneseVowels(name="japanese-vowels"), Path()).train


@pytest.fixture(params=[*SETS, "japanese-vowels"])
def ragged(request: pytest.FixtureRequest) -> Sequences:
    return of_lengths(SETS[request.param]) if request.param in SETS else vowels()


def padding(batches: Iterable[tuple[Any, int]]) -> float:
    """The share of padding in batches of sequences, each padded to so many steps."""
    read, padded = 0, 0
    for lengths, steps in batches:
        read += int(lengths.sum())
        padded += len(lengths) * steps
    return 1 - read / padded


def test_buckets_hold_every_sequence_once_in_batches_of_the_same_sizes(ragged: Sequences) -> None:
    plain, buckets = (Batches(ragged, "classification", buckets=b) for b in (False, True))
    for epoch in (1, 2):
        mixed, alike = (list(b.shuffled_choices(32, 0, epoch)) for b in (plain, buckets))
        assert [len(chosen) for chosen in alike] == [len(chosen) for chosen in mixed]
        assert sorted(np.concatenate(alike).tolist()) == list(range(len(ragged)))
    again = Batches(ragged, "classification", buckets=True).shuffled_choices(32, 0, 2)
    assert all((a == b).all() for a, b in zip(again, alike, strict=True))


def test_less_than_15_percent_of_batches_in_buckets_is_padding(ragged: Sequences) -> None:
    without, within = (
        padding(
            (b.lengths(c), b.lengths(c)[0]) for e in (1, 2) for c in b.shuffled_choices(32, 0, e)
        )
        for b in (Batches(ragged, "classification", buckets=buckets) for buckets in (False, True))
    )
    assert without > 0.25
    assert within < 0.15
    evaluated = Batches(ragged, "classification", buckets=True)
    chosen = list(evaluated.ordered_choices())
    assert sorted(np.concatenate(chosen).tolist()) == list(range(len(ragged)))
    assert padding((evaluated.lengths(c), evaluated.lengths(c)[0]) for c in chosen) < 0.15


def test_trainings_in_one_launch_on_a_card_have_that_little_padding_together(
    ragged: Sequences,
) -> None:
    """Each has a seed and an epoch of its own, and all are padded to the longest of any."""
    there = StackedData((ragged,), "classification", torch.device("cpu"))
    batches = Batches(ragged, "classification", buckets=True)
    members = [batches.shuffled_choices(32, member, 1 + 5 * member) for member in range(8)]
    launches = [np.concatenate(chosen) for chosen in zip(*members, strict=True)]
    assert padding((batches.lengths(c), there.steps(c, buckets=True)) for c in launches) < 0.15


def test_sequences_of_nearly_one_length_change_their_company(ragged: Sequences) -> None:
    batches = Batches(ragged, "classification", buckets=True)
    first, second = (
        {frozenset(chosen.tolist()) for chosen in batches.shuffled_choices(32, 0, epoch)}
        for epoch in (1, 2)
    )
    assert not first & second
