"""What a forecast's readout becomes: numbers that can be a deviation, or quantiles in their order.

With softplus(a) = log(1 + exp a), of each step ahead:

    point     the readout
    gaussian  mean = a_0, deviation = softplus(a_1) + 1e-3 (softplus: Salinas et al. 2020, DeepAR,
              International Journal of Forecasting 36; the floor keeps the likelihood bounded)
    quantile  q_0 = a_0, q_k = q_(k-1) + softplus(a_k): no quantile is below a lower one

Shapes are suffixes: N numbers of a step, H steps ahead.
"""

import torch
from torch import Tensor
from torch.nn import functional

from spaces.forecast import Forecast

#: The least deviation, of targets as they are read (standardised, where a task does so).
FLOOR = 1e-3


def as_forecast(read: Tensor, forecast: Forecast | None) -> Tensor:
    """Return outputs [..., N * H], all steps of the first number first, of a readout of that shape.

    forecast: None of a task that asks for no distribution, whose readout stays as it is.
    """
    if forecast is None or forecast.likelihood == "point":
        return read
    first, *others = read.chunk(forecast.numbers, dim=-1)
    if forecast.likelihood == "gaussian":
        (spread,) = others
        return torch.cat([first, functional.softplus(spread) + FLOOR], dim=-1)
    quantiles = [first]
    for gap in others:
        quantiles.append(quantiles[-1] + functional.softplus(gap))
    return torch.cat(quantiles, dim=-1)
