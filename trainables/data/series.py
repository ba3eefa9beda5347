"""The series that forecasts are told from: its values as they are, and how they are learned.

A task may transform the values, and have a model read differences of them:

    d_t = v_t - v_(t - lag)

A forecast is learned as how far values lie from the naive forecast of that lag, which is the last
value (lag 1), or the last season over and over. Nothing of it is fitted: scales are, on the
differences of the training part. NumPy only.

Shapes are suffixes: N forecasts, H steps ahead.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.forecast import Transform

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SeriesValues:
    """Values of steps that lie end to end, as those of x do."""

    values: Floats  #: [steps in x], transformed
    lag: int = 1  #: of the naive forecast that targets lie from
    transform: Transform | None = None


def differences(values: Floats, lengths: NDArray[np.int64], lag: int) -> Floats:
    """Return differences [steps] of series that lie end to end; 0 for the first `lag` of each."""
    found = np.zeros_like(values)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        if length > lag:
            own = values[end - length : end]
            found[end - length + lag : end] = own[lag:] - own[:-lag]
    return found


def summed(differences_BT: Floats, lag: int) -> NDArray[np.float64]:
    """Return values [B, lag + T] of these differences, of which the least is 1."""
    found = np.zeros((len(differences_BT), lag + differences_BT.shape[1]))
    for step, each in enumerate(differences_BT.T.astype(np.float64)):
        found[:, lag + step] = found[:, step] + each
    found += 1 - found.min(axis=1, keepdims=True)
    return found


def before(horizon: int, lag: int) -> NDArray[np.int64]:
    """Return [H] where the naive forecast of a lag finds each step ahead, from the origin's end."""
    return np.arange(horizon) % lag - lag


def naive(values: Floats, ends_N: NDArray[np.int64], horizon: int, lag: int) -> Floats:
    """Return the naive forecasts [N, H] of series before some ends."""
    found: Floats = values[ends_N[:, None] + before(horizon, lag)]
    return found
