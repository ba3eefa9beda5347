"""Streams of a text: every target once, in its order, and what comes before it known."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.sequences import Sequences
from trainables.data.splits import windows
from trainables.data.streams import Streams
from trainables.data.stretches import Targets, whole

drawn = st.integers(1, 9)


def series(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.int64)


@given(st.integers(2, 60), drawn, drawn, drawn, drawn)
def test_every_symbol_but_the_first_is_a_target_once_however_it_is_cut(
    length: int, window: int, stride: int, number: int, steps: int
) -> None:
    part = windows(series(length), window, min(stride, window))
    streams = Streams(part, number, steps)
    found = []
    last: dict[int, int] = {}
    for seen in streams:
        assert len(seen.batch.x) <= steps and len(seen.streams) <= number
        for b, stream in enumerate(seen.streams.tolist()):
            n = int(seen.batch.lengths[b])
            x, targets = seen.batch.x[:n, b].tolist(), seen.batch.targets[:n, b].tolist()
            assert targets == [symbol + 1 for symbol in x]
            if stream in last:  # it goes on where it was
                assert x[0] == last[stream] and not seen.first[b]
            else:
                assert seen.first[b]
            last[stream] = targets[-1]
            found += targets
        assert (seen.batch.lengths.diff() <= 0).all()
    assert sorted(found) == list(range(1, length))


def test_streams_are_about_equally_long() -> None:
    part = windows(series(101), 7, 7)
    sizes = np.zeros(8, dtype=np.int64)
    for seen in Streams(part, 8, 5):
        sizes[seen.streams] += seen.batch.lengths.numpy()
    assert sizes.sum() == 100 and sizes.max() - sizes.min() <= 1


def test_windows_of_a_part_that_was_dealt_in_two_stretches_begin_anew_between_them() -> None:
    part = windows(series(51), 10, 10)
    dealt = part.chosen(np.array([0, 1, 3, 4]))
    targets = Targets.of(dealt)
    assert np.flatnonzero(targets.first).tolist() == [0, 20]
    assert len(targets) == 40
    firsts = [seen.first.tolist() for seen in Streams(dealt, 1, 15)]
    assert firsts == [[True], [False], [True], [False]]


def test_parts_of_a_text_do_not_go_on_from_one_another_where_a_symbol_lies_between() -> None:
    first, second = windows(series(21), 10, 10), windows(series(11) + 21, 10, 10, 21)
    joined = Sequences(
        np.concatenate([first.x, second.x]),
        np.concatenate([first.lengths, second.lengths]),
        offsets=np.concatenate([first.offsets, second.offsets]),  # type: ignore[arg-type]
    )
    assert np.flatnonzero(Targets.of(joined).first).tolist() == [0, 20]


def test_sequences_of_no_text_are_stretches_of_their_own() -> None:
    part = Sequences(series(9), np.array([4, 1, 4]))
    targets = Targets.of(part)
    assert targets.first.tolist() == [True, False, False, True, False, False]
    assert targets.sequence.tolist() == [0, 0, 0, 2, 2, 2]


def test_a_text_as_a_whole_is_its_stretches() -> None:
    part = windows(series(51), 10, 10)
    assert whole(part).x.tolist() == list(range(51)) and whole(part).lengths.tolist() == [51]
    dealt = part.chosen(np.array([4, 0, 1]))
    assert whole(dealt).lengths.tolist() == [21, 11]
    assert whole(dealt).x.tolist() == [*range(21), *range(40, 51)]


def test_padding_is_zeros_behind_the_longest_streams() -> None:
    part = windows(series(8), 7, 7)
    (seen,) = Streams(part, 2, 7)
    assert seen.batch.lengths.tolist() == [4, 3]
    assert torch.equal(seen.batch.x[3], torch.tensor([6, 0]))
