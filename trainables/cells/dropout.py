"""Dropout whose masks come from a generator that is handed in."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Source of random bits: NumPy's for masks on the CPU, where it is several times faster than
#: torch's, torch's for masks on a device.
Bits = np.random.BitGenerator | torch.Generator


@dataclass(frozen=True)
class Dropout:
    """Zeroes values with the given probability and scales the rest to keep the mean.

    Without bits it lets everything pass: that is evaluation.
    """

    probability: float = 0.0
    bits: Bits | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """Return the value with a fresh mask on it."""
        if not self.active:
            return value
        return value * self.kept(value.shape).to(value.dtype).mul_(self.scale)

    @property
    def active(self) -> bool:
        """Whether anything is dropped."""
        return self.bits is not None and self.probability > 0

    @property
    def scale(self) -> float:
        """What kept values are multiplied by."""
        return 1 / (1 - self.probability)

    def kept(self, shape: tuple[int, ...]) -> Tensor:
        """Return which values of that shape are kept, drawn afresh: booleans."""
        keep = 1 - self.probability
        if isinstance(self.bits, torch.Generator):
            device = self.bits.device
            return torch.rand(shape, generator=self.bits, device=device) < keep
        assert self.bits is not None
        count = math.prod(shape)
        drawn = self.bits.random_raw((count + 1) // 2).view(np.uint32)[:count]
        return torch.from_numpy(drawn < np.uint32(keep * 2**32)).view(shape)
