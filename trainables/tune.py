"""The one file of trainables that knows Ray Tune: a worker that trains slices and reports them.

An actor serves many trials (take, reset_config), holds the data once per node through Ray's object
store, and writes its own checkpoints: Tune's are not used, since a job resumes from its journal
alone.
"""

import traceback
from dataclasses import asdict
from typing import Any

import torch
from ray import tune

from spaces.config import TrialConfig
from trainables.data import Data
from trainables.store import CheckpointError, StoreError, open_store
from trainables.training import Training
from trainables.work import Report, Work

SLICE_SECONDS = 1.0  #: train at least this long between two reports, unless a rung comes first


def checkpoint_name(work: Work, epoch: int) -> str:
    """Return the folder name of a checkpoint; no two drivers ever write the same one."""
    return f"{work.key.replace('/', '-')}-g{work.generation}-e{epoch}"


class Worker(tune.Trainable):
    """Trains the trial that its config holds under "work"."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], data: Data, checkpoints: str, threads: int, device: str
    ) -> None:
        """Take the data (shared, read-only), the place of checkpoints and the trial's device."""
        torch.set_num_threads(threads)
        self._data = data
        self._store = open_store(checkpoints)
        self._device = device
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another trial in the same process."""
        self._take(new_config)
        return True

    def take(self, work: dict[str, Any]) -> None:
        """Turn to another trial in the same process, without Tune's knowing."""
        self._take({"work": work})

    def _take(self, config: dict[str, Any]) -> None:
        self._work = Work(**config["work"])
        self._training: Training | None = None
        self._written: list[str] = list(self._work.checkpoints)

    def step(self) -> dict[str, Any]:
        """Train one slice. A trial's own exception is an answer too, so that the actor lives on.

        But for those after which it is not known what still works, such as torch's own when memory
        or an accelerator give out: they end it, and the trial is begun again in another process.
        """
        work = self._work
        try:
            report = self._slice()
        except StoreError as error:
            self._training = None
            report = Report(work.key, work.generation, [], halt=str(error))
        except Exception as error:
            self._training = None
            if isinstance(error, (MemoryError, OSError, RuntimeError)):
                raise
            lines = traceback.format_exception(error, limit=-8)
            report = Report(work.key, work.generation, [], failure="".join(lines)[-4000:])
        return {"report": [report.as_dict()]}

    def _slice(self) -> Report:
        work = self._work
        if self._training is None:
            self._training = self._begin()
        training = self._training
        last = training.config.max_epochs
        points = []
        if training.epoch < last and not training.diverged:
            points = training.advance(self._next_report(training.epoch, last), SLICE_SECONDS)
        ended = training.diverged or training.epoch >= last
        return Report(
            key=work.key,
            generation=work.generation,
            epochs=[asdict(point) for point in points],
            checkpoint=None if training.diverged else self._save(training),
            parameters=training.parameters,
            diverged=training.diverged,
            test=training.evaluate("test") if work.test and ended and training.best else None,
        )

    def _next_report(self, epoch: int, last: int) -> int:
        if self._work.rungs is None:
            return epoch + 1
        return min((rung for rung in self._work.rungs if rung > epoch), default=last)

    def _begin(self) -> Training:
        work = self._work
        config = TrialConfig(**work.config)
        for name in reversed(work.checkpoints):
            try:
                with self._store.reading(name) as folder:
                    return Training.restore(
                        folder, config, self._data, seed=work.seed, device=self._device
                    )
            except CheckpointError:
                continue  # half-written or lost: the one before it, or the beginning
        return Training(config, self._data, seed=work.seed, device=self._device)

    def _save(self, training: Training) -> str:
        """Write a checkpoint; the driver has the one before in its journal by now."""
        name = checkpoint_name(self._work, training.epoch)
        try:
            with self._store.writing(name) as folder:
                training.save(folder)
        except OSError as error:
            raise StoreError(f"no checkpoint could be written: {error}") from error
        self._written = [n for n in self._written if n != name] + [name]
        for old in self._written[:-2]:
            self._store.delete(old)
        self._written = self._written[-2:]
        return name

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: see the module's docstring. Tune calls it at the end of a reused trial."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: see the module's docstring."""
