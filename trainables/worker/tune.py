"""The one file of trainables that knows Ray Tune: a worker that trains slices and reports them.

An actor serves many trials (take, reset_config), one after the other or replicates of a finalist at
once. It holds the data once per node through Ray's object store, and writes its own checkpoints:
Tune's are not used, since a job resumes from its journal alone.
"""

import time
import traceback
from typing import Any

import torch
from ray import tune

from trainables.checkpoints.base import CheckpointError, Store, StoreError
from trainables.checkpoints.open import open_store
from trainables.data.sequences import Data
from trainables.training.cohort import Cohort
from trainables.training.curve import Epoch
from trainables.training.latency import latency_ms
from trainables.training.trainer import Training
from trainables.worker.device import choose_device
from trainables.worker.messages import TrialAssignment, TrialReport

SLICE_SECONDS = 1.0  #: train at least this long between two reports, unless a rung comes first
IDLE_SECONDS = 0.02  #: between two reports of a worker that has no trial
CHECKPOINTS = 2  #: that a trial has in the store: the latest, and the one before it


def checkpoint_name(assignment: TrialAssignment, epoch: int) -> str:
    """Return the folder name of a checkpoint; no two drivers ever write the same one."""
    return f"{assignment.key.replace('/', '-')}-g{assignment.generation}-e{epoch}"


class _Trial:
    """One assigned trial, its training and its checkpoints."""

    def __init__(self, assignment: TrialAssignment, data: Data, store: Store, device: str) -> None:
        self.assignment = assignment
        self._store = store
        self._checkpoints: list[str] = list(assignment.checkpoints)
        self.training = self._begin(data, device)
        self.end_reported = False

    def _begin(self, data: Data, device: str) -> Training:
        config, seed = self.assignment.config, self.assignment.seed
        for name in reversed(self.assignment.checkpoints):
            try:
                with self._store.reading(name) as folder:
                    return Training.restore(folder, config, data, seed=seed, device=device)
            except CheckpointError:
                continue  # half-written or lost: the one before it, or the beginning
        return Training(config, data, seed=seed, device=device)

    @property
    def next_report(self) -> int:
        """The epoch at which to report next."""
        epoch, last = self.training.epoch, self.training.config.max_epochs
        if self.assignment.rungs is None:
            return epoch + 1
        return min((rung for rung in self.assignment.rungs if rung > epoch), default=last)

    def report_latency(self) -> TrialReport:
        """Return a report without an epoch: how large and how fast the model is."""
        return TrialReport(
            key=self.assignment.key,
            generation=self.assignment.generation,
            epochs=[],
            parameters=self.training.parameters,
            latency_ms=latency_ms(self.training.model, self.training.data.train),
        )

    def report(self, points: list[Epoch]) -> TrialReport:
        """Write a checkpoint and return the report of a slice."""
        training = self.training
        tested = self.assignment.test and training.ended and training.best is not None
        self.end_reported = training.ended
        return TrialReport(
            key=self.assignment.key,
            generation=self.assignment.generation,
            epochs=points,
            checkpoint=None if training.diverged else self._save(),
            parameters=training.parameters,
            diverged=training.diverged,
            test=training.evaluate("test") if tested else None,
        )

    def _save(self) -> str:
        """Write a checkpoint; the driver has the one before in its journal by now."""
        name = checkpoint_name(self.assignment, self.training.epoch)
        try:
            with self._store.writing(name) as folder:
                self.training.save(folder)
        except OSError as error:
            raise StoreError(f"no checkpoint could be written: {error}") from error
        written = [other for other in self._checkpoints if other != name] + [name]
        for old in written[:-CHECKPOINTS]:
            self._store.delete(old)
        self._checkpoints = written[-CHECKPOINTS:]
        return name


class Worker(tune.Trainable):
    """Trains the trials that its config holds under "work": one, or replicates of one finalist."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], data: Data, checkpoints: str, threads: int, gpus: float
    ) -> None:
        """Take the data (shared, read-only), the place of checkpoints and a share of GPUs."""
        torch.set_num_threads(threads)
        self._data = data
        self._store = open_store(checkpoints)
        self._device = choose_device(gpus)
        self.take(config["work"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to other trials in the same process."""
        self.take(new_config["work"])
        return True

    def take(self, work: list[dict[str, Any]]) -> None:
        """Turn to other trials in the same process without Tune's part in it."""
        self._assignments = [TrialAssignment.from_dict(plain) for plain in work]
        self._trials: list[_Trial] = []
        self._cohort: Cohort | None = None

    def step(self) -> dict[str, Any]:
        """Train one slice and report on each trial; without a trial, wait a moment.

        A trial's own exception is a report too, and the actor lives on. After a MemoryError,
        OSError or RuntimeError (torch's own, when memory or an accelerator fails) it is not known
        what still works: these end the actor, and the trial begins again in another process.
        """
        if not self._assignments:
            time.sleep(IDLE_SECONDS)
            return {"report": []}
        try:
            reports = self._train_slice()
        except StoreError as error:
            reports = self._fail(halt=str(error))
        except Exception as error:
            if isinstance(error, (MemoryError, OSError, RuntimeError)):
                raise
            lines = traceback.format_exception(error, limit=-8)
            reports = self._fail(failure="".join(lines)[-4000:])
        return {"report": [report.as_dict() for report in reports]}

    def _train_slice(self) -> list[TrialReport]:
        """Train all trials that have not ended, and report on each.

        Where latencies are to be measured they are reported before anything is trained: the driver
        ends a trial that is too slow.
        """
        if self._cohort is None:
            self._trials = [
                _Trial(assignment, self._data, self._store, self._device)
                for assignment in self._assignments
            ]
            self._cohort = Cohort([trial.training for trial in self._trials])
            if all(assignment.measure_latency for assignment in self._assignments):
                return [trial.report_latency() for trial in self._trials]
        going_on = [trial for trial in self._trials if not trial.training.ended]
        until = min((trial.next_report for trial in going_on), default=0)
        found = self._cohort.advance(until, SLICE_SECONDS)
        return [
            trial.report(points)
            for trial, points in zip(self._trials, found, strict=True)
            if not trial.end_reported
        ]

    def _fail(self, *, halt: str | None = None, failure: str | None = None) -> list[TrialReport]:
        """Return reports that no assigned trial can go on."""
        self._cohort = None
        return [
            TrialReport(assignment.key, assignment.generation, [], halt=halt, failure=failure)
            for assignment in self._assignments
        ]

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: see the module's docstring. Tune calls it at the end of a reused trial."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: see the module's docstring."""
