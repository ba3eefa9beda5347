"""A job driven without Ray: real journal, real studies, and workers whose curves are a formula."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from search.journal.open import open_journal, open_reader
from search.journal.postgres import PostgresReader
from search.journal.replay import JobState
from search.run.driver import Driver
from spaces.kinds import Metric
from spaces.tasks import TaskInfo
from trainables.training.curve import Epoch
from trainables.training.schedule import stops_early
from trainables.worker.messages import TrialAssignment, TrialReport

INFO = TaskInfo(
    name="japanese-vowels",
    kind="classification",
    inputs=12,
    outputs=9,
    longest=29,
    metric=Metric("accuracy", "maximize"),
    fingerprint="f" * 64,
)


#: Settings that the first jobs had not. What is simulated stays the same when some are added.
LATER = {"forget_bias", "precision", "recurrent_init", "weight_drop", "zoneout"}
LATER |= {"schedule", "warm_up", "decay_after", "decay_factor", "patience", "class_weights"}
LATER |= {"carry_state", "truncation"}


def job(folder: Path, **changes: dict[str, Any]) -> JobSpec:
    """Return a small job; changes replace keys of its sections.

    Its search has the defaults of the first jobs: what is simulated stays what it was.
    """
    plain: dict[str, Any] = {
        "name": "driven",
        "task": {"name": "japanese-vowels"},
        "arms": ["rnn", "lstm", "gru"],
        "training": {"max_epochs": 9},
        "search": {"trials": 8, "control_fraction": 0.25, "prior": "none", "sampler": "tpe"},
        "confirm": {"finalists": 1, "seeds": 2},
    }
    for section, values in changes.items():
        known = plain.get(section)
        if section == "confirm" and "replicates" in values:
            known = {"finalists": 1}
        plain[section] = known | values if isinstance(known, dict) else values
    return JobSpec.from_dump(JobSpec.loads(_yaml(plain), base=folder).dump(), folder)


def _yaml(plain: dict[str, Any]) -> str:
    import json

    return json.dumps(plain)  # JSON is YAML


def curve_value(work: TrialAssignment, epoch: int) -> float:
    """Return a validation accuracy that depends on the configuration and grows with epochs."""
    config = work.config.model_dump(mode="json", exclude=LATER)
    digest = hashlib.sha256(f"{sorted(config.items())}".encode()).digest()
    ceiling = 0.5 + digest[0] / 512
    return round(ceiling * (1 - math.exp(-epoch / (1 + digest[1] / 64))), 6)


@dataclass
class Workers:
    """Takes work from a driver and answers, one slice at a time, in turn over `slots` trials."""

    driver: Driver
    slots: int = 1
    value: Callable[[TrialAssignment, int], float] = curve_value
    #: Validation loss of an epoch; None: what the value lacks of 1.
    loss: Callable[[TrialAssignment, int], float] | None = None
    size: Callable[[TrialAssignment], int] = lambda work: 100  #: parameters
    seconds: Callable[[TrialAssignment], float] = lambda work: 0.01  #: of one epoch
    latency: Callable[[TrialAssignment], float] = lambda work: (
        1.0
    )  #: milliseconds, where they are asked for
    path: Callable[[TrialAssignment], str | None] = lambda work: None  #: that times are of
    stores: Callable[[TrialAssignment], int] = lambda work: 0  #: bytes of a checkpoint
    diverges: Callable[[TrialAssignment, int], bool] = lambda work, epoch: False
    fails: Callable[[TrialAssignment], bool] = lambda work: False
    live: list[TrialAssignment] = field(default_factory=list)
    epoch: dict[str, int] = field(default_factory=dict)
    told: list[TrialReport] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)  #: keys whose latency was measured

    def run(self, most_reports: int = 100_000) -> None:
        """Go on until the driver has no work left, or so many reports were made."""
        for _ in range(most_reports):
            while len(self.live) < self.slots and (work := self.driver.next()) is not None:
                self.live.append(work)
                self.epoch[work.key] = self.driver.job_state.trials[work.key].epoch
            if not self.live:
                assert self.driver.finished
                return
            work = self.live.pop(0)
            report = self.slice(work)
            self.told.append(report)
            if self.driver.report(report):
                self.live.append(work)

    def slice(self, work: TrialAssignment) -> TrialReport:
        """Return the report that a worker would send next."""
        if self.fails(work):
            return TrialReport(work.key, work.generation, [], failure="RuntimeError: out of luck")
        if work.measure_latency and work.key not in self.measured:
            self.measured.append(work.key)
            size, latency = self.size(work), self.latency(work)
            return TrialReport(
                work.key,
                work.generation,
                [],
                parameters=size,
                latency_ms=latency,
                path=self.path(work),
            )
        begin, last = self.epoch[work.key], int(work.config.max_epochs)
        rungs = range(1, last) if work.rungs is None else work.rungs
        end = min((rung for rung in rungs if rung > begin), default=last)
        points: list[Epoch] = []
        for epoch in range(begin + 1, end + 1):
            if self.stopped(work, epoch - 1):
                end = last = epoch - 1
                break
            if self.diverges(work, epoch):
                return TrialReport(work.key, work.generation, points, diverged=True)
            value = self.value(work, epoch)
            points.append(
                Epoch(
                    epoch=epoch,
                    train_loss=1 - value,
                    value=value,
                    seconds=self.seconds(work),
                    time=epoch,
                    metrics={
                        "accuracy": value,
                        "loss": self.loss(work, epoch) if self.loss else 1 - value,
                    },
                )
            )
        self.epoch[work.key] = end
        checkpoint = f"{work.key.replace('/', '-')}-g{work.generation}-e{end}"
        return TrialReport(
            work.key,
            work.generation,
            points,
            checkpoint=checkpoint,
            stored={checkpoint: self.stores(work)} if self.stores(work) else {},
            parameters=self.size(work),
            path=self.path(work),
            test={"accuracy": curve_value(work, end)} if work.test and end == last else None,
        )

    def stopped(self, work: TrialAssignment, epoch: int) -> bool:
        """Return whether a training's patience was over after an epoch."""
        values = [self.value(work, each) for each in range(1, epoch + 1)]
        best = 1 + values.index(max(values)) if values else 0
        return stops_early(work.config, epoch, best)


def drive(job: JobSpec, folder: Path, **options: Any) -> JobState:
    """Run a job to its end (or through `most_reports`) and return what its journal says."""
    most = options.pop("most_reports", 100_000)
    with open_journal(job, folder) as journal:
        Workers(Driver(job, INFO, journal), **options).run(most)
    return told(folder, job)


def told(folder: Path, job: JobSpec | None = None) -> JobState:
    """Return what a reader makes of the journal in a folder, or of the job's in its database."""
    job_state = JobState()
    if job is not None and job.storage.study is not None:
        job_state.apply_all(PostgresReader(job.storage.study, job.name).groups())
    else:
        job_state.apply_all(open_reader(folder).groups())
    return job_state
