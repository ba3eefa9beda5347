"""Claims about faults and budgets as the driver sees them, with workers that keep time."""

import heapq
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.journal.file import FileJournal
from search.results.read import read_results
from search.results.summarise import compare
from search.run.budgets import MAX_UNPRODUCTIVE
from search.run.driver import Driver
from search.run.tune_bridge import Bridge
from spaces.errors import InputError
from trainables.checkpoints.base import StoreError
from trainables.worker.messages import TrialAssignment, TrialReport

COSTS = {"rnn": 0.1, "lstm": 0.3, "gru": 0.3}  # seconds of an epoch
EPOCH_BUDGET = {"trials": None, "epochs": 60}
CHEAP = {"sampler": "random", "retries": 0}
SECONDS_BUDGET = {"trials": None, "worker_seconds": 120, "control_fraction": 0.0}


def seconds(work: TrialAssignment) -> float:
    return COSTS[work.config.cell]


def in_time(driver: Driver, slots: int) -> float:
    """Run trials side by side as their costs have it; return the widest gap between arms met."""
    workers = Workers(driver, seconds=seconds)
    due: list[tuple[float, int, TrialAssignment, TrialReport]] = []
    now, count, widest = 0.0, 0, 0.0
    while True:
        while len(due) < slots and (work := driver.next()) is not None:
            workers.epoch[work.key] = driver.job_state.trials[work.key].epoch
            count += 1
            heapq.heappush(due, _sent(workers, now, count, work))
        if not due:
            return widest
        now, number, work, report = heapq.heappop(due)
        if driver.report(report):
            heapq.heappush(due, _sent(workers, now, number, work))
        if driver.job_state.phase == "search":
            spent = [driver.budgets.spent(arm) for arm in COSTS]
            if max(spent) < driver.budgets.amount:
                widest = max(widest, max(spent) - min(spent))


def _sent(
    workers: Workers, now: float, number: int, work: TrialAssignment
) -> tuple[float, int, TrialAssignment, TrialReport]:
    report = workers.slice(work)
    return now + sum(point.seconds for point in report.epochs), number, work, report


@pytest.mark.parametrize("slots", [1, pytest.param(3, marks=pytest.mark.slow), 8])
def test_arms_of_unequal_cost_end_within_5_percent_of_each_other(
    tmp_path: Path, slots: int
) -> None:
    """An epoch of rnn costs a third of the others'. With eight slots too, all along the way."""
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, search=SECONDS_BUDGET), INFO, journal)
        widest = in_time(driver, slots)
    job_state = told(tmp_path)
    spent = {arm: sum(e.seconds for e in job_state.arm(arm, "search")) for arm in COSTS}
    assert min(spent.values()) >= 120
    assert max(spent.values()) <= 1.05 * min(spent.values()), spent
    longest = 9 * max(COSTS.values())
    assert widest <= longest * max(2, slots)


def test_the_first_free_slots_go_to_different_arms(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, search=SECONDS_BUDGET), INFO, journal)
        handed = [driver.next() for _ in range(6)]
        assert [work.config.cell for work in handed if work] == ["rnn", "lstm", "gru"] * 2


def test_trials_that_waited_beyond_the_wall_clock_are_not_begun_again(tmp_path: Path) -> None:
    wanted = job(tmp_path, search={"wall_clock": 1e-9}, confirm={"seeds": 0})
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        assert driver.next() is not None
        driver.job_state.search_seconds = 1.0
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        driver.job_state.search_seconds = 1.0
        assert driver.next() is None
        assert driver.finished
    (entry,) = told(tmp_path).trials.values()
    assert (entry.state, entry.reason) == ("pruned", "the job's wall-clock limit was reached")


def set_forward(hours: int, monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    before = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: before() + hours * 3600 * 10**9)


def sleep(hours: int, monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    before = time.monotonic
    driver.awake_seconds()
    monkeypatch.setattr(time, "monotonic", lambda: before() + hours * 3600)


def of_another_version(hours: int, monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    """Its clock was the machine's, and somebody set it."""
    driver._began += hours * 3600 * 1000


@pytest.mark.parametrize("happens", [set_forward, sleep, of_another_version])
def test_hours_in_which_nothing_was_searched_are_none_of_the_wall_clock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[int, pytest.MonkeyPatch, Driver], None],
) -> None:
    wanted = job(tmp_path, search={"wall_clock": 2 * 3600}, confirm={"seeds": 0})
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        workers = Workers(driver)
        workers.run(most_reports=3)
        happens(9, monkeypatch, driver)
        workers.run()
        assert driver.finished
        assert driver.job_state.search_seconds < 2 * 3600
    entries = told(tmp_path).trials.values()
    assert "the job's wall-clock limit was reached" not in {entry.reason for entry in entries}
    monkeypatch.undo()
    with FileJournal(tmp_path / "job.journal") as journal:
        Driver(wanted, INFO, journal).extend(1, 0)


def test_a_machine_that_slept_has_no_workers_that_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, search={"report_timeout": 600}), INFO, journal)
        bridge = Bridge(driver, lambda: {0.0: 1})
        bridge.suggest("a")
        assert not bridge.hung("a")
        sleep(9, monkeypatch, driver)
        assert not bridge.hung("a")
        for _ in range(11):  # and one that is silent while the driver looks does hang
            sleep(1, monkeypatch, driver)
        assert bridge.hung("a")


def test_a_lost_node_is_no_fault_of_a_trial_that_gets_further(tmp_path: Path) -> None:
    """Nine losses, each after another epoch: more than the two retries that a fault has."""
    wanted = job(tmp_path, search={"trials": 1, "pruner": {"kind": "median"}}, arms=["rnn"])
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        workers = Workers(driver)
        while not told(tmp_path).arm("rnn", "confirm"):
            workers.run(most_reports=1)
            for work in workers.live:
                driver.worker_lost(work.key, "its node has died", node_lost=True)
            workers.live.clear()
    (entry,) = told(tmp_path).arm("rnn", "search")
    assert (entry.state, entry.retries) == ("complete", 0)


def test_a_trial_that_takes_node_after_node_with_it_fails(tmp_path: Path) -> None:
    wanted = job(tmp_path, search={"trials": 1}, arms=["rnn"])
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        for _ in range(3):
            work = driver.next()
            assert work is not None
            driver.worker_lost(work.key, "its node has died", node_lost=True)
    (entry,) = told(tmp_path).arm("rnn", "search")
    assert (entry.state, entry.reason) == ("failed", "its node has died")


def test_a_loss_after_the_end_changes_nothing(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        workers = Workers(driver)
        workers.run(most_reports=12)
        ended = [e for e in driver.job_state.trials.values() if e.state != "running"]
        assert ended
        size = journal.path.stat().st_size
        for entry in ended:
            driver.worker_lost(entry.key, "too late")
        assert journal.path.stat().st_size == size


def test_a_worker_without_a_place_for_checkpoints_stops_the_job_and_fails_no_trial(
    tmp_path: Path,
) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        work = driver.next()
        assert work is not None
        with pytest.raises(StoreError, match=r"disk is full\. Nothing is lost"):
            driver.report(TrialReport(work.key, work.generation, [], halt="The disk is full."))
    assert told(tmp_path).trials[work.key].state == "running"
    assert drive(job(tmp_path), tmp_path).phase == "report"


@pytest.mark.parametrize(
    ("changes", "trials", "seeds", "places"),
    [
        ({"search": EPOCH_BUDGET}, 2, 0, ["--trials"]),
        ({"confirm": {"finalists": 0}}, 0, 2, ["--seeds"]),
        ({"search": EPOCH_BUDGET, "confirm": {"finalists": 0}}, 2, 2, ["--trials", "--seeds"]),
    ],
)
def test_budget_that_a_job_cannot_use_is_refused_with_all_its_problems(
    tmp_path: Path, changes: dict[str, Any], trials: int, seeds: int, places: list[str]
) -> None:
    wanted = job(tmp_path, **changes)
    drive(wanted, tmp_path)
    with (
        FileJournal(tmp_path / "job.journal") as journal,
        pytest.raises(InputError) as refused,
    ):
        Driver(wanted, INFO, journal).extend(trials, seeds)
    assert [problem.place for problem in refused.value.problems] == places


def test_a_job_is_extended_in_the_middle_of_its_confirmation(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        workers = Workers(driver, slots=2)
        while driver.job_state.phase != "confirm":
            workers.run(most_reports=1)
        assert workers.live
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        driver.extend(trials=2, seeds=1)
        Workers(driver, slots=2).run()
    job_state = told(tmp_path)
    for arm in ("rnn", "lstm", "gru"):
        assert len(job_state.arm(arm, "search")) == 10
        best = driver.confirmation.best(arm, 1)[0].number
        done = [e for e in job_state.arm(arm, "confirm") if e.finalist == best]
        assert sorted(e.replicate or 0 for e in done) == [0, 1, 2]
        assert {e.state for e in done} == {"complete"}


@pytest.mark.parametrize("budget", [EPOCH_BUDGET, SECONDS_BUDGET], ids=["epochs", "seconds"])
@pytest.mark.parametrize("end", ["fails", "diverges"])
def test_an_arm_all_of_whose_trials_come_to_nothing_ends(
    tmp_path: Path, end: str, budget: dict[str, Any]
) -> None:
    """They cost no epochs and no seconds, so that no budget would ever be spent."""
    wanted = job(tmp_path, search={**budget, **CHEAP})
    fate = {end: lambda work, *epoch: "/rnn/" in work.key}
    options = {"slots": 3, "seconds": seconds, "most_reports": 5000}
    job_state = drive(wanted, tmp_path, **options, **fate)
    assert len(job_state.arm("rnn", "search")) in range(MAX_UNPRODUCTIVE, MAX_UNPRODUCTIVE + 3)
    assert {entry.epoch for entry in job_state.arm("rnn", "search")} == {0}
    assert job_state.phase == "report"
    confirmed = {entry.arm for entry in job_state.trials.values() if entry.phase == "confirm"}
    assert confirmed == {"lstm", "gru"}
    cautions = compare(read_results(tmp_path)).cautions
    assert any("too many trials in a row were unproductive" in caution for caution in cautions)


def test_an_arm_some_of_whose_trials_come_to_something_spends_its_budget(tmp_path: Path) -> None:
    job_state = drive(
        job(tmp_path, arms=["lstm"], search={**EPOCH_BUDGET, **CHEAP}),
        tmp_path,
        fails=lambda work: int(work.key.rpartition("/")[2]) % 50 != 0,
    )
    assert sum(entry.epoch for entry in job_state.arm("lstm", "search")) >= 60


def test_a_budget_of_trials_is_spent_on_failures_too(tmp_path: Path) -> None:
    search = {"trials": MAX_UNPRODUCTIVE + 5, **CHEAP}
    job_state = drive(job(tmp_path, search=search), tmp_path, fails=lambda work: True)
    assert {len(job_state.arm(arm, "search")) for arm in COSTS} == {MAX_UNPRODUCTIVE + 5}
