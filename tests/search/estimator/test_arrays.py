"""X and y in the forms in which people have them become the same sequences, or are refused."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from search.estimator import arrays

RNG = np.random.default_rng(0)
CUBE = RNG.standard_normal((4, 6, 3))
TABLE = RNG.standard_normal((5, 7))

#: One thing in several forms: all give the same sequences.
SAME: dict[str, list[Any]] = {
    "[n, time, features]": [CUBE, CUBE.tolist(), list(CUBE)],
    "[n, time]": [TABLE, TABLE.tolist(), pd.DataFrame(TABLE), list(TABLE), TABLE[:, :, None]],
}


@pytest.mark.parametrize("forms", SAME.values(), ids=SAME)
def test_equal_sequences_are_equal_in_every_form(forms: list[Any]) -> None:
    first = arrays.sequences(forms[0])
    for form in forms[1:]:
        found = arrays.sequences(form)
        assert found.x.tolist() == first.x.tolist()
        assert found.lengths.tolist() == first.lengths.tolist()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 3))
def test_sequences_of_any_lengths_lie_end_to_end(lengths: list[int], features: int) -> None:
    given = [RNG.standard_normal((length, features)) for length in lengths]
    found = arrays.sequences(given)
    assert found.lengths.tolist() == lengths and found.columns == features
    ends = np.cumsum(lengths)[:-1]
    assert all(np.array_equal(a, b) for a, b in zip(np.split(found.x, ends), given, strict=True))


def test_frames_of_many_lengths_are_sequences() -> None:
    found = arrays.sequences([pd.DataFrame(CUBE[0]), pd.DataFrame(CUBE[1][:2])])
    assert found.lengths.tolist() == [6, 2] and found.x.tolist() == [
        *CUBE[0].tolist(),
        *CUBE[1][:2].tolist(),
    ]


def test_an_array_of_arrays_is_a_list_of_sequences() -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((2, 3)), np.ones((4, 3))]
    assert arrays.sequences(ragged).lengths.tolist() == [2, 4]


REFUSED: dict[str, tuple[Any, str]] = {
    "NaN in a list": ([np.zeros((3, 2)), np.full((2, 2), np.nan)], "X[1], step 0: X must have"),
    "NaN in an array": (np.full((2, 3), np.nan), "contains NaN"),
    "other features": ([np.zeros((3, 2)), np.zeros((3, 1))], "X[1]: a sequence must be [steps, 2]"),
    "no step": ([np.zeros((3, 2)), np.zeros((0, 2))], "X[1]: a sequence must be [steps, 2]"),
    "text": ([np.array([["a"]])], "X[0]: a sequence must hold numbers"),
    "four axes": (np.zeros((2, 2, 2, 2)), "X must be [n, time, features] or [n, time]"),
    "one axis": (np.zeros(4), "Expected 2D array"),
    "nothing": (np.zeros((0, 4)), "Found array with 0 sample"),
}


@pytest.mark.parametrize(("X", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_sequence_is_refused_with_its_place(X: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        arrays.sequences(X)


def test_a_sparse_matrix_is_refused() -> None:
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        arrays.sequences(csr_array(TABLE))


@pytest.mark.parametrize("y", [["b", "a"], [True, False], [3, -1], [2.0, 0.0]])
def test_classes_stay_in_the_order_of_their_names(y: list[Any]) -> None:
    found = arrays.classes(y, 2)
    assert np.unique(found).tolist() == sorted(found.tolist())
    assert found[0] > found[1]


@pytest.mark.parametrize("y", [None, [1.5, 0.25], [0], [[0, 1], [1, 0]]])
def test_what_is_no_class_for_each_sequence_is_refused(y: Any) -> None:
    with pytest.raises(ValueError):
        arrays.classes(y, 2)


@pytest.mark.parametrize("y", [None, [1.0, np.inf], ["a", "b"], [1.0]])
def test_what_is_no_number_for_each_sequence_is_refused(y: Any) -> None:
    with pytest.raises(ValueError):
        arrays.numbers(y, 2)


def test_several_targets_and_labels_stay_a_table() -> None:
    assert arrays.numbers([[1.5, 2], [3, 4]], 2).shape == (2, 2)
    assert arrays.labels([[True, False], [1, 1]], 2).tolist() == [[1, 0], [1, 1]]


def test_tags_lie_one_sequence_after_the_other() -> None:
    found = arrays.tags([["a", "b"], np.array(["b"])], np.array([2, 1]))
    assert found.tolist() == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: arrays.labels([[0, 2], [1, 1]], 2), "y must be [n, labels] of 0 and 1"),
        (lambda: arrays.labels([0, 1], 2), "y must be [n, labels] of 0 and 1"),
        (lambda: arrays.labels([[0, 1]], 2), "one value for each of the 2 sequences"),
        (lambda: arrays.tags([[0, 1]], np.array([2, 1])), "an array for each of the 2 sequences"),
        (lambda: arrays.tags([[0], [1]], np.array([2, 1])), "y[0]: y must have a class for each"),
        (lambda: arrays.tags(None, np.array([2])), "y is None"),
    ],
)
def test_targets_of_another_form_are_refused(call: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)):
        call()
