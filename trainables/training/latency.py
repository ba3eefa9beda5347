"""Latency of a model: the time of one forward pass of one typical sequence, alone in its batch."""

import math
import time

import numpy as np
import torch
from torch import Tensor

from trainables.data.sequences import Sequences
from trainables.layers.model import Model

WARM_UP = 3  #: passes that are not timed: the first compiles, the next fill caches
MIN_PASSES, MAX_PASSES = 10, 100  #: that are timed
MIN_SECONDS = 0.1  #: of timed passes, if MAX_PASSES take as long


def typical_sequence(sequences: Sequences) -> Tensor:
    """Return the first sequence of median length (the lower of two), as x [T, 1, ...]."""
    order = np.argsort(sequences.lengths, kind="stable")
    chosen = order[(len(order) - 1) // 2]
    x = sequences.steps(sequences.starts[chosen] + np.arange(sequences.lengths[chosen]))
    return torch.from_numpy(x).unsqueeze(1)


def latency_ms(model: Model, sequences: Sequences) -> float:
    """Return the milliseconds of one forward pass, on the model's device, with torch's threads.

    It is the shortest of many passes over one typical sequence that is on the device already. Other
    work of the machine can only lengthen a pass: the shortest is nearest to the model's own time.
    """
    device = next(model.parameters()).device
    x = typical_sequence(sequences).to(device)
    lengths = torch.tensor([len(x)], device=device)
    model.eval()
    shortest, total = math.inf, 0.0
    with torch.inference_mode():
        for number in range(-WARM_UP, MAX_PASSES):
            _wait(device)
            began = time.perf_counter()
            model(x, lengths)
            _wait(device)
            if number < 0:
                continue
            passed = time.perf_counter() - began
            shortest, total = min(shortest, passed), total + passed
            if number + 1 >= MIN_PASSES and total >= MIN_SECONDS:
                break
    return shortest * 1000


def _wait(device: torch.device) -> None:
    """Wait until an accelerator has done its work; a CPU has done it already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
