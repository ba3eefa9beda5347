"""Slow suggestions: only the slot that they are for waits for them, and they are the same."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import held_sampler
import pytest
from driven import INFO, Workers, drive, job, told

from search.job.spec import JobSpec
from search.journal.file import FileJournal, FileReader
from search.run.driver import Driver
from search.run.tune_bridge import Bridge, Continue, Take
from trainables.worker.messages import TrialAssignment

SPACE = {"hidden_size": {"low": 8, "high": 400}, "dropout": {"low": 0.0, "high": 0.5}}
SECONDS = 60.0  #: a bound for what comes within milliseconds


def slow(folder: Path, sampler: str = "held_sampler.Held", **search: Any) -> JobSpec:
    search = {"sampler": sampler, "trials": 8, "control_fraction": 0.0} | search
    return job(folder, arms=["lstm"], space=SPACE, search=search, confirm={"seeds": 0})


@pytest.fixture(autouse=True)
def held() -> Iterator[None]:
    """Let suggestions go unless a test holds them."""
    held_sampler.shown.clear()
    held_sampler.go.set()
    yield
    held_sampler.go.set()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with FileJournal(tmp_path / "job.journal") as journal:
        yield Driver(slow(tmp_path), INFO, journal)


def patiently(driver: Driver) -> TrialAssignment:
    """Return the next work without ever waiting in the driver."""
    until = time.monotonic() + SECONDS
    while (work := driver.next(wait=False)) is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    return work


def test_reports_are_taken_in_while_a_suggestion_is_made(driver: Driver, tmp_path: Path) -> None:
    workers = Workers(driver)
    first = patiently(driver)
    workers.epoch[first.key] = 0
    held_sampler.go.clear()
    assert driver.next(wait=False) is None and driver.suggestion_pending
    assert driver.report(workers.slice(first))
    (*_, group) = FileReader(tmp_path / "job.journal").groups()
    assert [row["key"] for row in group if row.get("record") == "report"] == [first.key]
    assert driver.next(wait=False) is None
    held_sampler.go.set()
    second = patiently(driver)
    assert second.key == "search/lstm/1" and not driver.suggestion_pending


def test_a_suggestion_knows_what_was_reported_before_it_was_prepared(driver: Driver) -> None:
    workers = Workers(driver)
    first = patiently(driver)
    workers.epoch[first.key] = 0
    driver.report(workers.slice(first))
    held_sampler.go.clear()
    assert driver.next(wait=False) is None
    while driver.report(workers.slice(first)):
        pass
    held_sampler.go.set()
    patiently(driver), patiently(driver)
    nothing, second, third = held_sampler.shown
    assert nothing == [(0, "RUNNING", None)]
    assert second == [(0, "RUNNING", 1), (1, "RUNNING", None)]
    assert third == [(0, "COMPLETE", 9), (1, "RUNNING", None), (2, "RUNNING", None)]


def test_a_trial_that_was_lost_goes_on_before_a_suggestion_is_there(driver: Driver) -> None:
    first = patiently(driver)
    held_sampler.go.clear()
    assert driver.next(wait=False) is None
    driver.worker_lost(first.key, "its worker was killed")
    again = driver.next(wait=False)
    assert again is not None and again.key == first.key


@pytest.mark.parametrize("wait", [True, False])
def test_what_a_sampler_raises_reaches_whoever_asks(tmp_path: Path, wait: bool) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(slow(tmp_path, "held_sampler.Broken"), INFO, journal)
        with pytest.raises(ZeroDivisionError, match="out of ideas"):
            while driver.next(wait=wait) is None:
                assert driver.suggestion_pending


@pytest.mark.parametrize("sampler", ["gp", "nsgaii", "qmc", "tpe"])
def test_with_one_slot_a_job_is_the_same_whether_it_waits_or_not(
    tmp_path: Path, sampler: str
) -> None:
    folders = tmp_path / "waits", tmp_path / "asks-again"
    for folder in folders:
        folder.mkdir()
    wanted = slow(tmp_path, sampler, control_fraction=0.25)
    waited = drive(wanted, folders[0])
    with FileJournal(folders[1] / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        workers = Workers(driver)
        while not driver.finished:
            work = driver.next(wait=False)
            if work is None:
                assert driver.suggestion_pending or driver.finished
                time.sleep(0.001)  # a loop without a pause takes the thread that thinks its time
                continue
            workers.epoch[work.key] = 0
            while driver.report(workers.slice(work)):
                pass
    asked = told(folders[1])
    assert [asdict(e) for e in asked.trials.values()] == [asdict(e) for e in waited.trials.values()]


def test_a_worker_without_a_suggestion_is_kept_and_asks_again(driver: Driver) -> None:
    bridge = Bridge(driver, lambda: {0.0: 2})
    workers = Workers(driver)
    (given,) = first(bridge, "a")["work"]
    workers.epoch[given["key"]] = 0
    held_sampler.go.clear()
    assert bridge.suggest("b") is None
    assignment = TrialAssignment.from_dict(given)
    while (answer := bridge.report("a", [workers.slice(assignment).as_dict()])) == Continue():
        pass
    assert answer == Take([], dropped=["search/lstm/0"])
    assert bridge.report("a", []) == Continue() and not bridge.hung("a")
    held_sampler.go.set()
    until = time.monotonic() + SECONDS
    while (answer := bridge.report("a", [])) == Continue():
        assert time.monotonic() < until
    assert isinstance(answer, Take)
    assert [assignment.key for assignment in answer.assignments] == ["search/lstm/1"]
    assert bridge.broken is None


def first(bridge: Bridge, slot: str) -> dict[str, Any]:
    until = time.monotonic() + SECONDS
    while not isinstance(config := bridge.suggest(slot), dict):
        assert time.monotonic() < until
    return config
