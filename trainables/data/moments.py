"""Mean and deviation of features of any number of steps, in memory that does not grow with them.

They are, bit for bit, what NumPy gives for all steps at once in float64: values are added in its
order, which is step after step where there are several features, and pairwise by halves for one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.own_task import Scaling
from trainables.data.rows import BLOCK_BYTES, Rows, blocks, rows_at_once

#: Mean and deviation of each feature, [features] float32 each.
Moments = tuple[NDArray[np.float32], NDArray[np.float32]]

Floats = NDArray[np.float64]
#: Mean, deviation and whether it never changes, [features] each.
Figures = tuple[Floats, Floats, NDArray[np.bool_]]


def moments(values: Rows, scaling: Scaling = "standard") -> Moments:
    """Return mean and deviation [features] of values [n, features]; 1 for one that never changes.

    Of another scaling it is what stands for these: the median and the range between the quartiles
    (robust), or the least value and the range (min-max). Both are rounded to float32, as an
    exported model has them, and only then applied. NaN does not count; a feature of nothing else
    has mean 0.
    """
    if scaling == "standard":
        mean, deviation, constant = figures(values)
    else:
        mean, deviation, constant = _of_columns(values, _MIDDLES[scaling])
    short = deviation.astype(np.float32)
    short[constant | (short < np.finfo(np.float32).tiny)] = 1.0
    return mean.astype(np.float32), short


def mean_of(values: Rows) -> Floats:
    """Return the mean [features] of values [n, features]."""
    return _sum(values) / values.shape[0]


def figures(values: Rows) -> Figures:
    """Return the figures of values [n, features]; NaN does not count."""
    least, most, missing = _range(values)
    if missing:
        return _of_columns(values, figures)
    number = values.shape[0]
    mean = _sum(values) / number
    deviation = np.sqrt(_sum(values, mean) / number)
    return mean, deviation, least == most


def _range(values: Rows) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Return the least and the greatest value of each feature, and whether any is missing."""
    found = [(block.min(axis=0), block.max(axis=0)) for block in blocks(values)]
    least = np.stack([each for each, _ in found]).min(axis=0)
    most = np.stack([each for _, each in found]).max(axis=0)
    return least, most, bool(np.isnan(most).any())  # one NaN makes it NaN


def _sum(values: Rows, mean: Floats | None = None) -> Floats:
    """Return the sum over rows, or that of squares of differences from a mean."""
    if values.shape[1] == 1:
        return _pairwise(values, mean, 0, values.shape[0])
    total: Floats | None = None
    for block in blocks(values):
        terms = _terms(block, mean)
        total = np.add.reduce(terms if total is None else np.vstack([total, terms]), axis=0)
    assert total is not None
    return total


def _pairwise(values: Rows, mean: Floats | None, begin: int, number: int) -> Floats:
    """Return the sum of rows of one feature, halved as numpy's own sum halves them."""
    if number <= rows_at_once(values):
        found: Floats = np.add.reduce(_terms(values[begin : begin + number], mean), axis=0)
        return found
    half = number // 2
    half -= half % 8
    first = _pairwise(values, mean, begin, half)
    return first + _pairwise(values, mean, begin + half, number - half)


def _terms(block: NDArray[Any], mean: Floats | None) -> Floats:
    terms = block.astype(np.float64, order="C")
    if mean is not None:
        terms -= mean
        terms *= terms
    return terms


def _of_columns(values: Rows, of: Callable[[Floats], Figures]) -> Figures:
    """Return the figures of each feature's values that are not missing, some features at a time."""
    number, width = values.shape
    at_once = max(1, BLOCK_BYTES // number)
    found = []
    for begin in range(0, width, at_once):
        parts = [block[:, begin : begin + at_once] for block in blocks(values)]
        columns = np.concatenate(parts).T
        del parts
        for column in columns:
            known = column[~np.isnan(column)].astype(np.float64)
            found.append(of(known[:, None] if len(known) else np.zeros((1, 1))))
    mean, deviation, constant = (np.concatenate(each) for each in zip(*found, strict=True))
    return mean, deviation, constant


def _quartiles(column: Floats) -> Figures:
    low, mean, high = np.percentile(column, [25, 50, 75], axis=0)
    return mean, high - low, column.min(axis=0) == column.max(axis=0)


def _extremes(column: Floats) -> Figures:
    least, most = column.min(axis=0), column.max(axis=0)
    return least, most - least, least == most


#: Of each other scaling, what is subtracted and what divides.
_MIDDLES = {"robust": _quartiles, "min-max": _extremes}
