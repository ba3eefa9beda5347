"""Tables of recorded learning curves, and a job that the real driver runs on one of them.

A table is a .npz without pickles: `names` [P] of hyperparameters, `x` [N, P] of configurations and
`valid_loss` [N, T] of their steps, not finite from where a training diverged on.

The arm of a table asks for each hyperparameter on the scale (linear, logarithm of x or of 1 - x) on
which the table's values lie most evenly. On the logarithm of x it is a logarithmic range of the
table's own values, as in a job file, so that a search that knows of learning rates can use it; on
the others, which a job file does not have or does not need, it is drawn out to [0, 1]. What a
sampler suggests becomes the nearest row, and the study stores that row's values: samplers learn
from what was trained. A row that the arm has tried is a repeat, of which the study thinks as in
every job: the sampler is asked again, and then chance. No suggestion is moved on to a row that is
still free.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from search.job.spec import JobSpec
from search.journal.base import BaseJournal
from search.run.driver import Driver
from search.study.sampling import Answers, distribution, place_of, value_at
from spaces.arms import Arm, Ask
from spaces.config import TrialConfig
from spaces.domains import Domain, Fixed, Range
from spaces.kinds import Metric
from spaces.tasks import TaskInfo
from trainables.training.curve import Epoch
from trainables.worker.messages import TrialAssignment, TrialReport

Floats = NDArray[np.float64]

INFO = TaskInfo(
    name="japanese-vowels",
    kind="classification",
    inputs=12,
    outputs=9,
    longest=29,
    metric=Metric("loss", "minimize"),
    fingerprint="f" * 64,
)


@dataclass(frozen=True, eq=False)
class Table:
    """Recorded curves of N configurations."""

    name: str
    names: tuple[str, ...]
    places: Floats  #: [N, P] of the configurations, in [0, 1]
    domains: tuple[Range, ...]  #: [P], what a job file would say of them
    losses: Floats  #: [N, T] by step; not finite from where a training diverged on

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a table. Raises KeyError where it lacks a part."""
        with np.load(path, allow_pickle=False) as stored:
            names = tuple(str(name) for name in stored["names"])
            domains, places = zip(*map(placed, stored["x"].T), strict=True)
            loss = stored["valid_loss"].astype(float)
        gone = np.logical_or.accumulate(~np.isfinite(loss), axis=1)
        places_NP = np.stack(places, axis=1)
        return cls(path.stem, names, places_NP, domains, np.where(gone, np.nan, loss))

    @property
    def steps(self) -> int:
        """Steps of a whole curve."""
        return int(self.losses.shape[1])

    def values(self, row: int) -> dict[str, float]:
        """Return a row's hyperparameters as a study stores them."""
        return {
            name: float(value_at(distribution(domain), place))
            for name, domain, place in zip(
                self.names, self.domains, self.places[row].tolist(), strict=True
            )
        }

    def place(self, values: Sequence[float]) -> Floats:
        """Return hyperparameters [P], as a study stores them, in [0, 1]."""
        pairs = zip(self.domains, values, strict=True)
        return np.array([place_of(distribution(domain), value) for domain, value in pairs])

    def nearest(self, places_P: Floats) -> int:
        """Return the row nearest to places in [0, 1]."""
        return int(np.square(self.places - places_P).sum(axis=1).argmin())

    def regret(self, loss: float) -> float:
        """Return a loss as a share of what the median first step lacks of the table's best."""
        best = float(np.nanmin(self.losses))
        return (loss - best) / (float(np.nanmedian(self.losses[:, 0])) - best)


def placed(x_N: Floats) -> tuple[Range, Floats]:
    """Return a column's domain and its places in [0, 1], on the scale nearest to uniform."""
    scales = {"linear": x_N}
    if (x_N > 0).all():
        scales["log"] = np.log(x_N)
    if (x_N < 1).all():
        scales["log of rest"] = -np.log(1 - x_N)
    found = {name: (s - s.min()) / (np.ptp(s) or 1.0) for name, s in scales.items()}
    even = np.linspace(0, 1, len(x_N))
    best = min(found, key=lambda name: float(np.abs(np.sort(found[name]) - even).max()))
    wide = best == "log" and x_N.min() < x_N.max()
    return Range(float(x_N.min()), float(x_N.max()), log=True) if wide else Range(0.0, 1.0), found[
        best
    ]


@dataclass(frozen=True)
class TableArm(Arm):
    """The arm that tries a table's rows."""

    table: Table = field(kw_only=True)

    def configure(self, ask: Ask) -> TrialConfig:
        """Return the configuration that stands for the row nearest to the answers."""
        asked = [ask(name, domain) for name, domain in self.domains().items()]
        row = self.table.nearest(self.table.place(asked))
        if isinstance(ask, Answers):  # what is stored is what is trained
            ask.values.update(self.table.values(row))
        cell, size = self.cells[0], self.space["hidden_size"]
        return TrialConfig(
            cell=cell.family,
            gates=cell.gates,
            depth=1,
            hidden_size=size.value if isinstance(size, Fixed) else 32,
            batch_size=row + 1,  # stands for the row
            learning_rate=1.0,
            max_epochs=self.max_epochs,
        )

    def domains(self) -> dict[str, Domain]:
        """Return the table's hyperparameters."""
        return dict(zip(self.table.names, self.table.domains, strict=True))


class InMemory(BaseJournal):
    """A journal that is gone with the process."""

    def __init__(self, history: list[list[dict[str, Any]]] | None = None) -> None:
        super().__init__("memory", history or [])
        self.lines: list[bytes] = []

    def _store(self, line: bytes, *, flush: bool) -> None:
        self.lines.append(line)

    def close(self) -> None:
        """Nothing is held."""


def job_on(table: Table, search: dict[str, Any], steps: int, seed: int) -> JobSpec:
    """Return a job that searches a table with a budget of steps. search: keys of that section.

    Its arm has the cell and the hidden size that the table's name has, as in IRNN64.
    """
    model = re.search(r"(RNN|GRU|LSTM)(\d+)", table.name)
    cell, size = (model[1].lower(), int(model[2])) if model else ("lstm", None)
    plain = {
        "name": "replay",
        "task": {"name": "japanese-vowels"},
        "arms": [cell],
        "space": {"hidden_size": size} if size else {},
        "training": {"max_epochs": table.steps},
        "search": {
            "epochs": max(steps, table.steps),
            "control_fraction": 0,
            "prior": "none",  # but for methods that ask for it
            "seed": seed,
            **search,
        },
        "confirm": {"seeds": 0},
    }
    job = JobSpec.loads(json.dumps(plain))
    arm = job.arms[0]
    return replace(
        job, arms=(TableArm(arm.name, arm.branches, arm.space, table.steps, table=table),)
    )


@dataclass
class Replay:
    """Answers a driver's assignments with recorded curves, on so many slots in turn."""

    table: Table
    driver: Driver
    slots: int = 1
    trials: int = 0  #: begun so far
    _live: list[TrialAssignment] = field(default_factory=list)

    def run(self) -> Iterator[float]:
        """Yield the loss of every step in the order of training; NaN where it diverges."""
        while True:
            while len(self._live) < self.slots and (work := self.driver.next()) is not None:
                self.trials += self.driver.job_state.trials[work.key].epoch == 0
                self._live.append(work)
            if not self._live:
                return
            work = self._live.pop(0)
            report = self._slice(work)
            yield from (point.value for point in report.epochs)
            if report.diverged:
                yield np.nan
            if self.driver.report(report):
                self._live.append(work)
            while not self.driver.unneeded.empty():  # checkpoints that are none
                self.driver.unneeded.get()

    def _slice(self, work: TrialAssignment) -> TrialReport:
        begin = self.driver.job_state.trials[work.key].epoch
        rungs = range(1, self.table.steps) if work.rungs is None else work.rungs
        end = min((rung for rung in rungs if rung > begin), default=self.table.steps)
        curve = self.table.losses[work.config.batch_size - 1, begin:end]
        sound = curve[np.isfinite(curve)].tolist()
        points = [
            Epoch(epoch=begin + n, train_loss=v, value=v, seconds=1.0, time=0, metrics={"loss": v})
            for n, v in enumerate(sound, 1)
        ]
        return TrialReport(
            work.key,
            work.generation,
            points,
            checkpoint=f"{work.key.replace('/', '-')}-g{work.generation}-e{end}",
            diverged=len(sound) < len(curve),
        )


def search(table: Table, section: dict[str, Any], steps: int, seed: int) -> tuple[Floats, int]:
    """Run a search; return the least loss after each step [steps], and how many trials it began."""
    replay = Replay(table, Driver(job_on(table, section, steps, seed), INFO, InMemory()))
    trace = np.fromiter(replay.run(), dtype=float)[:steps]
    trace = np.pad(trace, (0, steps - len(trace)), constant_values=np.nan)
    start = np.nanmedian(table.losses[:, 0])  # until a step is known: regret 1
    return np.fmin.accumulate(np.where(np.isnan(trace), np.inf, trace)).clip(
        max=start
    ), replay.trials
