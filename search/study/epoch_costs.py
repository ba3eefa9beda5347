"""What an epoch of a configuration takes, from those that were trained."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RIDGE = 0.1  #: of squared slopes, where columns are in [0, 1]: shrinks them while trials are few


class EpochCosts:
    """Logarithms of seconds, linear in the columns of configurations: by ridge regression."""

    def __init__(self, columns_NC: Floats, seconds_N: Floats) -> None:
        """columns_NC: of trials, see encoding.py. seconds_N: of one epoch of each, above 0."""
        logs_N = np.log(seconds_N)
        self._mean, self._centre_C = float(logs_N.mean()), columns_NC.mean(axis=0)
        x_NC = columns_NC - self._centre_C
        ridge_CC = RIDGE * np.eye(x_NC.shape[1])
        self._slopes_C = np.linalg.solve(x_NC.T @ x_NC + ridge_CC, x_NC.T @ (logs_N - self._mean))

    @property
    def typical(self) -> float:
        """Return the geometric mean of an epoch's seconds."""
        return float(np.exp(self._mean))

    def of_new(self, columns_KC: Floats) -> Floats:
        """Return the seconds [K] that an epoch of configurations is expected to take."""
        found: Floats = np.exp(self._mean + (columns_KC - self._centre_C) @ self._slopes_C)
        return found
