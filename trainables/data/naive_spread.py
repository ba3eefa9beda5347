"""What a naive forecast loses as a distribution: its errors in training are its spread. NumPy only.

The losses are those of trainables.training.forecast_loss; for points the mean squared error.

Shapes: n forecasts, H steps ahead, Q quantiles.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.forecast import MEDIAN, Forecast

Array = NDArray[Any]
FLOOR = 1e-3  #: the least deviation, as models have it (trainables.layers.forecast_head)


def naive_losses(forecast: Forecast, training_errors: Array) -> Callable[[Array], Array]:
    """Return what gives the losses [n] of errors [n, H], from errors in training [n, H]."""
    if forecast.likelihood == "gaussian":
        deviation = np.maximum(np.sqrt(np.square(training_errors).mean(axis=0)), FLOOR)
        level = math.log(2 * math.pi) / 2 + np.log(deviation)
        return lambda errors: (level + np.square(errors / deviation) / 2).mean(axis=1)
    if forecast.likelihood == "quantile":
        levels = np.array(forecast.quantiles)[:, None, None]
        quantiles_QH = np.quantile(training_errors, forecast.quantiles, axis=0)
        around_Q1H = (quantiles_QH - np.quantile(training_errors, MEDIAN, axis=0))[:, None]

        def pinball(errors: Array) -> Array:
            beyond_QnH = errors - around_Q1H
            losses = np.maximum(levels * beyond_QnH, (levels - 1) * beyond_QnH)
            found: Array = losses.mean(axis=(0, 2))
            return found

        return pinball
    return lambda errors: np.square(errors).mean(axis=1)
