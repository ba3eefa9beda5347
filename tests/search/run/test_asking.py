"""A job asks a cluster that may grow for as many workers as it has work for, and no more."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, job

from search.journal.file import FileJournal
from search.run.driver import Driver
from search.run.tune_bridge import Bridge, Stop, Take
from trainables.worker.messages import TrialAssignment

MakeBridge = Callable[..., Bridge]


@pytest.fixture
def make_bridge(tmp_path: Path) -> Iterator[MakeBridge]:
    """Makes bridges of a cluster that holds one worker, or as many as the list says now."""
    journals = []

    def make(*, holds: list[int] | None = None, may_grow: bool = True, **changes: Any) -> Bridge:
        search = {"trials": 3, "pruner": "none", "sampler": "random"}
        search |= changes.pop("search", {})
        wanted = job(tmp_path, arms=["rnn"], search=search, confirm={"seeds": 0}, **changes)
        journals.append(FileJournal(tmp_path / "job.journal"))
        room = holds or [1]
        return Bridge(Driver(wanted, INFO, journals[-1]), lambda: {0.0: room[0]}, may_grow=may_grow)

    yield make
    for journal in journals:
        journal.close()


def asked(bridge: Bridge, most: int = 20) -> list[int]:
    """Return with how many trials each worker begins that Tune is told to start, one by one."""
    found: list[int] = []
    for number in range(most):
        config = bridge.suggest(f"t{number}")
        if not isinstance(config, dict):
            break
        found.append(len(config["work"]))
    return found


def finish(bridge: Bridge, name: str) -> Any:
    """Have a worker train what it has in hand to its end; return the answer to its last report."""
    answer: Any = None
    while keys := sorted(bridge.busy[name].keys):
        driver = bridge.driver
        workers = Workers(driver)
        reports = []
        for key in keys:
            trial = driver.job_state.trials[key]
            work = TrialAssignment(
                key, driver.generation, trial.config, trial.seed, [], list(trial.checkpoints)
            )
            workers.epoch[key] = trial.epoch
            reports.append(workers.slice(work).as_dict())
        answer = bridge.report(name, reports)
        break
    return answer


def test_workers_are_asked_for_beyond_what_the_cluster_holds_without_work(
    make_bridge: MakeBridge,
) -> None:
    bridge = make_bridge()
    assert asked(bridge) == [1, 0, 0], "three trials are left: more workers have nothing to do"
    assert bridge.asked_for() == ["t1", "t2"]
    assert len(bridge.driver.job_state.trials) == 1, "no trial waits for a worker to come"


def test_a_cluster_of_the_jobs_own_is_asked_for_what_it_holds(make_bridge: MakeBridge) -> None:
    assert asked(make_bridge(may_grow=False)) == [1]


def test_no_more_are_asked_for_than_may_train_at_a_time(make_bridge: MakeBridge) -> None:
    assert asked(make_bridge(resources={"max_concurrent": 2})) == [1, 0]


def test_a_worker_that_comes_gets_work_with_its_first_report(make_bridge: MakeBridge) -> None:
    holds = [1]
    bridge = make_bridge(holds=holds)
    asked(bridge)
    holds[0] = 2
    answer = bridge.report("t1", [])
    assert isinstance(answer, Take) and len(answer.assignments) == 1
    assert bridge.asked_for() == ["t2"]


def test_what_there_is_no_work_for_any_more_is_asked_for_in_vain(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    assert asked(bridge) == [1, 0, 0]
    assert bridge.in_vain() == []
    finish(bridge, "t0")  # it takes the second trial
    assert bridge.in_vain() == ["t2"]
    finish(bridge, "t0")
    assert set(bridge.in_vain()) == {"t1", "t2"}
    for name in ("t1", "t2"):
        bridge.ended(name)
    answer = finish(bridge, "t0")
    assert isinstance(answer, Stop) and bridge.driver.finished


def test_a_budget_of_epochs_asks_for_what_it_can_train_to_the_end(make_bridge: MakeBridge) -> None:
    bridge = make_bridge(search={"trials": None, "epochs": 36}, training={"max_epochs": 9})
    assert asked(bridge) == [1, 0, 0, 0], "36 epochs are four whole trainings"
    finish(bridge, "t0")  # it takes another one: with two more the budget ends
    assert bridge.driver.could_begin() == 2
    assert bridge.in_vain() == ["t3"]


def test_a_budget_of_seconds_asks_for_no_more_before_a_cost_is_known(
    make_bridge: MakeBridge,
) -> None:
    bridge = make_bridge(search={"trials": None, "worker_seconds": 1.0})
    assert asked(bridge) == [1]
    finish(bridge, "t0")  # 9 epochs of 0.01 s
    assert bridge.driver.could_begin() > 5
