"""Missing values among the features: what stands for them, and what a model is told of them.

    forward  the last value of the sequence; before the first one, the mean of the training part
    mean     the mean of the training part
    mask     as forward, and two more inputs for each feature: whether it is there (1 or 0), and
             how long ago it last was, before this one (Che et al. 2018, equation 2): in steps, or
             in time where the data's times are read

Where times are read, the time since the step before is the last input, whatever is missing.

Here is what follows from a sequence alone. The means are fitted with the scales: see scaling.py.
"""

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import Missing
from spaces.tasks import TaskInfo

Floats = NDArray[np.float32]


def features(info: TaskInfo) -> int:
    """Return the features of a step of the data; what a model is told of them comes on top."""
    return info.sizes[0].values


def transformed(info: TaskInfo) -> int:
    """Return how many features are transformed before they are scaled: of forecasts the series."""
    return 1 if info.kind == "forecasting" else features(info)


def given(info: TaskInfo) -> int:
    """Return the numbers of a step that an exported model is given: features, and the time gap."""
    return features(info) + info.gaps


def told(
    x_NI: Floats, lengths: NDArray[np.int64], missing: Missing, gap_N: Floats | None = None
) -> Floats:
    """Return what a model is told of features with NaN where they are missing: [N, I] or [N, 3 I].

    What is to be a mean of the training part stays NaN. lengths: of the sequences, end to end.
    gap_N: the time since the step before, which comes last then; without it a step is one.
    """
    found = x_NI if missing in ("refuse", "mean") else _filled(x_NI, lengths, missing, gap_N)
    return found if gap_N is None else np.column_stack([found, gap_N]).astype(np.float32)


def _filled(
    x_NI: Floats, lengths: NDArray[np.int64], missing: Missing, gap_N: Floats | None
) -> Floats:
    steps, width = x_NI.shape
    at_N = np.arange(steps)
    begin_N = np.repeat(np.cumsum(lengths) - lengths, lengths)
    time_N = at_N if gap_N is None else np.cumsum(gap_N, dtype=np.float64)
    found = np.empty((steps, width * (3 if missing == "mask" else 1)), np.float32)
    for feature, column_N in enumerate(x_NI.T):
        there_N = ~np.isnan(column_N)
        last_N = np.maximum.accumulate(np.where(there_N, at_N, -1))
        found[:, feature] = np.where(last_N >= begin_N, column_N[last_N], np.nan)
        if missing == "mask":
            before_N = np.concatenate([[-1], last_N[:-1]])
            found[:, width + feature] = there_N
            found[:, 2 * width + feature] = time_N - time_N[np.maximum(before_N, begin_N)]
    return found
