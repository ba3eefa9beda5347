"""Missing values among the features: what stands for them, and what a model is told of them.

    forward  the last value of the sequence; before the first one, the mean of the training part
    mean     the mean of the training part
    mask     as forward, and two more inputs for each feature: whether it is there (1 or 0), and
             how long ago it last was, before this one (Che et al. 2018, equation 2): in steps, or
             in time where the data's times are read

Where times are read, the time since the step before is the last input, whatever is missing.

Here is what follows from a sequence alone. The means are fitted with the scales: see scaling.py.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import Missing
from spaces.tasks import TaskInfo

Floats = NDArray[np.float32]
_STEPS = 2**17  # that are filled at once, of whole sequences


def features(info: TaskInfo) -> int:
    """Return the features of a step of the data; what a model is told of them comes on top."""
    return info.sizes[0].values


def transformed(info: TaskInfo) -> int:
    """Return how many features are transformed before they are scaled: of forecasts the series."""
    return 1 if info.kind == "forecasting" else features(info)


def given(info: TaskInfo) -> int:
    """Return the numbers of a step that an exported model is given: features, and the time gap."""
    return features(info) + info.gaps


def told_width(width: int, missing: Missing, *, gaps: bool) -> int:
    """Return how many numbers of a step a model is told. width: features."""
    return width * (3 if missing == "mask" else 1) + gaps


def told(
    x_NI: Floats, lengths: NDArray[np.int64], missing: Missing, gap_N: Floats | None = None
) -> Floats:
    """Return what a model is told of features with NaN where they are missing: [N, I] or [N, 3 I].

    What is to be a mean of the training part stays NaN. lengths: of the sequences, end to end.
    gap_N: the time since the step before, which comes last then; without it a step is one. In
    memory there are x, what is returned, and a few numbers of each step of some sequences.
    """
    as_it_is = missing in ("refuse", "mean")
    if as_it_is and gap_N is None:
        return x_NI
    steps, width = x_NI.shape
    found = np.empty((steps, told_width(width, missing, gaps=gap_N is not None)), np.float32)
    if gap_N is not None:
        found[:, -1] = gap_N
    if as_it_is:
        found[:, :width] = x_NI
        return found
    time_N = None if gap_N is None else np.cumsum(gap_N, dtype=np.float64)
    for own, some in _stretches_of_sequences(lengths):
        time = np.arange(own.stop - own.start) if time_N is None else time_N[own]
        _fill(found[own], x_NI[own], lengths[some], missing, time)
    return found


def _stretches_of_sequences(lengths: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Yield the steps of some whole sequences, and which ones these are, until there are none."""
    ends, first = np.cumsum(lengths), 0
    while first < len(ends):
        begin = int(ends[first] - lengths[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + _STEPS, side="right")))
        yield slice(begin, int(ends[last - 1])), slice(first, last)
        first = last


def _fill(
    found: Floats,
    x_NI: Floats,
    lengths: NDArray[np.int64],
    missing: Missing,
    time_N: NDArray[np.float64] | NDArray[np.int64],
) -> None:
    """Write what a model is told of some sequences. time_N: when each step is."""
    steps, width = x_NI.shape
    at_N = np.arange(steps)
    begin_N = np.repeat(np.cumsum(lengths) - lengths, lengths)
    for feature, column_N in enumerate(x_NI.T):
        there_N = ~np.isnan(column_N)
        last_N = np.maximum.accumulate(np.where(there_N, at_N, -1))
        found[:, feature] = np.where(last_N >= begin_N, column_N[last_N], np.nan)
        if missing == "mask":
            before_N = np.concatenate([[-1], last_N[:-1]])
            found[:, width + feature] = there_N
            found[:, 2 * width + feature] = time_N - time_N[np.maximum(before_N, begin_N)]
