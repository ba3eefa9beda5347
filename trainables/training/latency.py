"""Latency of models: the time of a forward pass of one typical sequence, or of a batch of it.

latency_ms      of one model while others may train beside it: before its first epoch
medians_ms      of several in turn, to be compared: nothing else should run
"""

import math
import statistics
import time
from collections.abc import Sequence

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
            wait(device)
            began = time.perf_counter()
            model(x, lengths)
            wait(device)
            if number < 0:
                continue
            passed = time.perf_counter() - began
            shortest, total = min(shortest, passed), total + passed
            if number + 1 >= MIN_PASSES and total >= MIN_SECONDS:
                break
    return shortest * 1000


MIN_ROUNDS, MAX_ROUNDS = 3, 31  #: in each of which every model makes a pass of each batch
MAX_SECONDS = 10.0  #: of rounds, if MIN_ROUNDS do not take longer


def medians_ms(
    models: Sequence[Model], sequences: Sequences, batches: Sequence[int]
) -> list[dict[int, float]]:
    """Return the median milliseconds of a forward pass of each model, by the size of the batch.

    Models take turns, in every other round the other way round: what changes about the machine
    meanwhile meets all of them. A pass that is not timed comes before each that is. What does not
    fit into memory has no figure.
    """
    x = typical_sequence(sequences)
    inputs = [x.repeat(1, batch, *[1] * (x.dim() - 2)) for batch in batches]
    turns = [(model, number) for model in range(len(models)) for number in range(len(batches))]
    turns = [turn for turn in turns if _fits(models[turn[0]], inputs[turn[1]])]
    seconds: dict[tuple[int, int], list[float]] = {turn: [] for turn in turns}
    began = time.perf_counter()
    for number in range(MAX_ROUNDS):
        if number >= MIN_ROUNDS and time.perf_counter() - began >= MAX_SECONDS:
            break
        for turn in turns if number % 2 == 0 else reversed(turns):
            _pass(models[turn[0]], inputs[turn[1]])
            seconds[turn].append(_pass(models[turn[0]], inputs[turn[1]]))
    return [
        {
            batches[at]: 1000 * statistics.median(passed)
            for (of, at), passed in seconds.items()
            if of == model
        }
        for model in range(len(models))
    ]


def _pass(model: Model, x: Tensor) -> float:
    """Return the seconds of one forward pass; x: on any device, it is brought to the model's."""
    device = next(model.parameters()).device
    x = x.to(device)
    lengths = torch.full((x.shape[1],), len(x), device=device)
    model.eval()
    with torch.inference_mode():
        wait(device)
        began = time.perf_counter()
        model(x, lengths)
        wait(device)
        return time.perf_counter() - began


def _fits(model: Model, x: Tensor) -> bool:
    """Return whether there is memory for a forward pass."""
    try:
        _pass(model, x)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True


def out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Return whether an error says that memory was too small; torch's for a CPU has no type."""
    return isinstance(error, MemoryError) or "memory" in str(error)


def wait(device: torch.device) -> None:
    """Wait until an accelerator has done its work; a CPU has done it already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
