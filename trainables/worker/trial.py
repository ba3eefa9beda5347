"""A trial in a worker's hands: its training, its reports and its checkpoints."""

import math
from pathlib import Path

from trainables.checkpoints.base import CheckpointError, Store, StoreError
from trainables.data.redealing import Splits
from trainables.training.examples import Examples
from trainables.training.latency import latency_ms
from trainables.training.trainer import Training
from trainables.worker.messages import TrialAssignment, TrialReport

CHECKPOINTS = 2  #: that a trial has in the store: the latest, and the one before it


def checkpoint_name(assignment: TrialAssignment, epoch: int) -> str:
    """Return the folder name of a checkpoint; no two drivers ever write the same one."""
    return f"{assignment.key.replace('/', '-')}-g{assignment.generation}-e{epoch}"


def scores_name(assignment: TrialAssignment) -> str:
    """Return the folder name of a replicate's scores, of the form that checkpoints have."""
    return f"{assignment.key.replace('/', '-')}-g{assignment.generation}-scores"


class AssignedTrial:
    """One assigned trial. Its training is made when its turn comes, and again after it was freed.

    What was trained since the last checkpoint is then trained again, to the same bits.
    """

    def __init__(self, assignment: TrialAssignment, store: Store) -> None:
        self.assignment = assignment
        self._store = store
        self._checkpoints = list(assignment.checkpoints)
        self._training: Training | None = None
        self._reported: int | None = None  # the epoch of the last report, or of the beginning
        self.end_reported = False
        self._stored: dict[str, int] = {}  # bytes by name, since the last report
        self.latency_due = assignment.measure_latency
        self.unreported_seconds = 0.0  #: that its cohort has trained since its last report
        self.turn = 0  #: when it was trained last, counted in turns of the worker
        self.alone = False  #: whether it must train by itself: in company something failed
        self.had_device_alone = False  #: whether it got all memory of the device once already

    @property
    def key(self) -> str:
        """The trial's name within its job."""
        return self.assignment.key

    @property
    def training(self) -> Training:
        """Its training, once it has begun."""
        assert self._training is not None
        return self._training

    def begin(self, splits: Splits, device: str) -> Training:
        """Return its training: as it is, from the latest whole checkpoint, or from the start."""
        if self._training is None:
            self._training = self._restored(splits, device)
        if self._reported is None:
            self._reported = self._training.epoch
        return self._training

    def _restored(self, splits: Splits, device: str) -> Training:
        config, seed = self.assignment.config, self.assignment.seed
        data = splits.of(self.assignment.split)
        for name in reversed(self._checkpoints):
            try:
                with self._store.reading(name) as folder:
                    return Training.restore(folder, config, data, seed=seed, device=device)
            except CheckpointError:
                continue  # half-written or lost: the one before it, or the beginning
        return Training(config, data, seed=seed, device=device)

    def free(self) -> None:
        """Let go of the training and its memory."""
        self._training = None

    def due(self, seconds: float) -> bool:
        """Return whether to report: at its end, at a rung, or after so many seconds of training."""
        if self.training.ended:
            return True
        assert self._reported is not None
        new = self.training.epoch > self._reported
        return new and (self._at_rung() or self.unreported_seconds >= seconds)

    def _at_rung(self) -> bool:
        rungs, reported = self.assignment.rungs, self._reported
        assert reported is not None
        return rungs is None or any(reported < rung <= self.training.epoch for rung in rungs)

    def report_latency(self) -> TrialReport:
        """Return a report without an epoch: how large and how fast the model is."""
        self.latency_due = False
        return TrialReport(
            key=self.key,
            generation=self.assignment.generation,
            epochs=[],
            parameters=self.training.parameters,
            latency_ms=latency_ms(self.training.model, self.training.data.train),
            path=self.training.path_alone(),
        )

    @property
    def tested(self) -> bool:
        """Whether its next report tells scores on test and training data: of a replicate's end."""
        training = self.training
        return self.assignment.test and training.ended and training.best is not None

    def report(self, fit: dict[str, float] | None = None) -> TrialReport:
        """Write a checkpoint and return the report of the epochs since the last one.

        fit: of one that is tested, its metrics on training data, with the best epoch's weights.
        A replicate that has ended needs no checkpoint: its scores are in the report and the store.
        One whose metrics are not finite has failed: the report says so, and no more.
        """
        training = self.training
        assert self._reported is not None
        tested = self.tested
        stored = not tested and not training.diverged
        self._stored = {}
        test, scores = None, None
        if tested:
            test, examples = training.evaluate_examples("test")
            if (fault := _fault("test", test) or _fault("training", fit or {})) is not None:
                self.end_reported = True
                return self.failed(failure=fault)
            scores = self._write(examples)
        report = TrialReport(
            key=self.key,
            generation=self.assignment.generation,
            epochs=training.curve[self._reported :],
            parameters=training.parameters,
            path=training.path,
            diverged=training.diverged,
            test=test,
            training=fit,
            scores=scores,
            checkpoint=self._save() if stored else None,
            stored=self._stored,
        )
        self._reported = max(self._reported, training.epoch)
        self.unreported_seconds = 0.0
        self.end_reported = training.ended
        return report

    def failed(self, *, halt: str | None = None, failure: str | None = None) -> TrialReport:
        """Return the report that it cannot go on."""
        assignment = self.assignment
        return TrialReport(self.key, assignment.generation, [], halt=halt, failure=failure)

    def _write(self, examples: Examples) -> dict[str, str]:
        """Write what each example of the test part scored, and return where."""
        name = scores_name(self.assignment)
        try:
            with self._store.writing(name) as folder:
                digest = examples.write(folder)
                self._count(name, folder)
        except OSError as error:
            raise StoreError(f"no scores could be written: {error}") from error
        return {"name": name, "sha256": digest}

    def _count(self, name: str, folder: Path) -> None:
        self._stored[name] = sum(path.stat().st_size for path in folder.iterdir())

    def _save(self) -> str:
        """Write a checkpoint; the driver has the one before in its journal by now."""
        name = checkpoint_name(self.assignment, self.training.epoch)
        try:
            with self._store.writing(name) as folder:
                self.training.save(folder)
                self._count(name, folder)
        except OSError as error:
            raise StoreError(f"no checkpoint could be written: {error}") from error
        written = [other for other in self._checkpoints if other != name] + [name]
        for old in written[:-CHECKPOINTS]:
            self._store.delete(old)
        self._checkpoints = written[-CHECKPOINTS:]
        return name


def _fault(part: str, metrics: dict[str, float]) -> str | None:
    """Return why a part's metrics are none, if so: a forecast of logarithms may overflow."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            return (
                f"its {name} on {part} data must be a finite number, not {value}: what the model "
                "says there, or its error, is beyond all numbers; forecast without transform, "
                "or look at the values of that part"
            )
    return None
