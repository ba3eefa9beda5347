"""How many trials of a shape a worker trains together: measured on a GPU, from a table on a CPU.

A probe trains cohorts of 1, 2, 4, 8, … members on a few batches of the longest sequences, as long
as they gain by their size. What it measured is kept on disk by shape, card and versions.
"""

import gc
import hashlib
import json
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from time import perf_counter
from typing import Protocol

import numpy as np
import torch

from spaces.config import TrialConfig
from trainables.cache import Cache
from trainables.data.batches import EVALUATION_STEPS
from trainables.data.sequences import Data, Sequences
from trainables.machine import version
from trainables.training import batching
from trainables.training.cohort import can_batch, cohort_of
from trainables.training.schedule import UNSCHEDULED
from trainables.training.trainer import Training
from trainables.worker.capacity import Measurement, members_that_fit, next_members, shape_of

UPDATES = 8  #: of one measured epoch, at most
EPOCHS = 2  #: that are measured, after one that compiles and fills caches; the shortest counts
SHARE = 0.8  #: of free memory that a cohort may take: the rest is for what torch cannot hand out

_cache = Cache("limits", 512)


class Meter(Protocol):
    """What a probe reads of its device."""

    name: str  #: what measurements depend on besides shape and versions

    def free_bytes(self) -> int:
        """Return how much memory can still be taken."""

    def reset(self) -> None:
        """Begin to watch the memory in use."""

    def peak_bytes(self) -> int:
        """Return how much more memory was in use at once since reset() than at that moment."""

    def seconds(self, run: Callable[[], object]) -> float:
        """Return how long it takes to run something to its end."""


class CardMeter:
    """Reads the current CUDA device."""

    def __init__(self) -> None:
        about = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.name = f"{about.name} with {about.total_memory} bytes"
        self._before = 0

    def free_bytes(self) -> int:
        """See Meter. What torch holds without using it counts as free."""
        free: int = torch.cuda.mem_get_info()[0]
        return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()

    def reset(self) -> None:
        """See Meter."""
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated()

    def peak_bytes(self) -> int:
        """See Meter."""
        peak: int = torch.cuda.max_memory_allocated()
        return peak - self._before

    def seconds(self, run: Callable[[], object]) -> float:
        """See Meter."""
        torch.cuda.synchronize()
        began = perf_counter()
        run()
        torch.cuda.synchronize()
        return perf_counter() - began


def limit_finder(data: Data, device: str) -> Callable[[TrialConfig], int]:
    """Return a function that finds how many trials of a shape train together on the device."""

    def find(config: TrialConfig) -> int:
        if not can_batch(config, device):
            return 1
        if device == "cuda":
            return probe(config, data, device, CardMeter())
        pays = batching.batching_pays(config, data.info.longest)
        return batching.MAX_MEMBERS if pays else 1

    return find


def probe(config: TrialConfig, data: Data, device: str, meter: Meter) -> int:
    """Return how many trials of a configuration's shape train together: measured, or as stored.

    Where memory runs out while a cohort is measured, the one before it counts as the largest.
    """
    key = _key(config, data, meter)
    measured = _stored(key)
    known = len(measured)
    budget = SHARE * meter.free_bytes()
    part = _longest_part(data, config.batch_size)
    while (members := next_members(measured, budget)) is not None:
        try:
            measured.append(_measure(config, part, device, members, meter))
        except torch.OutOfMemoryError:
            budget = measured[-1].peak_bytes if measured else 0.0
            break
        finally:
            gc.collect()
    if len(measured) > known:
        _cache.store(key, json.dumps([astuple(each) for each in measured]).encode())
    return members_that_fit(measured, budget)


def _measure(
    config: TrialConfig, part: Data, device: str, members: int, meter: Meter
) -> Measurement:
    """Measure a cohort of copies that differ in their seeds and learn too slowly to diverge."""
    update = {"learning_rate": 1e-6, "max_epochs": 1 + EPOCHS, **UNSCHEDULED}
    config = config.model_copy(update=update)
    meter.reset()
    cohort = cohort_of([Training(config, part, seed=n, device=device) for n in range(members)])
    cohort.advance(1)
    epochs = range(2, 2 + EPOCHS)
    seconds = min(meter.seconds(partial(cohort.advance, epoch)) for epoch in epochs)
    return Measurement(members, seconds, meter.peak_bytes())


def _longest_part(data: Data, batch_size: int) -> Data:
    """Return the longest sequences: enough for some updates and for one batch of validation."""
    train = _longest(data.train, UPDATES * batch_size)
    sequences = max(1, EVALUATION_STEPS // int(data.validation.lengths.max()))
    return replace(data, train=train, validation=_longest(data.validation, sequences))


def _longest(sequences: Sequences, number: int) -> Sequences:
    chosen = np.argsort(-sequences.lengths, kind="stable")[:number]
    starts, lengths = sequences.starts[chosen], sequences.lengths[chosen]
    steps = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    y = None if sequences.targets is None else sequences.targets[chosen]
    errors, series = sequences.naive_error, sequences.series
    return Sequences(
        sequences.steps(steps),
        lengths,
        y,
        naive_error=None if errors is None else errors[chosen],
        series=None if series is None else replace(series, values=series.values[steps]),
    )


def _key(config: TrialConfig, data: Data, meter: Meter) -> str:
    """Return the key of stored measurements: a hash of all that they depend on."""
    info, sizes = data.info, (len(data.train), len(data.validation))
    longest = [int(split.lengths.max()) for split in (data.train, data.validation)]
    task = [info.kind, info.inputs, info.outputs, *sizes, *longest]
    versions = {name: version(name) for name in ("torch", "triton", "gatesearch")}
    about = [shape_of(config), task, meter.name, versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _stored(key: str) -> list[Measurement]:
    content = _cache.load(key)
    return [] if content is None else [Measurement(*each) for each in json.loads(content)]
