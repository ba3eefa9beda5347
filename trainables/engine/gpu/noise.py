"""Masks of several models in one launch, from counters: nothing is drawn in an order.

A number of a mask follows from the model's seed of that kind, the batch's number, the draw's
number and its place alone. So a model gets the same masks alone, in a cohort, and in replays of a
CUDA graph. The numbers are Philox's (Salmon et al. 2011).
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
#: Draws of one kind in a batch at most: layers times directions.
MAX_DRAWS = 1 << 10


@triton.jit(do_not_specialize=["number", "count"])
def _draw(out, seeds, last, scale, batch, number, count, INVERT: tl.constexpr, SIZE: tl.constexpr):
    model = tl.program_id(1)
    place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    step = tl.load(batch).to(tl.uint32) * 1024 + number
    zero = place.to(tl.uint32) * 0
    level, _, _, _ = tl.philox(tl.load(seeds + model), place.to(tl.uint32), zero + step, zero, zero)
    kept = (level >> 16).to(tl.int32) <= tl.load(last + model)
    if INVERT:
        value = tl.where(kept, 0.0, 1.0)
    else:
        value = tl.where(kept, tl.load(scale + model), 0.0)
    tl.store(out + model.to(tl.int64) * count + place, value, mask=place < count)


@dataclass
class StackedDropout:
    """Dropout of several models; see cells.noise.Dropout.

    seeds [K] int64; last [K] int32, the highest level of 2^16 that keeps a value; scale [K].
    """

    seeds: Tensor
    last: Tensor
    scale: Tensor
    active: bool  #: whether any model drops anything

    def draw(self, shape: tuple[int, ...], batch: Tensor, number: int, *, passed: bool) -> Tensor:
        """Return factors [K, *shape]: 0 or the scale, or with `passed` 1 where a value is dropped.

        batch: [1] int64, the batch's number; number: the draw's within the batch.
        """
        assert number < MAX_DRAWS
        models = len(self.seeds)
        out = torch.empty(models, *shape, device=self.seeds.device)
        count = out[0].numel()
        grid = (-(-count // _BLOCK), models)
        _draw[grid](
            out, self.seeds, self.last, self.scale, batch, number, count, INVERT=passed, SIZE=_BLOCK
        )
        return out
