"""After how many steps series repeat, as their training parts tell it. NumPy only.

The season is the first of the highest peaks of the autocorrelation (Box & Jenkins 1976, Time series
analysis, chapter 2) of series without their linear trend. It counts where the values of a season
before are nearer than the last value to those of the steps ahead.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.data.formats.forecasting import SHARES
from trainables.data.splits import consecutive

LEAST_CORRELATION = 0.3
ERRORS = 3.5  # of noise's correlation, 1 / sqrt(steps): so many a peak must have
ROUNDING = 1e-10  # of a series' squares: what is left of a line is no signal
AS_HIGH = 0.9  # of the highest peak: an earlier one that is as high is the season, not a multiple
SEASONS_SEEN, MOST_STEPS = 3, 1000  # a season is seen so often, and has so many steps at most

Values = NDArray[np.float64]


def season_of(values: NDArray[np.floating], lengths: NDArray[np.int64], horizon: int) -> int | None:
    """Return the steps of a season, 2 or more; None where series have none.

    values: [steps] of all series, which lie end to end. horizon: steps ahead that are forecast.
    """
    longest = consecutive(int(lengths.max()), SHARES)[0].stop
    lags = min(longest // SEASONS_SEEN, MOST_STEPS)
    if lags < 2:
        return None
    products, steps = np.zeros(lags + 2), 0
    for series in _trained(values, lengths):
        products += _products(series, lags + 2)
        steps += len(series)
    if steps == 0:
        return None
    correlation_K = products / products[0]
    least = max(LEAST_CORRELATION, ERRORS / math.sqrt(steps))
    peaks = [
        lag
        for lag in range(2, lags + 1)
        if correlation_K[lag] >= max(correlation_K[lag - 1], correlation_K[lag + 1])
        and correlation_K[lag] >= least
    ]
    if not peaks:
        return None
    highest = max(correlation_K[lag] for lag in peaks)
    season = next(lag for lag in peaks if correlation_K[lag] >= AS_HIGH * highest)
    return season if _is_nearer(values, lengths, season, horizon) else None


def _trained(values: NDArray[np.floating], lengths: NDArray[np.int64]) -> Iterator[Values]:
    """Yield the training part of each series, without its trend and with a deviation of 1.

    Left out are parts of fewer than three steps, and those that are a line.
    """
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        own = consecutive(int(length), SHARES)[0].stop
        if own > 2:
            known = values[end - length :][:own].astype(np.float64)
            found = _without_trend(known)
            if found @ found > ROUNDING * (known @ known):
                yield found / found.std()


def _without_trend(series: Values) -> Values:
    at = np.arange(len(series)) - (len(series) - 1) / 2
    centred = series - series.mean()
    found: Values = centred - at * float(at @ centred) / float(at @ at)
    return found


def _products(steps: Values, lags: int) -> Values:
    """Return the sums [lags] of products of a series with itself so many steps later."""
    size = 1 << (2 * len(steps) - 1).bit_length()
    power = np.abs(np.fft.rfft(steps, size)) ** 2
    found = np.fft.irfft(power, size)[:lags]
    return np.pad(found, (0, lags - len(found)))


def _is_nearer(
    values: NDArray[np.floating], lengths: NDArray[np.int64], season: int, horizon: int
) -> bool:
    """Whether values of a season before forecast the training parts better than last values do."""
    seasonal = last = 0.0
    for series in _trained(values, lengths):
        for ahead in range(1, horizon + 1):
            before = season * -(-ahead // season)
            behind = max(before, ahead)
            if len(series) > behind:
                seasonal += float(
                    np.abs(series[behind:] - series[behind - before : -before]).mean()
                )
                last += float(np.abs(series[behind:] - series[behind - ahead : -ahead]).mean())
    return seasonal < last
