"""Room to work in that is used again: memory that was just written is in the caches and mapped."""

import threading

import torch
from torch import Tensor

#: Buffers of one size, and sizes, that are kept for later, at most, in each thread.
KEPT, SIZES = 4, 24
#: Numbers of the largest buffer that is kept; larger ones are few, and memory is for the trials.
LARGEST = 1 << 23

_Class = tuple[int, torch.dtype]

_kept = threading.local()


def _size_class(numbers: int) -> int:
    """Return the numbers that a buffer holds: a quarter of a power of two more at most."""
    quarter = max(1024, 1 << max(0, numbers.bit_length() - 3))
    return -(-numbers // quarter) * quarter


def take(numbers: int, dtype: torch.dtype) -> Tensor:
    """Return a vector of at least that many numbers, whatever they are."""
    size = _size_class(numbers)
    free: dict[_Class, list[Tensor]] = _kept.__dict__.setdefault("free", {})
    found = free.get((size, dtype))
    return found.pop() if found else torch.empty(size, dtype=dtype)


def give_back(buffer: Tensor) -> None:
    """Keep a buffer for later. Sizes that came first make place where there are too many."""
    if buffer.numel() > LARGEST:
        return
    free: dict[_Class, list[Tensor]] = _kept.__dict__.setdefault("free", {})
    found = free.setdefault((buffer.numel(), buffer.dtype), [])
    if len(found) < KEPT:
        found.append(buffer)
    if len(free) > SIZES:
        free.pop(next(iter(free)))


class Lent:
    """A buffer that goes back once nothing refers to this any more."""

    def __init__(self, numbers: int, dtype: torch.dtype) -> None:
        self.buffer = take(numbers, dtype)

    def __del__(self) -> None:
        give_back(self.buffer)
