"""Trials of a search that train together: each curve is, to the bit, that of the trial alone.

The real driver, bridge and pack over real trainings, without Ray. A job that lets one worker have
several trials is run through faults, and each of its trials is then trained by itself.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driven import told

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.run.driver import Driver
from search.run.tune_bridge import Bridge, Stop, Take
from trainables.checkpoints.local import LocalStore
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.training.trainer import Training
from trainables.worker.messages import TrialAssignment
from trainables.worker.pack import Pack

WORKERS = 2


@dataclass
class Case:
    """A job, and what befalls it."""

    arms: list[str]
    search: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    states: frozenset[str] = frozenset({"complete"})  #: that its trials end in, all of these
    lost: tuple[int, ...] = ()  #: turns after which a worker is killed
    killed: tuple[int, ...] = ()  #: turns after which the driver is killed


WILD = {"learning_rate": {"choices": [0.02, 1e12]}}
STEPS = {"kind": "successive-halving", "min_epochs": 1, "reduction": 2}
CASES = {
    "rnn and gru": Case(["rnn", "gru"]),
    "lstm and its variants": Case(["lstm", "lstm-peephole", "lstm-coupled"]),
    "other families": Case(["mgu", "ugrnn", "ran"]),
    "one that never trains together": Case(["gru-light", "gru"]),
    "pruned": Case(["rnn", "lstm"], {"pruner": STEPS}, states=frozenset({"pruned", "complete"})),
    "paused and promoted": Case(
        ["rnn", "gru"],
        {"pruner": {**STEPS, "mode": "promotion"}},
        states=frozenset({"pruned", "complete"}),
    ),
    "by a budget of epochs": Case(
        ["rnn", "gru"], {"trials": None, "epochs": 40}, states=frozenset({"pruned", "complete"})
    ),
    "diverged": Case(
        ["rnn-relu", "lstm"],
        training={"optimizer": "sgd", "gradient_clip": None},
        space=WILD,
        states=frozenset({"diverged", "complete"}),
    ),
    "a worker lost": Case(["rnn", "gru"], lost=(2, 9)),
    "a driver killed": Case(["rnn", "gru"], killed=(1, 4, 12)),
    "all of it": Case(
        ["rnn-relu", "lstm"],
        {"pruner": STEPS},
        {"optimizer": "sgd", "gradient_clip": None},
        WILD,
        frozenset({"diverged", "pruned", "complete"}),
        lost=(3,),
        killed=(8,),
    ),
}


def job_of(case: Case, folder: Path) -> JobSpec:
    plain = {
        "name": "together",
        "task": {"name": "adding", "length": 6, "examples": 60},
        "arms": case.arms,
        "space": {"depth": {"low": 1, "high": 2}, "hidden_size": 5, **case.space},
        "training": {"batch_size": 8, "max_epochs": 6, **case.training},
        "search": {"trials": 8, "sampler": "tpe", "pruner": "none", **case.search},
        "confirm": {"seeds": 0},
    }
    return JobSpec.loads(json.dumps(plain), base=folder)


@dataclass
class Worker:
    """A pack, which takes part as the trainable does; what it was given at once is kept."""

    bridge: Bridge
    name: str
    pack: Pack
    together: list[list[str]]

    def turn(self) -> None:
        if self.name not in self.bridge.busy:
            config = self.bridge.suggest(self.name)
            work = config["work"] if isinstance(config, dict) else []
            self._take([TrialAssignment.from_dict(each) for each in work], [])
            return
        reports = [each.as_dict() for each in self.pack.advance()] if len(self.pack) else []
        match self.bridge.report(self.name, reports, self.pack.room):
            case Stop():
                self.pack.clear()
            case Take(assignments, dropped):
                self._take(assignments, dropped)

    def _take(self, assignments: list[TrialAssignment], dropped: list[str]) -> None:
        self.pack.drop(dropped)
        self.pack.add(assignments)
        if self.name in self.bridge.busy:
            self.together.append(sorted(self.bridge.busy[self.name].keys))


def run(job: JobSpec, data: Data, folder: Path, case: Case) -> list[list[str]]:
    """Run a job to its end, through its faults; return what workers had in hand together."""
    together: list[list[str]] = []
    killed, lost, turns = list(case.killed), list(case.lost), 0
    while True:
        with ExitStack() as stack:
            journal = stack.enter_context(FileJournal(folder / "job.journal"))
            bridge = Bridge(Driver(job, data.info, journal), lambda: {0.0: WORKERS})

            def start(name: str, bridge: Bridge = bridge) -> Worker:
                return Worker(bridge, name, Pack(data, LocalStore(folder), "cpu"), together)

            workers = [start(f"{turns}-{number}") for number in range(WORKERS)]
            while not bridge.driver.finished:
                turns += 1
                assert turns < 10_000, "the job never ends"
                for worker in workers:
                    worker.turn()
                if bridge.broken is not None:
                    raise bridge.broken
                if lost and turns >= lost[0] and workers[0].name in bridge.busy:
                    lost.pop(0)
                    bridge.ended(workers[0].name, "it was killed")
                    workers[0] = start(f"{turns}-again")
                if killed and turns >= killed[0]:
                    killed.pop(0)
                    break
            else:
                return together


@pytest.mark.parametrize("name", CASES)
def test_trials_that_train_together_have_the_curves_that_they_have_alone(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    job = job_of(case, tmp_path)
    data = tasks.load(job.task, tmp_path)
    job = job.check(data.info)
    together = run(job, data, tmp_path, case)
    trials = told(tmp_path).trials
    assert {trial.state for trial in trials.values()} == case.states
    assert max(map(len, together)) > 1
    assert not case.lost or any(trial.lost_at is not None for trial in trials.values())
    for keys in together:
        assert len({shape(trials[key].config) for key in keys}) <= 1
    for trial in trials.values():
        alone = Training(trial.config, data, seed=trial.seed)
        alone.advance(trial.epoch + 1 if trial.state == "diverged" else trial.epoch)
        assert points(trial.curve) == points(alone.curve), trial.key
        assert alone.diverged == (trial.state == "diverged")


def shape(config: Any) -> tuple[Any, ...]:
    return config.cell, config.gates, config.depth, config.hidden_size


def points(curve: Any) -> list[tuple[int, float, dict[str, float]]]:
    return [(point.epoch, point.train_loss, point.metrics) for point in curve]
