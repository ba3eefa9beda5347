"""Workspaces: memory for compiled code that is used again, because it is mapped and in the caches.

Each thread has a pool of buffers. A Buffer takes one from it and returns it at its own end. A
Workspace holds buffers by name for somebody who needs the same ones again and again.
"""

import threading

import torch
from torch import Tensor

#: Free buffers of one size that a thread's pool holds at most.
MAX_FREE = 4
#: Bytes of free buffers that a thread's pool holds at most: memory is for the trials.
MAX_FREE_BYTES = 1 << 27


class _Pool(threading.local):
    """A thread's free buffers, by size and type. Each thread sees a pool of its own."""

    def __init__(self) -> None:
        self.free: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        self.bytes = 0


_pool = _Pool()


def _size_class(numbers: int) -> int:
    """Return the size of a buffer for that many numbers: at most a quarter more, from 4096 on."""
    quarter = max(1024, 1 << max(0, numbers.bit_length() - 3))
    return -(-numbers // quarter) * quarter


def free_bytes() -> int:
    """Return the bytes of this thread's free buffers."""
    return _pool.bytes


class Buffer:
    """At least that many numbers of one type, of any value; lent as long as this object lives.

    Whoever uses the memory must hold the Buffer: a view of `numbers` alone does not keep it.
    """

    def __init__(self, numbers: int, dtype: torch.dtype) -> None:
        size = _size_class(numbers)
        free = _pool.free.get((size, dtype))
        if free:
            self.numbers = free.pop()
            _pool.bytes -= self.numbers.nbytes
        else:
            with torch.inference_mode(False):  # training must be able to use the buffer as well
                self.numbers = torch.empty(size, dtype=dtype)

    @property
    def address(self) -> int:
        """Where the numbers begin."""
        return self.numbers.data_ptr()

    def __del__(self) -> None:
        _give_back(self.numbers)


def _give_back(numbers: Tensor) -> None:
    """Add a buffer to the free ones; beyond MAX_FREE_BYTES the sizes that came first go."""
    free = _pool.free.setdefault((numbers.numel(), numbers.dtype), [])
    if len(free) == MAX_FREE or numbers.nbytes > MAX_FREE_BYTES:
        return
    free.append(numbers)
    _pool.bytes += numbers.nbytes
    while _pool.bytes > MAX_FREE_BYTES:
        oldest = _pool.free.pop(next(iter(_pool.free)))
        _pool.bytes -= sum(buffer.nbytes for buffer in oldest)


class Workspace:
    """Buffers of one type by name. They grow as needed and go back with the workspace."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[object, Buffer] = {}

    def take(self, name: object, rows: int, columns: int) -> Tensor:
        """Return [rows, columns] of any values. What the name stood for before becomes invalid."""
        size = rows * columns
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numbers.numel() < size:
            buffer = self._buffers[name] = Buffer(size, self._dtype)
        return buffer.numbers[:size].view(rows, columns)
