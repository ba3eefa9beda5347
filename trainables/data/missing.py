"""Missing values among the features: what stands for them, and what a model is told of them.

    forward  the last value of the sequence; before the first one, the mean of the training part
    mean     the mean of the training part
    mask     as forward, and two more inputs for each feature: whether it is there (1 or 0), and
             how many steps ago it last was, before this one (Che et al. 2018, equation 2, with
             steps for times)

Here is what follows from a sequence alone. The means are fitted with the scales: see scaling.py.
"""

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import Missing
from spaces.tasks import TaskInfo

Floats = NDArray[np.float32]


def features(info: TaskInfo) -> int:
    """Return the features of a step of the data; what a model is told of them comes on top."""
    return info.inputs // 3 if info.missing == "mask" else info.inputs


def told(x_NI: Floats, lengths: NDArray[np.int64], missing: Missing) -> Floats:
    """Return what a model is told of features with NaN where they are missing: [N, I] or [N, 3 I].

    What is to be a mean of the training part stays NaN. lengths: of the sequences, end to end.
    """
    if missing in ("refuse", "mean"):
        return x_NI
    steps, width = x_NI.shape
    at_N = np.arange(steps)
    begin_N = np.repeat(np.cumsum(lengths) - lengths, lengths)
    found = np.empty((steps, width * (3 if missing == "mask" else 1)), np.float32)
    for feature, column_N in enumerate(x_NI.T):
        there_N = ~np.isnan(column_N)
        last_N = np.maximum.accumulate(np.where(there_N, at_N, -1))
        found[:, feature] = np.where(last_N >= begin_N, column_N[last_N], np.nan)
        if missing == "mask":
            before_N = np.concatenate([[-1], last_N[:-1]])
            found[:, width + feature] = there_N
            found[:, 2 * width + feature] = at_N - np.maximum(before_N, begin_N)
    return found
