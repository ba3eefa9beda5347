"""Which checkpoints a job keeps, and that none goes that is asked for later."""

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import driven
import pytest
from driven import INFO, Workers, drive, told

from search.job.folder import store_job
from search.job.spec import JobSpec
from search.journal.base import JournalBusyError
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.run import driver as drivers
from search.run.clean import clean
from search.run.confirmation import Confirmation
from search.run.driver import Driver
from search.run.retention import Retention, removing
from trainables.checkpoints.local import LocalStore

MANY = {"trials": 10, "control_fraction": 0.25}
SETTINGS = [(None, 1), (1, 1), (1, 3), (4, 2)]  # keep_best, finalists


def kept(job: JobSpec, state: JobState) -> set[str]:
    return Retention(job, state, Confirmation(job, state), job.storage.keep_best).kept()


def taken(driver: Driver) -> Iterator[str]:
    while True:
        try:
            name = driver.unneeded.get_nowait()
        except Empty:
            return
        assert name is not None
        yield name


def names(state: JobState) -> set[str]:
    return {name for trial in state.trials.values() for name in trial.checkpoints}


@pytest.mark.parametrize(("keep_best", "finalists"), SETTINGS)
def test_what_goes_is_all_that_no_trial_needs_and_is_never_needed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_best: int | None, finalists: int
) -> None:
    """At every moment, by what is on disk; also where the job gets more trials and seeds later."""
    monkeypatch.setattr(drivers, "FLUSH_SECONDS", 0.0)
    job = driven.job(
        tmp_path,
        search=MANY,
        confirm={"finalists": finalists, "seeds": 2},
        storage={"keep_best": keep_best},
    )
    gone: set[str] = set()
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job, INFO, journal)
        for trials in (0, 3):
            if trials:
                driver.extend(trials, 1)
            workers = Workers(driver, slots=3)
            while not driver.finished:
                workers.run(most_reports=1)
                gone |= set(taken(driver))
                state = told(tmp_path)
                assert gone.isdisjoint(kept(job, state))
                workers.run(0)
    assert gone | kept(job, state) == names(state)
    complete = [t for t in state.arm("gru", "search") if t.state == "complete"]
    best = [t for t in complete if t.checkpoints[-1] in kept(job, state)]
    finalist = {t.finalist for t in state.arm("gru", "confirm")}
    assert finalist <= {t.number for t in best}
    assert len(best) >= min(len(complete), keep_best or len(complete))
    assert kept(job, state) == {name for name in kept(job, state) if name.startswith("search-")}


def test_nothing_goes_before_the_disk_has_what_it_follows_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that loses its power may lose the last second of the journal."""
    with FileJournal(tmp_path / "job.journal") as journal:
        job = driven.job(tmp_path)
        driver = Driver(job, INFO, journal)
        on_disk, store = [told(tmp_path)], journal._store

        def watched(line: bytes, *, flush: bool) -> None:
            store(line, flush=flush)
            if flush:
                on_disk.append(told(tmp_path))

        monkeypatch.setattr(journal, "_store", watched)
        workers, gone = Workers(driver), set[str]()
        while not driver.finished:
            workers.run(most_reports=1)
            gone |= set(taken(driver))
            assert gone.isdisjoint(kept(job, on_disk[-1]))
    assert gone


def test_a_thread_removes_what_is_needed_no_more(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    for number in range(3):
        (place / f"search-gru-{number}-g1-e9").mkdir(parents=True)
    unneeded = SimpleQueue[str | None]()
    with removing(unneeded, str(place)):
        unneeded.put("search-gru-7-g1-e9")  # is not there
        unneeded.put("search-gru-1-g1-e9")
        for _ in range(1000):
            if len(LocalStore(place).names()) == 2:
                break
            threading.Event().wait(0.01)
    assert LocalStore(place).names() == ["search-gru-0-g1-e9", "search-gru-2-g1-e9"]


def begun(tmp_path: Path, most_reports: int) -> tuple[JobSpec, Path]:
    """Return a job, and its folder with a checkpoint for each name of its journal."""
    job, folder = driven.job(tmp_path, storage={"keep_best": 2}), tmp_path / "runs" / "driven"
    store_job(folder, job, "job.yaml")
    for name in names(drive(job, folder, slots=2, most_reports=most_reports)):
        (folder / "checkpoints" / name).mkdir(parents=True)
    return job, folder


@pytest.mark.parametrize("most_reports", [1, 30, 10_000])
def test_clean_leaves_what_can_be_continued_or_exported(tmp_path: Path, most_reports: int) -> None:
    job, folder = begun(tmp_path, most_reports)
    before, state = names(told(folder)), told(folder)
    (folder / "checkpoints" / "search-gru-0-g9-e9").mkdir()  # of a worker that was not heard
    cleaned = clean(folder)
    left = set(LocalStore(folder / "checkpoints").names())
    assert left == kept(job, state)
    assert {n for t in state.trials.values() if t.state == "running" for n in t.checkpoints} <= left
    assert (cleaned.removed, cleaned.kept) == (len(before) + 1 - len(left), len(left))
    assert clean(folder).removed == 0
    assert len(set(LocalStore(folder / "checkpoints").names())) == len(left)


def test_clean_keeps_fewer_where_it_is_asked_to(tmp_path: Path) -> None:
    _, folder = begun(tmp_path, 10_000)
    assert clean(folder).kept == 6  # two for each of three arms
    assert clean(folder, 1).kept == 3
    assert clean(folder, 5).kept == 3


def test_a_job_at_work_is_not_cleaned(tmp_path: Path) -> None:
    _, folder = begun(tmp_path, 10_000)
    before = LocalStore(folder / "checkpoints").names()
    with FileJournal(folder / "job.journal"), pytest.raises(JournalBusyError, match="being run"):
        clean(folder)
    assert LocalStore(folder / "checkpoints").names() == before
