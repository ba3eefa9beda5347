"""Dropout with masks from a generator that is handed in, and all noise of one training step."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Probabilities are rounded to multiples of 1 / _LEVELS; the scale is exact for the rounded ones.
_LEVELS = 2**16
#: Source of random bits: NumPy's for masks on the CPU, where it is several times faster than
#: torch's; torch's for masks on another device.
Bits = np.random.BitGenerator | torch.Generator


@dataclass(frozen=True)
class Dropout:
    """Zero values with the given probability and scale the rest so that the mean stays.

    Without bits it changes nothing, as in evaluation.
    """

    probability: float = 0.0
    bits: Bits | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """Return the value times a fresh mask."""
        if not self.active:
            return value
        return value * self.mask(value)

    def mask(self, value: Tensor) -> Tensor:
        """Return fresh factors for a value: 0 or the scale."""
        return self.kept(value.shape).to(value.dtype).mul_(self.scale)

    @property
    def active(self) -> bool:
        """Whether anything is dropped."""
        return self.bits is not None and self.probability > 0

    @property
    def scale(self) -> float:
        """The factor of the values that are not dropped."""
        return _LEVELS / (self.last + 1)

    @property
    def last(self) -> int:
        """The highest level that keeps a value. Level 0 always does, so the scale is finite."""
        return max(1, round((1 - self.probability) * _LEVELS)) - 1

    def kept(self, shape: tuple[int, ...]) -> Tensor:
        """Return a fresh boolean mask of that shape: True where the value is not dropped."""
        if isinstance(self.bits, torch.Generator):
            device = self.bits.device
            levels = torch.randint(_LEVELS, shape, generator=self.bits, device=device)
            return levels <= self.last
        return torch.from_numpy(self.levels(math.prod(shape)) <= np.uint16(self.last)).view(shape)

    def levels(self, count: int) -> NDArray[np.uint16]:
        """Return `count` fresh levels, one for each value, drawn on the CPU."""
        assert isinstance(self.bits, np.random.BitGenerator)
        return self.bits.random_raw(-(-count // 4)).view(np.uint16)[:count]


@dataclass(frozen=True)
class Noise:
    """All dropout of a training step, each kind from a source of its own; by default none."""

    outputs: Dropout = Dropout()  #: of every layer
    weights: Dropout = Dropout()  #: of recurrent matrices: one mask for each layer and batch
    updates: Dropout = Dropout()  #: of the state: zoneout, with masks for every step


#: The noise of evaluation: none.
NONE = Noise()
