"""X and y, in the forms in which people have them, as sequences that lie end to end.

X is an array [n, time, features], an array or DataFrame [n, time] (one feature), or a list of n
arrays [steps] or [steps, features] of any lengths.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from spaces.errors import InputError
from trainables.data.formats.ragged import first, sequence_of

Array = NDArray[Any]


@dataclass(frozen=True)
class SequencesGiven:
    """n sequences."""

    x: Array  #: [all steps, features]
    lengths: NDArray[np.int64]  #: [n]
    columns: int  #: features; of an array [n, time] its columns, as scikit-learn counts them

    def __len__(self) -> int:
        return len(self.lengths)


def sequences(X: Any) -> SequencesGiven:
    """Return the sequences of X. Raises ValueError, and TypeError for sparse matrices."""
    if _is_ragged(X):
        return _of_list(X)
    array = check_array(X, allow_nd=True, dtype="numeric", estimator="GateSearch", input_name="X")
    if array.ndim > 3:
        rule = f"X must be [n, time, features] or [n, time], not {list(array.shape)}"
        raise InputError.of("X", rule, "give a list of arrays [steps, features]")
    columns = array.shape[-1]
    steps = array.reshape(len(array), array.shape[1], -1)
    lengths = np.full(len(steps), steps.shape[1], np.int64)
    return SequencesGiven(_checked(steps.reshape(-1, steps.shape[2]), lengths), lengths, columns)


def classes(y: Any, n: int) -> Array:
    """Return classes [n] as text or whole numbers. Raises ValueError."""
    if y is None:
        raise ValueError("GateSearch requires y to be passed, but the target y is None.")
    if np.asarray(y).dtype.kind == "f":
        assert_all_finite(y, input_name="y")  # which the next line casts to whole numbers
    check_classification_targets(y)
    found = _one_each(y, n)
    if found.dtype.kind in "biu":
        return found
    if found.dtype.kind == "f":  # scikit-learn takes whole numbers written as floats for classes
        return found.astype(np.int64)
    return np.array([str(each) for each in found])


def numbers(y: Any, n: int) -> Array:
    """Return targets [n], or [n, targets] of several, as finite numbers. Raises ValueError."""
    if y is None:
        raise ValueError("GateSearch requires y to be passed, but the target y is None.")
    found = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", estimator="GateSearch")
    return _rows(found, n) if found.ndim == 2 and found.shape[1] > 1 else _one_each(found, n)


def labels(y: Any, n: int) -> Array:
    """Return labels [n, labels] of 0 and 1. Raises ValueError."""
    found = numbers(y, n)
    if found.ndim != 2 or not np.isin(found, (0, 1)).all():
        rule = "y must be [n, labels] of 0 and 1, of two labels or more, for multi-label"
        raise InputError.of("y", rule, "write 1 where a label holds, otherwise 0")
    return found.astype(np.int64)


def tags(y: Any, lengths: NDArray[np.int64]) -> Array:
    """Return a class of each step, one sequence after the other. Raises ValueError.

    y: [n, time], or a list of n arrays [steps].
    """
    if y is None:
        raise ValueError("GateSearch requires y to be passed, but the target y is None.")
    found = [np.atleast_1d(np.asarray(each)) for each in y]
    if len(found) != len(lengths):
        rule = f"y must have an array for each of the {len(lengths)} sequences, not {len(found)}"
        raise InputError.of("y", rule, "give X and y in the same order")
    for number, (each, length) in enumerate(zip(found, lengths.tolist(), strict=True)):
        if each.shape != (length,):
            rule = f"y must have a class for each of the {length} steps, not {list(each.shape)}"
            raise InputError.of(f"y[{number}]", rule, "give one for each step of X")
    return classes(np.concatenate(found), int(lengths.sum()))


def groups(given: Any, n: int) -> Array:
    """Return groups [n] as text or whole numbers. Raises ValueError."""
    found = _one_each(given, n, "groups")
    return found if found.dtype.kind in "iu" else np.array([str(each) for each in found])


def _one_each(y: Any, n: int, name: str = "y") -> Array:
    return _rows(column_or_1d(y, warn=True), n, name)


def _rows(found: Array, n: int, name: str = "y") -> Array:
    if len(found) != n:
        rule = f"{name} must have one value for each of the {n} sequences of X, not {len(found)}"
        raise InputError.of(name, rule, f"give X and {name} in the same order")
    return found


def _is_ragged(X: Any) -> bool:
    """Return whether X is a list of sequences, of which each has steps of its own."""
    if isinstance(X, np.ndarray):
        return X.ndim == 1 and X.dtype == object and len(X) > 0 and np.ndim(X[0]) > 0
    if not isinstance(X, list | tuple) or len(X) == 0 or not hasattr(X[0], "__array__"):
        return False  # of plain lists, they are a table's rows
    return np.ndim(X[0]) > 0  # arrays, DataFrames, tensors


def _of_list(X: Iterable[Any]) -> SequencesGiven:
    found = [np.asarray(each) for each in X]
    found = [each[:, None] if each.ndim == 1 else each for each in found]
    features = found[0].shape[-1]
    for number, each in enumerate(found):
        if each.ndim != 2 or each.shape[1] != features or len(each) == 0:
            rule = f"a sequence must be [steps, {features}], with at least one step, as the first"
            raise InputError.of(f"X[{number}]", f"{rule}, not {list(each.shape)}", "correct it")
        if each.dtype.kind not in "fiub":
            rule = f"a sequence must hold numbers, not {each.dtype}"
            raise InputError.of(f"X[{number}]", rule, "encode categories as columns of 0 and 1")
    lengths = np.array([len(each) for each in found], np.int64)
    return SequencesGiven(_checked(np.concatenate(found), lengths), lengths, features)


def _checked(x: Array, lengths: NDArray[np.int64]) -> Array:
    if (at := first(np.isfinite(x).min(axis=1) == 0)) is not None:
        sequence, step = sequence_of(lengths, at)
        rule = "X must have finite values alone; here is NaN or infinity"
        raise InputError.of(f"X[{sequence}], step {step}", rule, "fill such values")
    return x
