"""Dropout whose masks come from a generator that is handed in."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dropout:
    """Zeroes values with the given probability and scales the rest to keep the mean.

    Without a generator it lets everything pass: that is evaluation.
    """

    probability: float = 0.0
    generator: torch.Generator | None = None  #: on the device of what is dropped

    def __call__(self, value: Tensor) -> Tensor:
        """Return the value with a fresh mask on it."""
        if self.generator is None or self.probability == 0:
            return value
        keep = 1 - self.probability
        mask = torch.empty_like(value).bernoulli_(keep, generator=self.generator)
        return value * mask.div_(keep)
