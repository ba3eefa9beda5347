"""Figures of a job that runs on a cluster, for Prometheus: each node's agent of Ray exports them.

The driver tells Ray, which names them ray_<name> and adds its own labels. What they are is METRICS;
the dashboards of deploy/monitoring draw them. A job on a Ray of its own tells nobody.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from search.environment import joins_cluster
from search.run.budgets import STATES
from search.run.driver import Driver
from search.tracking.state import mirror_state
from trainables.patience import waits

SECONDS = 10.0  #: between two reports; Ray's agents are asked no more often
PHASES = ("search", "confirm", "report", "done")


class Described(NamedTuple):
    """What a figure means, and by which labels it is told apart, beside the job's `name`."""

    text: str
    labels: tuple[str, ...] = ()


METRICS = {
    "gatesearch_phase": Described("1 for the phase that the job is in.", ("phase",)),
    "gatesearch_trials": Described("Trials and replicates by state.", ("arm", "state")),
    "gatesearch_epochs": Described("Epochs trained so far.", ("arm",)),
    "gatesearch_worker_seconds": Described("Seconds that workers trained so far.", ("arm",)),
    "gatesearch_best_value": Described("Validation value of the arm's best trial.", ("arm",)),
    "gatesearch_retries": Described("Trials begun again by their own fault.", ("arm",)),
    "gatesearch_slots_waiting": Described("Trials that could begin, were there more workers."),
    "gatesearch_waits": Described("Stores, servers and nodes that the job waits for."),
    "gatesearch_mirror_behind": Described("Trials of the journal without a run in MLflow."),
    "gatesearch_mirror_error": Described("1 while the mirror cannot write to MLflow."),
}


class Figure(NamedTuple):
    """A value of a metric for one combination of its labels."""

    metric: str
    labels: dict[str, str]
    value: float


def figures(driver: Driver, folder: Path) -> list[Figure]:
    """Return a job's figures as they are now. folder: the job's; it only ever reads."""
    state, found = driver.job_state, list[Figure]()

    def tell(metric: str, value: float, **labels: str) -> None:
        found.append(Figure(metric, {"name": driver.job.name, **labels}, float(value)))

    for phase in PHASES:
        tell("gatesearch_phase", phase == state.phase, phase=phase)
    trials = list(state.trials.values())
    for arm in (arm.name for arm in driver.job.arms):
        own = [trial for trial in trials if trial.arm == arm]
        count = Counter("paused" if trial.paused else trial.state for trial in own)
        for name in STATES:
            tell("gatesearch_trials", count[name], arm=arm, state=name)
        tell("gatesearch_epochs", sum(trial.epoch for trial in own), arm=arm)
        tell("gatesearch_worker_seconds", sum(trial.seconds for trial in own), arm=arm)
        tell("gatesearch_retries", sum(trial.retries for trial in own), arm=arm)
        best = next(iter(driver.confirmation.best(arm, 1)), None)
        if best is not None and best.value is not None:
            tell("gatesearch_best_value", best.value, arm=arm)
    tell("gatesearch_slots_waiting", driver.could_begin())
    tell("gatesearch_waits", len(waits()))
    mirror = mirror_state(folder)
    tell("gatesearch_mirror_behind", sum(trial.key not in mirror.runs for trial in trials))
    tell("gatesearch_mirror_error", mirror.error is not None)
    return found


@contextmanager
def exported(driver: Driver, folder: Path) -> Iterator[None]:
    """Tell the cluster that this process belongs to, while the block runs; no cluster, nobody."""
    if not joins_cluster():
        yield
        return
    stop = threading.Event()
    teller = threading.Thread(target=_tell, args=(driver, folder, stop), daemon=True)
    teller.start()
    try:
        yield
    finally:
        stop.set()
        teller.join()


def _tell(driver: Driver, folder: Path, stop: threading.Event) -> None:
    from ray.util.metrics import Gauge

    gauges = {
        name: Gauge(name, description=one.text, tag_keys=("name", *one.labels))
        for name, one in METRICS.items()
    }
    while True:
        last = stop.is_set()
        # The driver goes on meanwhile: a table that grows while it is read, or a mirror's file that
        # cannot be, is read next time.
        with suppress(RuntimeError, OSError):
            for figure in figures(driver, folder):
                gauges[figure.metric].set(figure.value, tags=figure.labels)
        if last:
            return
        stop.wait(SECONDS)
