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
from trainables.worker.messages import TrialAssignment, TrialReport

SLICE_SECONDS = 1.0  #: train at least this long between two reports, unless a rung comes first
IDLE_SECONDS = 0.02  #: between two reports of a worker that has nothing in hand


def checkpoint_name(work: TrialAssignment, epoch: int) -> str:
    """Return the folder name of a checkpoint; no two drivers ever write the same one."""
    return f"{work.key.replace('/', '-')}-g{work.generation}-e{epoch}"


class _Trial:
    """One trial in hand."""

    def __init__(self, work: TrialAssignment, data: Data, store: Store, device: str) -> None:
        self.work = work
        self._store = store
        self._written: list[str] = list(work.checkpoints)
        self.training = self._begin(data, device)
        self.told = False  #: whether its end was reported

    def _begin(self, data: Data, device: str) -> Training:
        work = self.work
        config = work.config
        for name in reversed(work.checkpoints):
            try:
                with self._store.reading(name) as folder:
                    return Training.restore(folder, config, data, seed=work.seed, device=device)
            except CheckpointError:
                continue  # half-written or lost: the one before it, or the beginning
        return Training(config, data, seed=work.seed, device=device)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return self.training.diverged or self.training.epoch >= self.training.config.max_epochs

    @property
    def next_report(self) -> int:
        """The epoch at which to report next."""
        epoch, last = self.training.epoch, self.training.config.max_epochs
        if self.work.rungs is None:
            return epoch + 1
        return min((rung for rung in self.work.rungs if rung > epoch), default=last)

    def measured(self) -> TrialReport:
        """Return a report without an epoch: how large and how fast the model is."""
        latency = latency_ms(self.training.model, self.training.data.train)
        return TrialReport(
            key=self.work.key,
            generation=self.work.generation,
            epochs=[],
            parameters=self.training.parameters,
            latency_ms=latency,
        )

    def report(self, points: list[Epoch]) -> TrialReport:
        """Write a checkpoint and return the report of a slice."""
        training, work = self.training, self.work
        tested = work.test and self.ended and training.best is not None
        return TrialReport(
            key=work.key,
            generation=work.generation,
            epochs=points,
            checkpoint=None if training.diverged else self._save(),
            parameters=training.parameters,
            diverged=training.diverged,
            test=training.evaluate("test") if tested else None,
        )

    def _save(self) -> str:
        """Write a checkpoint; the driver has the one before in its journal by now."""
        name = checkpoint_name(self.work, self.training.epoch)
        try:
            with self._store.writing(name) as folder:
                self.training.save(folder)
        except OSError as error:
            raise StoreError(f"no checkpoint could be written: {error}") from error
        self._written = [n for n in self._written if n != name] + [name]
        for old in self._written[:-2]:
            self._store.delete(old)
        self._written = self._written[-2:]
        return name


class Worker(tune.Trainable):
    """Trains the trials that its config holds under "work": one, or replicates of one finalist."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], data: Data, checkpoints: str, threads: int, device: str
    ) -> None:
        """Take the data (shared, read-only), the place of checkpoints and the trial's device."""
        torch.set_num_threads(threads)
        self._data = data
        self._store = open_store(checkpoints)
        self._device = device
        self.take(config["work"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to other trials in the same process."""
        self.take(new_config["work"])
        return True

    def take(self, work: list[dict[str, Any]]) -> None:
        """Turn to other trials in the same process, without Tune's knowing."""
        self._work = [TrialAssignment.from_dict(plain) for plain in work]
        self._trials: list[_Trial] = []
        self._together: Cohort | None = None

    def step(self) -> dict[str, Any]:
        """Train one slice, or wait a moment where there is nothing in hand.

        A trial's own exception is an answer too, so that the actor lives on. But for those after
        which it is not known what still works, such as torch's own when memory or an accelerator
        give out: they end it, and the trial is begun again in another process.
        """
        if not self._work:
            time.sleep(IDLE_SECONDS)
            return {"report": []}
        try:
            reports = self._slice()
        except StoreError as error:
            reports = self._give_up(halt=str(error))
        except Exception as error:
            if isinstance(error, (MemoryError, OSError, RuntimeError)):
                raise
            lines = traceback.format_exception(error, limit=-8)
            reports = self._give_up(failure="".join(lines)[-4000:])
        return {"report": [report.as_dict() for report in reports]}

    def _slice(self) -> list[TrialReport]:
        """Train all that has not ended, and report on each.

        Where it is asked how fast the models are, that is told first: what is too slow is never
        trained.
        """
        if self._together is None:
            begun = [_Trial(work, self._data, self._store, self._device) for work in self._work]
            self._trials, self._together = begun, Cohort([trial.training for trial in begun])
            if all(trial.work.measure_latency for trial in begun):
                return [trial.measured() for trial in begun]
        until = min((trial.next_report for trial in self._trials if not trial.ended), default=0)
        found = self._together.advance(until, SLICE_SECONDS)
        reports = []
        for trial, points in zip(self._trials, found, strict=True):
            if not trial.told:
                reports.append(trial.report(points))
                trial.told = trial.ended
        return reports

    def _give_up(self, *, halt: str | None = None, failure: str | None = None) -> list[TrialReport]:
        """Return that no trial in hand can go on."""
        self._together = None
        return [
            TrialReport(w.key, w.generation, [], halt=halt, failure=failure) for w in self._work
        ]

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: see the module's docstring. Tune calls it at the end of a reused trial."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: see the module's docstring."""
