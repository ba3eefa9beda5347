"""What a forecast's model does at both ends: values beside their last one, and a distribution.

A readout becomes numbers that can be a deviation, or quantiles in their order.

With softplus(a) = log(1 + exp a), of each step ahead:

    point     the readout
    gaussian  mean = a_0, deviation = softplus(a_1) + 1e-3 (softplus: Salinas et al. 2020, DeepAR,
              International Journal of Forecasting 36; the floor keeps the likelihood bounded)
    quantile  q_0 = a_0, q_k = q_(k-1) + softplus(a_k): no quantile is below a lower one

Shapes are suffixes: N numbers of a step, H steps ahead; T steps, B series, I inputs.
"""

import torch
from torch import Tensor
from torch.nn import functional

from spaces.forecast import Forecast

#: The least deviation, of targets as they are read (standardised, where a task does so).
FLOOR = 1e-3


def as_relative(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x [..., T, B, I] with feature 0 less its value at the last step of each series.

    A network that has seen levels of one range knows nothing of another one; how far values lie
    apart is alike in both. lengths: [..., B], of 0 where there is no series.
    """
    last = (lengths - 1).clamp(min=0)[..., None, :, None]
    first = x[..., :1]
    return torch.cat([first - first.take_along_dim(last, dim=-3), x[..., 1:]], dim=-1)


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
