"""Splits: parts have their shares, classes are spread, nothing is lost."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.splits import consecutive, stratified, windows


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=200),
    seed=st.integers(0, 1000),
)
def test_dealing_loses_nothing_and_puts_every_class_into_training(
    labels: list[int], seed: int
) -> None:
    y = np.array(labels, dtype=np.int64)
    parts = stratified(y, (0.6, 0.2, 0.2), np.random.default_rng(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert set(y[parts[0]].tolist()) == set(labels)


@given(
    counts=st.lists(st.integers(5, 60), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_the_parts_keep_their_shares_of_the_whole_and_of_each_class(
    counts: list[int], seed: int
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    parts = stratified(y, (0.6, 0.2, 0.2), np.random.default_rng(seed))
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * len(y)) <= 2
        for label, count in enumerate(counts):
            assert abs(int((y[part] == label).sum()) - share * count) <= 2


@given(steps=st.integers(0, 10_000))
def test_stretches_follow_each_other_and_end_where_the_series_ends(steps: int) -> None:
    parts = consecutive(steps, (0.7, 0.15, 0.15))
    assert parts[0].start == 0
    assert parts[-1].stop == steps
    assert all(one.stop == other.start for one, other in pairwise(parts))


@given(steps=st.integers(2, 300), window=st.integers(1, 50), divisor=st.integers(1, 10))
def test_windows_have_every_symbol_but_the_first_as_a_target(
    steps: int, window: int, divisor: int
) -> None:
    series = np.arange(steps, dtype=np.int64)
    stride = max(1, window // divisor)
    part = windows(series, window, stride)
    spans = list(zip(part.starts.tolist(), part.lengths.tolist(), strict=True))
    targets = [t for start, length in spans for t in part.x[start + 1 : start + length].tolist()]
    assert set(targets) == set(range(1, steps))
    assert all(2 <= length <= window + 1 for _, length in spans)
    for start, length in spans:
        assert (np.diff(part.x[start : start + length]) == 1).all()
    if stride == window:
        assert len(targets) == len(set(targets))
