"""Losses of forecasts of distributions, averaged over the steps ahead.

gaussian  log(2 pi) / 2 + log s + ((y - m) / s)^2 / 2: the negative log-likelihood in nats
quantile  the mean over quantiles q of max(q e, (q - 1) e), e = y - f_q: the pinball loss
          (Koenker & Bassett 1978, Econometrica 46). Twice its mean over many quantiles is the
          continuous ranked probability score.
"""

import math

import torch
from torch import Tensor

from spaces.forecast import Forecast

HALF_LOG_2_PI = math.log(2 * math.pi) / 2


def forecast_losses(outputs: Tensor, targets: Tensor, forecast: Forecast) -> Tensor:
    """Return the losses [...] of outputs [..., numbers * horizon] and targets [..., horizon].

    outputs: as trainables.layers.forecast_head gives them, gaussian or quantile.
    """
    numbers = outputs.chunk(forecast.numbers, dim=-1)
    if forecast.likelihood == "gaussian":
        mean, deviation = numbers
        errors = (targets - mean) / deviation
        return (HALF_LOG_2_PI + deviation.log() + errors.square() / 2).mean(-1)
    losses = []
    for quantile, number in zip(forecast.quantiles, numbers, strict=True):
        errors = targets - number
        losses.append(torch.maximum(quantile * errors, (quantile - 1) * errors).mean(-1))
    return torch.stack(losses).mean(0)
