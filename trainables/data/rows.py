"""Arrays that are looked at in stretches, so that memory does not grow with them. NumPy only."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Bytes of the values, at 8 bytes each, that are looked at at once.
BLOCK_BYTES = 2**24


class Rows(Protocol):
    """Values [n, …] that need not lie in memory as one array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that they are."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of that array."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return some rows."""


def rows_at_once(values: Rows) -> int:
    """Return how many rows are looked at at once."""
    return max(1, BLOCK_BYTES // (8 * max(1, math.prod(values.shape[1:]))))


def stretches(values: Rows) -> Iterator[slice]:
    """Yield slices of bounded size that cover all rows, in order."""
    number, size = values.shape[0], rows_at_once(values)
    for begin in range(0, number, size):
        yield slice(begin, min(begin + size, number))


def blocks(values: Rows) -> Iterator[NDArray[Any]]:
    """Yield all rows, in order, in stretches of bounded size."""
    return (values[stretch] for stretch in stretches(values))
