"""Room to work in, by name: memory that is used again is mapped already."""

import torch
from torch import Tensor


class Room:
    """Buffers that grow as they are needed and are never given back while the room is there."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[object, Tensor] = {}

    def take(self, name: object, rows: int, columns: int) -> Tensor:
        """Return [rows, columns] of whatever was there; taking a name again takes it away."""
        numbers = rows * columns
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < numbers:
            buffer = torch.empty(numbers + numbers // 8, dtype=self._dtype)
            self._buffers[name] = buffer
        return buffer[:numbers].view(rows, columns)
