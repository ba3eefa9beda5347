"""A worker that takes several trials: what it is given, and what becomes of them if it dies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.run.driver import Driver
from search.run.ray_runner import workers
from search.run.tune_bridge import MOST_AT_ONCE, Bridge, Continue, Stop, Take
from trainables.worker.messages import TrialAssignment

ROOM = 6  #: trials that a worker of these tests holds

MakeBridge = Callable[..., Bridge]


@pytest.fixture
def make_bridge(tmp_path: Path) -> Iterator[MakeBridge]:
    journals = []

    def make(cards: int = 1, **changes: Any) -> Bridge:
        journals.append(FileJournal(tmp_path / "job.journal"))
        return Bridge(Driver(packed(tmp_path, **changes), INFO, journals[-1]), lambda: {1.0: cards})

    yield make
    for journal in journals:
        journal.close()


def packed(folder: Path, resources: dict[str, Any] | None = None, **changes: Any) -> JobSpec:
    search = {"sampler": "random", "pruner": "none", "control_fraction": 0}
    search |= changes.pop("search", {})
    resources = {"gpus_per_trial": "auto", **(resources or {})}
    return job(folder, resources=resources, search=search, **changes)


@dataclass
class PackedWorker:
    """Answers as a packed worker does: one report of every trial in hand, and its room."""

    bridge: Bridge
    name: str = "a"
    hand: dict[str, TrialAssignment] = field(default_factory=dict)
    most: int = 0

    def begin(self) -> bool:
        config = self.bridge.suggest(self.name)
        if not isinstance(config, dict):
            return False
        self._take([TrialAssignment.from_dict(plain) for plain in config["work"]])
        return True

    def turn(self, room: int = ROOM, *, trains: bool = True) -> bool:
        """Report on every trial, or on none; return whether the worker goes on."""
        formula = Workers(self.bridge.driver)
        reports = []
        for key, work in list(self.hand.items()) if trains else []:
            formula.epoch[key] = self.bridge.driver.job_state.trials[key].epoch
            report = formula.slice(work)
            reports.append(report.as_dict())
            if formula.epoch[key] == work.config.max_epochs:
                del self.hand[key]
        match self.bridge.report(self.name, reports, room - len(self.hand)):
            case Stop():
                return False
            case Take(assignments, dropped):
                for key in dropped:
                    self.hand.pop(key, None)
                self._take(assignments)
            case Continue():
                pass
        return True

    def _take(self, assignments: list[TrialAssignment]) -> None:
        self.hand |= {each.key: each for each in assignments}
        self.most = max(self.most, len(self.hand))
        assert self.hand.keys() == self.bridge.busy[self.name].keys


def finish(bridge: Bridge, *workers: PackedWorker) -> None:
    """Go on until the job has ended, with workers that are started again as Tune does it."""
    for _ in range(10_000):
        if bridge.driver.finished:
            return
        for worker in workers:
            if worker.name in bridge.busy:
                worker.turn()
            elif worker.begin():
                assert worker.hand
        assert bridge.broken is None
    raise AssertionError("the job never ends")


def test_a_worker_is_given_what_it_has_room_for_while_others_of_its_trials_go_on(
    make_bridge: MakeBridge, tmp_path: Path
) -> None:
    bridge = make_bridge(search={"pruner": "successive-halving"})
    worker = PackedWorker(bridge)
    assert worker.begin() and len(worker.hand) == 1, "its room is not known yet"
    worker.turn(trains=False)
    assert len(worker.hand) == ROOM
    finish(bridge, worker)
    assert worker.most == ROOM
    trials = told(tmp_path).trials
    assert {trial.state for trial in trials.values()} == {"complete", "pruned"}
    assert len(trials) == 3 * (8 + 2)


def test_one_answer_hands_out_a_few_trials(make_bridge: MakeBridge) -> None:
    worker = PackedWorker(make_bridge())
    worker.begin()
    worker.turn(room=100, trains=False)
    assert len(worker.hand) == 1 + MOST_AT_ONCE


def test_trials_in_company_are_those_of_one_after_the_other(
    make_bridge: MakeBridge, tmp_path: Path
) -> None:
    (tmp_path / "alone").mkdir()
    alone = drive(packed(tmp_path), tmp_path / "alone")
    bridge = make_bridge(cards=2)
    finish(bridge, PackedWorker(bridge, "a"), PackedWorker(bridge, "b"))

    def facts(trials: Any) -> dict[str, Any]:
        return {t.key: (t.config, t.seed, t.value, t.test, t.state) for t in trials.values()}

    assert facts(told(tmp_path).trials) == facts(alone.trials)


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_trials_than_max_concurrent_are_in_hand_at_once(
    most: int, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge(cards=2, resources={"max_concurrent": most})
    pair = PackedWorker(bridge, "a"), PackedWorker(bridge, "b")
    for _ in range(20):
        for worker in pair:
            if worker.name in bridge.busy:
                worker.turn()
            else:
                worker.begin()
            assert sum(len(slot.keys) for slot in bridge.busy.values()) <= most


def test_a_dead_worker_gives_back_all_trials_and_the_next_one_has_half_as_many(
    make_bridge: MakeBridge, tmp_path: Path
) -> None:
    bridge = make_bridge()
    sizes = []
    for _ in range(5):
        worker = PackedWorker(bridge)
        worker.begin()
        worker.turn(trains=False)
        sizes.append(len(worker.hand))
        bridge.ended("a", "the worker was killed")
    assert sizes == [6, 3, 1, 1, 1]
    lost = told(tmp_path).trials.values()
    assert sum(trial.retries for trial in lost) == 3, "alone it is the trial's own fault"
    finish(bridge, PackedWorker(bridge))
    states = {trial.state for trial in told(tmp_path).trials.values()}
    assert states == {"complete"}


def test_a_lost_node_takes_no_room_from_the_next_worker(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    for _ in range(2):
        worker = PackedWorker(bridge)
        worker.begin()
        worker.turn(trains=False)
        assert len(worker.hand) == ROOM
        bridge.ended("a", "its node died", node_lost=True)


def node(cpu: float, gpu: float = 0.0) -> dict[str, float]:
    return {"CPU": cpu, "memory": 1e9} | ({"GPU": gpu} if gpu else {})


#: resources of the job, nodes -> workers by the GPUs of one
COUNTS: list[tuple[dict[str, Any], list[dict[str, float]], dict[float, int]]] = [
    ({}, [node(2), node(3)], {0.0: 5}),
    ({"cpus_per_trial": 2}, [node(2), node(3)], {0.0: 2}),
    ({"gpus_per_trial": 0.5}, [node(8, 2)], {0.5: 4}),
    ({"gpus_per_trial": 1, "max_concurrent": 1}, [node(8, 2)], {1.0: 1}),
    ({"gpus_per_trial": "auto"}, [node(8, 2), node(4)], {1.0: 2}),
    ({"gpus_per_trial": "auto", "cpus_per_trial": 4}, [node(4, 2), node(9, 2)], {1.0: 3}),
    ({"gpus_per_trial": "auto"}, [node(4)], {1.0: 1}),
    ({"gpus_per_trial": "auto", "cpu_trials": True}, [node(8, 2), node(4)], {1.0: 2, 0.0: 4}),
    ({"gpus_per_trial": "auto", "cpu_trials": True}, [node(4)], {1.0: 0, 0.0: 4}),
]


@pytest.mark.parametrize(("resources", "nodes", "number"), COUNTS)
def test_how_many_workers_a_cluster_holds(
    resources: dict[str, Any],
    nodes: list[dict[str, float]],
    number: dict[float, int],
    tmp_path: Path,
) -> None:
    assert workers(job(tmp_path, resources=resources), nodes) == number


def test_nodes_without_a_gpu_take_trials_where_the_job_lets_them(tmp_path: Path) -> None:
    wanted = packed(tmp_path, {"cpu_trials": True})
    with FileJournal(tmp_path / "job.journal") as journal:
        bridge = Bridge(Driver(wanted, INFO, journal), lambda: {1.0: 1, 0.0: 2})
        configs = [bridge.suggest(name) for name in "abcd"]
    assert [config and config["gpus"] for config in configs] == [1.0, 0.0, 0.0, None]
