"""Masks of a cohort on a GPU: the right shares, and for each model those that it has alone."""

import math

import pytest
import torch
from interpreted import needs_interpreter

from trainables.engine.gpu.noise import StackedDropout

pytestmark = needs_interpreter


def test_masks_keep_the_share_that_they_should() -> None:
    seeds = torch.tensor([1, 2, 3])
    last = torch.tensor([65535, 32767, 16383], dtype=torch.int32)
    dropout = StackedDropout(seeds, last, torch.tensor([1.0, 2.0, 4.0]), True)
    batch = torch.zeros(1, dtype=torch.int64)
    masks = dropout.draw((100, 50), batch, 0, passed=False)
    kept = (masks > 0).double().mean((1, 2))
    deviation = math.sqrt(0.25 / 5000)
    assert kept.tolist() == pytest.approx([1, 0.5, 0.25], abs=5 * deviation)
    assert masks.amax((1, 2)).tolist() == [1, 2, 4]
    again = dropout.draw((100, 50), batch, 0, passed=False)
    assert torch.equal(masks, again)
    for other in (dropout.draw((100, 50), batch, 1, passed=False),
                  dropout.draw((100, 50), batch + 1, 0, passed=False)):  # fmt: skip
        assert not torch.equal(masks[1], other[1])
    alone = StackedDropout(seeds[2:], last[2:], torch.tensor([4.0]), True)
    assert torch.equal(alone.draw((100, 50), batch, 0, passed=False)[0], masks[2])
