"""Costs of the finalists that can be compared: measured after all training, alone, in turn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from search.journal.replay import TrialState
from search.journal.trial import AloneTimes
from search.run.driver import Driver
from trainables.data.sequences import Data
from trainables.layers.model import Model
from trainables.training.cost import training_costs
from trainables.training.latency import medians_ms
from trainables.training.measured_path import measured_path
from trainables.training.trainer import device_name
from trainables.worker.device import DeviceError, choose_device

BATCHES = (1, 64)


def measure_finalists(driver: Driver, data: Data) -> None:
    """Record what the finalists cost, unless the journal has it of all of them.

    They are measured on this machine, which is the driver's, on a GPU if the job trains on GPUs and
    there is one here. The weights are drawn: costs do not depend on them. Where one finalist has
    none yet all are measured again, since only times that were taken in turn compare.
    """
    finalists = to_measure(driver)
    if not finalists:
        return
    device = _device(driver.job.resources.gpus)
    threads = max(1, int(driver.job.resources.cpus_per_trial))
    configs = [trial.config for trial in finalists]
    models = [Model(config, data.info).to(device) for config in configs]
    expected = [trial.seconds / max(1, trial.epoch) for trial in finalists]
    with _threads(threads):
        passes = medians_ms(models, data.train, BATCHES)
        costs = training_costs(configs, data, device, expected)
    driver.add_times(
        {
            trial.key: AloneTimes(
                times[1],
                times.get(64),
                measured_path(model.path(), device_name(device), "float32"),
                threads,
                *((cost.epoch_seconds, cost.peak_bytes, cost.path) if cost else ()),
            )
            for trial, model, times, cost in zip(finalists, models, passes, costs, strict=True)
            if 1 in times
        }
    )


def to_measure(driver: Driver) -> list[TrialState]:
    """Return the finalists, or none where there are none or the journal has the costs of all."""
    if not driver.confirmation.replicates:
        return []
    arms = driver.job.arms
    finalists = [trial for arm in arms for trial in driver.confirmation.finalists(arm.name)]
    return [] if all(trial.alone is not None for trial in finalists) else finalists


def _device(gpus: float) -> torch.device:
    try:
        return torch.device(choose_device(gpus))
    except DeviceError:  # the workers' machines have GPUs, this one has not
        return torch.device("cpu")


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with so many threads, as a trial does."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
