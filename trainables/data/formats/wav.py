"""A sound as a sequence of log-mel bands, from a .wav file of whole numbers.

Channels are averaged, and every SECONDS a window of twice that length, tapered after Hann, becomes
the logarithms of its energies in BANDS bands, equally wide on the mel scale of O'Shaughnessy
(1987): 2595 log10(1 + f / 700).
"""

import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.text import first_line
from trainables.data.formats.table import check_file

BANDS = 24
SECONDS = 0.016  #: between the beginnings of two windows
_LEAST = 1e-10  # added to energies before the logarithm; samples lie between -1 and 1
_RATES = (1000, 400_000)  # Hz


def read(path: Path, place: str) -> tuple[NDArray[np.float32], int]:
    """Return bands [windows, BANDS] of a file, and its sampling rate in Hz. Raises InputError."""
    check_file(path, place)
    try:
        with wave.open(str(path), "rb") as file:
            rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError, RuntimeError, ValueError) as error:
        rule = f"a .wav must hold sound as whole numbers; {first_line(error) or 'it is cut off'}"
        raise InputError.of(place, rule, "write it again as 16-bit PCM") from error
    if not _RATES[0] <= rate <= _RATES[1] or width not in (1, 2, 3, 4) or channels < 1:
        rule = f"a sound must have {_RATES[0]} to {_RATES[1]} samples a second of 8 to 32 bits"
        raise InputError.of(place, rule, "write it again as 16-bit PCM")
    content = content[: len(content) // (width * channels) * width * channels]
    samples = _samples(content, width).reshape(-1, channels).mean(axis=1)
    if len(samples) == 0:
        raise InputError.of(place, "a sound must have samples; this one has none", "leave it out")
    return _bands(samples, rate), rate


def _samples(content: bytes, width: int) -> NDArray[np.float64]:
    """Return samples between -1 and 1."""
    found = np.frombuffer(content, np.uint8).reshape(-1, width)
    if width == 1:  # the only unsigned width
        return (found[:, 0].astype(np.float64) - 128) / 128
    filled = np.zeros((len(found), 4), np.uint8)
    filled[:, 4 - width :] = found
    numbers: NDArray[np.float64] = filled.view("<i4")[:, 0] / 2.0**31
    return numbers


def _bands(samples: NDArray[np.float64], rate: int) -> NDArray[np.float32]:
    hop = max(1, round(SECONDS * rate))
    size = 2 * hop
    if len(samples) < size:
        samples = np.concatenate([samples, np.zeros(size - len(samples))])
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2 / size
    energies = spectrum @ _filters(rate, size)
    bands: NDArray[np.float32] = np.log(energies + _LEAST).astype(np.float32)
    return bands


@lru_cache(maxsize=4)
def _filters(rate: int, size: int) -> NDArray[np.float64]:
    """Return triangular filters [frequencies, BANDS] between 0 Hz and half the rate."""
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    most = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, most, BANDS + 2) / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (middle - low)
    falling = (high - frequencies[:, None]) / (high - middle)
    filters: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    # A band between two frequencies of the transform takes the nearest one.
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    filters[np.abs(frequencies[:, None] - middle[empty]).argmin(axis=0), empty] = 1
    return filters
