"""Whether the machine or the cluster has what one trial asks for."""

from collections.abc import Sequence
from typing import Any

from search.environment import joins_cluster
from search.job.spec import JobSpec
from search.results.format import plural
from spaces.fields import Fault
from trainables.machine import read_cores
from trainables.patience import AwakeClock, show_wait

SECONDS = 60.0  #: for which a cluster without room may grow before it is told


def check_machine(job: JobSpec) -> None:
    """Raise InputError where this machine can run no trial of a job that has a Ray of its own."""
    if joins_cluster():
        return
    need = job.resources
    faults = []
    cores = read_cores().usable
    if need.cpus_per_trial > cores:
        rule = (
            f"must be at most {cores}, which is how many of this machine's CPU cores a job may "
            f"use, not {need.cpus_per_trial:g}"
        )
        remedy = f"write {cores} or less, or run the job on a cluster (gatesearch submit)"
        faults.append(Fault(rule, remedy, ("resources", "cpus_per_trial")))
    if need.gpus and not need.cpu_trials and need.gpus > (cards := _usable_cards()):
        rule = (
            "must not be auto without a GPU that torch can use: this machine has none"
            if need.packed
            else f"must be at most {cards}, which is how many GPUs of this machine torch can use, "
            f"not {need.gpus:g}"
        )
        remedy = (
            "write 0 to train on CPUs, see what `gatesearch doctor` says is missing, or run the "
            "job on a cluster (gatesearch submit)"
        )
        faults.append(Fault(rule, remedy, ("resources", "gpus_per_trial")))
    if faults:
        raise job.refusal(faults)


def _usable_cards() -> float:
    """Return how many GPUs there are; without limit where the CPU stands in for them."""
    import torch

    from trainables.worker.device import DeviceError, choose_device

    try:
        return torch.cuda.device_count() if choose_device(1) == "cuda" else float("inf")
    except DeviceError:
        return 0


class RoomWatch:
    """Tells, while it lasts, that no node of a cluster has room for a trial."""

    def __init__(self, job: JobSpec) -> None:
        self._need = job.resources
        self._clock: AwakeClock | None = None  # since there is no room

    def look(self, nodes: Sequence[dict[str, float]]) -> None:
        """Take in the Ray resources of the nodes that live. Call it every few seconds."""
        need = self._need
        cpus = [node.get("CPU", 0.0) for node in nodes]
        gpus = [node.get("GPU", 0.0) for node in nodes]
        if any(
            has_cpus >= need.cpus_per_trial and (has_gpus >= need.gpus or need.cpu_trials)
            for has_cpus, has_gpus in zip(cpus, gpus, strict=True)
        ):
            self.end()
            return
        self._clock = self._clock or AwakeClock()
        if self._clock.seconds() >= SECONDS:
            show_wait(
                id(self),
                "waiting for a node that has room for a trial: it asks for "
                f"{_amounts(need.cpus_per_trial, need.gpus)} (resources); of the cluster's "
                f"{plural(len(nodes), 'node')} the largest have "
                f"{_amounts(max(cpus, default=0), max(gpus, default=0))}",
            )

    def end(self) -> None:
        """Say no more."""
        self._clock = None
        show_wait(id(self), None)


def _amounts(cpus: Any, gpus: Any) -> str:
    return f"{cpus:g} CPU and {gpus:g} GPU"
