"""Small jobs as they are on disk after a search: trained here, read as results."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.job.spec import JobSpec
from search.journal.trial import TrialResult
from search.results.read import Results
from spaces.cells import parse
from spaces.config import TrialConfig
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.training.trainer import Training

TASKS = {
    "classification": "{kind: classification, data: own.npz}",
    "next-token": "{kind: next-token, data: own.npz}",
    "next-step": "{kind: next-step, data: own.npz}",
    "regression": "{name: adding, length: 6, examples: 60}",
    "vowels": "{name: japanese-vowels}",
    "off-scale": "{kind: regression, data: own.npz}",
}

#: Beside those: own data that lacks values, and what is made of them.
GAPS = {
    missing: f"{{kind: classification, data: {{file: own.npz, missing: {missing}}}}}"
    for missing in ("forward", "mean", "mask")
}

#: Beside those: the user's own data with names of columns and classes.
READ = "features: [pulse, breath]"
TABLE = {
    task: f"{{kind: {kind}, data: {{file: own.csv, id: who, {READ}, target: {target}}}}}"
    for task, kind, target in (
        ("table", "classification", "mood"),
        ("labels", "multi-label", "[glad, well]"),
        ("numbers", "regression", "[glad, well]"),
    )
}

#: And kinds that have other targets than one for each sequence.
FURTHER = {
    "tagging": "{kind: tagging, data: own.npz, metric: macro-f1}",
    "multi-label": "{kind: multi-label, data: own.npz}",
    "forecasting": "{kind: forecasting, data: own.npz, horizon: 3, window: 5}",
    "gaussian": "{kind: forecasting, data: own.npz, horizon: 3, window: 5, likelihood: gaussian, "
    "relative: true}",
    "quantile": "{kind: forecasting, data: own.npz, horizon: 3, window: 5, likelihood: quantile}",
    "differences": "{kind: forecasting, data: own.npz, horizon: 3, window: 5, difference: 2, "
    "transform: log, likelihood: quantile}",
    "signed-log": "{kind: forecasting, data: own.npz, horizon: 3, window: 5, "
    "transform: signed-log}",
    "several": "{kind: regression, data: own.npz, metric: mae}",
}

#: And a series with a column that is known ahead.
AHEAD = {
    "known-future": "{kind: forecasting, horizon: 3, window: 5, "
    "data: {file: own.csv, target: sold, future: [price]}}"
}

#: And texts, by character and in learned vocabularies.
TEXTS = {
    "text": "{kind: next-token, data: {file: own.txt, window: 8}}",
    "words": "{kind: next-token, data: {file: own.txt, window: 8, vocabulary: words, size: 12}}",
    "bpe": "{kind: next-token, data: {file: own.txt, window: 8, vocabulary: bpe, size: 24}}",
}

JOB = """
name: small
task: {task}
arms: [{arms}]
space: {{hidden_size: 8, depth: 1}}
training: {{max_epochs: 3}}
"""


def write_own(path: Path, kind: str, n: int = 30) -> None:
    """Write ragged data of a kind, easy enough to be learned in part."""
    draw = np.random.default_rng(3)
    lengths = draw.integers(2, 9, n)
    steps = int(lengths.sum())
    if kind == "next-token":
        np.savez(path, x=np.arange(steps) % 5, lengths=lengths)
    elif "kind: forecasting" in FURTHER.get(kind, ""):
        level = np.sin(np.arange(120) / 3) * 20 + 100
        x = np.stack([np.tile(level, 2), draw.normal(size=240)], axis=1)
        np.savez(path, x=x, lengths=[120, 120])
    elif kind == "next-step":
        np.savez(path, x=draw.integers(0, 2, (steps, 3)), lengths=lengths)
    else:
        y = np.arange(n) % 3
        x = draw.normal(size=(steps, 4)) + np.repeat(y, lengths)[:, None]
        if kind == "tagging":
            y = np.array(["down", "up"])[(x[:, 0] > 1).astype(int)]
        elif kind == "multi-label":
            y = (y[:, None] == np.arange(3)) | (draw.random((n, 3)) < 0.2)
        elif kind == "several":
            y = y[:, None] * [1.0, 100.0] + [5.0, -300.0]
        elif kind == "off-scale":
            x, y = x * [1, 1e-3, 1e3, 0] + [0, 0, 5e3, 7], 300 + 60 * y
        if kind in GAPS:
            x[draw.random(x.shape) < 0.3] = np.nan
        np.savez(path, x=x, lengths=lengths, y=y)


def write_table(path: Path, n: int = 30) -> None:
    """Write a table of n people in three moods, which its numbers tell; two labels go with them."""
    draw = np.random.default_rng(3)
    lines = ["who,pulse,place,breath,mood,glad,well"]
    for who in range(n):
        for _ in range(draw.integers(2, 9)):
            pulse, breath = draw.normal(size=2) + who % 3
            mood = ("calm", "glad", "sad")[who % 3]
            labels = f"{who % 3 == 1:d},{who % 3 < 2:d}"
            lines.append(f"w{who},{pulse:.4f},here,{breath:.4f},{mood},{labels}")
    path.write_text("\n".join(lines) + "\n")


def write_sales(path: Path, n: int = 120) -> None:
    """Write what was sold on n days, which follows the price of the day."""
    draw = np.random.default_rng(3)
    price = draw.normal(size=n) + 5
    sold, rain = 100 - 10 * price + draw.normal(size=n), draw.normal(size=n)
    rows = zip(price.tolist(), sold.tolist(), rain.tolist(), strict=True)
    lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
    path.write_text("\n".join(["price,sold,rain", *lines]) + "\n")


@dataclass
class SmallJob:
    """A job's folder with checkpoints, and the results that read_results would return."""

    folder: Path
    job: JobSpec
    data: Data
    trials: list[TrialResult] = field(default_factory=list)

    @property
    def results(self) -> Results:
        """What read_results would return now."""
        return Results(self.folder, self.job, self.data.info, list(self.trials), "done")

    def add(
        self,
        arm: str = "lstm",
        *,
        phase: Any = "search",
        value: float | None = None,
        seed: int = 7,
        state: Any = "complete",
        finalist: int | None = None,
        test: float | None = None,
        **choices: Any,
    ) -> TrialResult:
        """Train a configuration and add it as a trial, or as a replicate of a finalist.

        value: stands for the validation value that it reached.
        test: stands for a replicate's value of the job's metric on test data.
        """
        own = [r for r in self.trials if r.arm == arm and r.phase == phase]
        cell = parse(arm)
        base = {"depth": 1, "hidden_size": 8, "learning_rate": 0.01, "max_epochs": 3}
        config = TrialConfig(cell=cell.family, gates=cell.gates, **{**base, **choices})
        training = Training(config, self.data, seed=seed)
        training.advance(config.max_epochs)
        assert training.best is not None
        number = len(own)
        name = f"{phase}-{arm}-{number}-g1-e{training.epoch}"
        training.save(self.folder / "checkpoints" / name)
        confirms = phase == "confirm"
        measured = training.evaluate("test") if confirms else None
        if measured is not None and test is not None:
            measured[self.data.info.metric.name] = test
        result = TrialResult(
            number=number,
            arm=arm,
            phase=phase,
            state=state,
            control=False,
            config=config,
            seed=seed,
            epochs=training.epoch,
            metric=self.data.info.metric,
            value=training.best.value if value is None else value,
            curve=training.curve,
            parameters=training.parameters,
            train_seconds=sum(point.seconds for point in training.curve),
            finalist=finalist,
            replicate=sum(r.finalist == finalist for r in own) if confirms else None,
            test=measured,
            checkpoint=name if state == "complete" else None,
        )
        self.trials.append(result)
        return result


def small_job(folder: Path, task: str = "classification", arms: str = "lstm, gru") -> SmallJob:
    """Return a job without trials in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {**TASKS, **TABLE, **FURTHER, **GAPS, **AHEAD, **TEXTS}
    if task in TABLE:
        write_table(folder / "own.csv")
    elif task in AHEAD:
        write_sales(folder / "own.csv")
    elif task in TEXTS:
        (folder / "own.txt").write_text("the cat sat on the mat. The mat, the cat! " * 30, "utf-8")
    elif "own.npz" in known[task]:
        write_own(folder / "own.npz", task)
    job = JobSpec.loads(JOB.format(task=known[task], arms=arms), base=folder)
    return SmallJob(folder, job, tasks.load(job.task, job.base))
