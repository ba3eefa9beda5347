"""Rows hold every step of every sequence once, and know where it belongs."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.engine.rows import Rows, rows_of


@st.composite
def lengths_of_models(draw: st.DrawFn) -> list[list[int]]:
    models, batch = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    sequences = st.lists(st.integers(1, 6), min_size=batch, max_size=batch)
    return draw(st.lists(sequences, min_size=models, max_size=models))


def identities(rows: Rows) -> list[tuple[int, int, int]]:
    """Return (model, step, place) of each row."""
    columns = (rows.model.tolist(), rows.step.tolist(), rows.place.tolist())
    return list(zip(*columns, strict=True))


@given(lengths=lengths_of_models())
def test_each_step_of_each_sequence_is_one_row(lengths: list[list[int]]) -> None:
    rows = Rows(np.array(lengths))
    expected = {
        (model, step, place)
        for model, of_model in enumerate(lengths)
        for place, length in enumerate(of_model)
        for step in range(length)
    }
    assert len(rows) == len(expected)
    assert set(identities(rows)) == expected


@given(lengths=lengths_of_models())
def test_rows_go_model_by_model_step_by_step_and_the_longest_first(
    lengths: list[list[int]],
) -> None:
    rows = Rows(np.array(lengths))
    keys = [(model, step, -lengths[model][place]) for model, step, place in identities(rows)]
    assert all(one <= other for one, other in pairwise(keys))
    for model, part in enumerate(rows.slices()):
        assert set(rows.model[part].tolist()) == {model}


@given(lengths=lengths_of_models())
def test_first_last_and_reversed_are_of_the_same_sequence(lengths: list[list[int]]) -> None:
    rows = Rows(np.array(lengths))
    found = identities(rows)
    for model, of_model in enumerate(lengths):
        for place, length in enumerate(of_model):
            assert found[rows.first[model, place]] == (model, 0, place)
            assert found[rows.last[model, place]] == (model, length - 1, place)
    for row, mirrored in enumerate(rows.reversed.tolist()):
        model, step, place = found[row]
        assert found[mirrored] == (model, lengths[model][place] - 1 - step, place)


@given(lengths=lengths_of_models(), back=st.integers(1, 3))
def test_earlier_rows_are_of_the_same_sequence(lengths: list[list[int]], back: int) -> None:
    rows = Rows(np.array(lengths))
    found = identities(rows)
    later, earlier = (index.tolist() for index in rows.earlier(back))
    assert [row for row, (_, step, _) in enumerate(found) if step >= back] == later
    for row, before in zip(later, earlier, strict=True):
        model, step, place = found[row]
        assert found[before] == (model, step - back, place)


def padded(lengths: list[int], steps: int) -> Tensor:
    """Return a batch [T, B, 2] of different numbers, zero in the padding."""
    x_TBF = torch.arange(1.0, 1 + steps * len(lengths) * 2).view(steps, len(lengths), 2)
    valid_TB1 = (torch.arange(steps)[:, None] < torch.tensor(lengths))[..., None]
    return torch.where(valid_TB1, x_TBF, 0)


@pytest.mark.parametrize(
    ("lengths", "steps"), [([4, 4, 4], 4), ([4, 4], 6), ([1, 5, 3], 5), ([2], 2), ([1, 1], 3)]
)
def test_scattering_gathered_rows_gives_the_padded_batch_again(
    lengths: list[int], steps: int
) -> None:
    rows, x_TBF = rows_of(torch.tensor(lengths), steps), padded(lengths, steps)
    gathered = rows.gather(x_TBF)
    assert gathered.flatten(0, -2).shape == (sum(lengths), 2)
    assert gathered.count_nonzero() == gathered.numel()
    assert torch.equal(rows.scatter(gathered), x_TBF)


@given(lengths=lengths_of_models())
def test_scattering_gathered_rows_gives_each_model_s_padded_batch_again(
    lengths: list[list[int]],
) -> None:
    rows = Rows(np.array(lengths))
    batches = [padded(of_model, max(of_model)) for of_model in lengths]
    again = rows.scatter_each(rows.gather_each(batches))
    assert all(map(torch.equal, again, batches)) and len(again) == len(batches)
