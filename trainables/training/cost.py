"""What a training costs alone: the time of an epoch and the memory that it takes, to be compared.

All configurations take turns, and nothing else should run. Times and memory do not depend on what
is learned: weights are drawn, and move so little that no training diverges.
"""

import gc
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from spaces.config import TrialConfig
from trainables.data.sequences import Data
from trainables.training.advancing import Advancing
from trainables.training.cohort import cohort_of
from trainables.training.latency import out_of_memory, wait
from trainables.training.peak_memory import PeakMemory, exact_memory
from trainables.training.schedule import UNSCHEDULED
from trainables.training.trainer import Training

MIN_ROUNDS, MAX_ROUNDS = 3, 15  #: in each of which every configuration trains an epoch
MAX_SECONDS = 10.0  #: of rounds, if MIN_ROUNDS do not take longer
UNTIMED = 2  #: epochs before them: one compiles, of another the memory is measured
MIN_BATCHES = 8  #: of training that a part of the data has at least
_RATE = 1e-6


@dataclass(frozen=True)
class TrainingCost:
    """What one configuration costs."""

    epoch_seconds: float  #: median; an epoch trains on all training data and scores validation data
    peak_bytes: int | None  #: most that its training added to what was in use; None: not known here
    path: str  #: see measured_path.py


def training_costs(
    configs: Sequence[TrialConfig], data: Data, device: torch.device, expected: Sequence[float]
) -> list[TrainingCost | None]:
    """Return what an epoch of each configuration costs; None where memory does not hold it.

    They take turns, in every other round the other way round: what changes about the machine
    meanwhile meets all of them.

    expected: seconds that an epoch of each is known to take, about. Where MIN_ROUNDS of them would
        take longer than MAX_SECONDS, every k-th sequence is trained on, by length, and the time is
        multiplied by what was left out.
    """
    part, times = _part(data, configs, sum(expected) * (UNTIMED + MIN_ROUNDS) / MAX_SECONDS)
    started = enumerate(_started(config, part, device) for config in configs)
    cohorts = {place: cohort for place, cohort in started if cohort is not None}
    seconds: list[list[float]] = [[] for _ in configs]
    began = time.perf_counter()
    for number in range(MAX_ROUNDS):
        if number >= MIN_ROUNDS and time.perf_counter() - began >= MAX_SECONDS:
            break
        for place in cohorts if number % 2 == 0 else reversed(cohorts):
            seconds[place].append(_epoch(cohorts[place], device))
    paths = {place: cohort.members[0].path for place, cohort in cohorts.items()}
    cohorts.clear()
    found: list[TrainingCost | None] = [None] * len(configs)
    with exact_memory():
        for place, path in paths.items():
            peak = _peak_bytes(configs[place], part, device)
            typical = statistics.median(seconds[place])
            found[place] = TrainingCost(times * typical, peak, path or "")
    return found


def _started(config: TrialConfig, data: Data, device: torch.device) -> Advancing | None:
    """Return a configuration's training after its first epoch, or None where it does not fit."""
    try:
        cohort = _cohort(config, data, device)
        cohort.advance(1)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None
    return cohort


def _cohort(config: TrialConfig, data: Data, device: torch.device) -> Advancing:
    """Return what trains a configuration the way that a worker does."""
    epochs = 1 + MAX_ROUNDS
    update = {"learning_rate": _RATE, "max_epochs": epochs, **UNSCHEDULED}
    config = config.model_copy(update=update)
    return cohort_of([Training(config, data, seed=0, device=str(device))])


def _epoch(cohort: Advancing, device: torch.device) -> float:
    """Train one more epoch; return its seconds."""
    wait(device)
    began = time.perf_counter()
    cohort.advance(cohort.members[0].epoch + 1)
    wait(device)
    return time.perf_counter() - began


def _peak_bytes(config: TrialConfig, data: Data, device: torch.device) -> int | None:
    """Return the most memory that the first epoch of a training takes, its weights included.

    On a thread of its own: the compiled engine keeps free buffers by thread, and those of earlier
    trainings would hide what this one takes.
    """
    threads = torch.get_num_threads()

    def run() -> int | None:
        torch.set_num_threads(threads)  # a new thread begins with torch's own number
        gc.collect()
        with PeakMemory(device) as memory:
            _cohort(config, data, device).advance(1)
        return memory.bytes

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _part(data: Data, configs: Sequence[TrialConfig], wanted: float) -> tuple[Data, float]:
    """Return a wanted-th part of the data, and how many times longer an epoch of all of it is.

    At least MIN_BATCHES of training stay, and what does not depend on the length of an epoch is
    small beside so long ones.
    """
    batch = max(config.batch_size for config in configs)
    stride = min(math.floor(wanted), len(data.train) // (MIN_BATCHES * batch))
    if stride < 2:
        return data, 1.0
    train, validation = (
        part.chosen(np.argsort(part.lengths, kind="stable")[::stride])
        for part in (data.train, data.validation)
    )
    return replace(data, train=train, validation=validation), len(data.train) / len(train)
