"""Dropout, whose masks come from a generator that is handed in, and what else is dropped."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Probabilities are rounded to one in so many, the numbers of 16 bits; the scale is exact for them.
_LEVELS = 2**16
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
        return value * self.mask(value)

    def mask(self, value: Tensor) -> Tensor:
        """Return fresh factors for a value: 0, or the scale where it is kept."""
        return self.kept(value.shape).to(value.dtype).mul_(self.scale)

    @property
    def active(self) -> bool:
        """Whether anything is dropped."""
        return self.bits is not None and self.probability > 0

    @property
    def scale(self) -> float:
        """What kept values are multiplied by."""
        return _LEVELS / (self.last + 1)

    @property
    def last(self) -> int:
        """The last level that keeps its value: at least one does, so that the scale is finite."""
        return max(1, round((1 - self.probability) * _LEVELS)) - 1

    def kept(self, shape: tuple[int, ...]) -> Tensor:
        """Return which values of that shape are kept, drawn afresh: booleans."""
        if isinstance(self.bits, torch.Generator):
            device = self.bits.device
            levels = torch.randint(_LEVELS, shape, generator=self.bits, device=device)
            return levels <= self.last
        return torch.from_numpy(self.levels(math.prod(shape)) <= np.uint16(self.last)).view(shape)

    def levels(self, count: int) -> NDArray[np.uint16]:
        """Return one level for each of so many values, drawn afresh on the CPU."""
        assert isinstance(self.bits, np.random.BitGenerator)
        return self.bits.random_raw(-(-count // 4)).view(np.uint16)[:count]


@dataclass(frozen=True)
class Noise:
    """All that a training drops, each from a source of its own; by default nothing."""

    outputs: Dropout = Dropout()  #: of every layer
    weights: Dropout = Dropout()  #: of recurrent matrices: one mask for each layer and batch
    updates: Dropout = Dropout()  #: of the state: zoneout, with masks for every step


#: What is dropped in evaluation.
NONE = Noise()
