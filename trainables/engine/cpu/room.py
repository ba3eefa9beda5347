"""Room to work in that is used again: memory that was just written is in the caches and mapped."""

import threading

import torch
from torch import Tensor

#: Buffers of one size that are kept for later, at most, in each thread.
KEPT = 4
#: Bytes that are kept in all, at most, in each thread: memory is for the trials.
MOST_BYTES = 1 << 27


class _Kept(threading.local):
    """What a thread keeps. Made anew in each."""

    def __init__(self) -> None:
        self.free: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        self.bytes = 0


_kept = _Kept()


def _size_class(numbers: int) -> int:
    """Return the numbers that a buffer holds: a quarter of a power of two more at most."""
    quarter = max(1024, 1 << max(0, numbers.bit_length() - 3))
    return -(-numbers // quarter) * quarter


def take(numbers: int, dtype: torch.dtype) -> Tensor:
    """Return a vector of at least that many numbers, whatever they are."""
    size = _size_class(numbers)
    found = _kept.free.get((size, dtype))
    if not found:
        return torch.empty(size, dtype=dtype)
    buffer = found.pop()
    _kept.bytes -= buffer.nbytes
    return buffer


def give_back(buffer: Tensor) -> None:
    """Keep a buffer for later. Sizes that came first make place where there is too much."""
    found = _kept.free.setdefault((buffer.numel(), buffer.dtype), [])
    if len(found) == KEPT or buffer.nbytes > MOST_BYTES:
        return
    found.append(buffer)
    _kept.bytes += buffer.nbytes
    while _kept.bytes > MOST_BYTES:
        dropped = _kept.free.pop(next(iter(_kept.free)))
        _kept.bytes -= sum(one.nbytes for one in dropped)


class Lent:
    """A buffer that goes back once nothing refers to this any more."""

    def __init__(self, numbers: int, dtype: torch.dtype) -> None:
        self.buffer = take(numbers, dtype)

    def __del__(self) -> None:
        give_back(self.buffer)
