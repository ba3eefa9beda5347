"""Dropout over rows in compiled code: mask and product in one pass."""

import ctypes
import functools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.engine.cpu.compile import shared_address


@functools.cache
def _drop(double: bool) -> Callable[..., None]:
    """Return the compiled function; shared.py says what its arguments are."""
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    number = ctypes.c_double if double else ctypes.c_float
    types = [pointer, int64, pointer, int64, pointer, pointer, int64, int64, int64, number]
    return ctypes.CFUNCTYPE(None, *types)(shared_address("drop", double))


def drop(
    out: Tensor,
    value: Tensor,
    levels: NDArray[np.uint16],
    places: Tensor,
    last: int,
    scale: float,
) -> None:
    """Write to `out` the values [rows, F] whose level is at most `last`, times scale; else zero.

    levels: [places · F]; row n uses the F levels from places[n] · F on.
    """
    assert out.shape == value.shape and out.dtype == value.dtype and len(places) == len(value)
    assert out.stride(1) == value.stride(1) == 1 and places.is_contiguous()
    assert places.dtype == torch.int64 and levels.dtype == np.uint16 and levels.flags.c_contiguous
    _drop(value.dtype == torch.float64)(
        out.data_ptr(),
        out.stride(0),
        value.data_ptr(),
        value.stride(0),
        levels.ctypes.data,
        places.data_ptr(),
        *value.shape,
        last,
        scale,
    )
