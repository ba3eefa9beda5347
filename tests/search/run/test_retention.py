"""Which checkpoints a job keeps, and that none goes that is asked for later."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import driven
import pytest
from driven import INFO, Workers, drive, told
from servers import S3

from search.job.folder import checkpoint_place, store_job
from search.job.spec import JobSpec
from search.journal.base import JournalBusyError
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.run import driver as drivers
from search.run.clean import clean, clean_job, clean_jobs
from search.run.confirmation import Confirmation
from search.run.driver import Driver
from search.run.retention import Retention, remove_unneeded, removing
from spaces.errors import GatesearchError
from trainables.checkpoints.base import Store
from trainables.checkpoints.local import LocalStore
from trainables.checkpoints.open import open_store
from trainables.worker.messages import TrialAssignment, TrialReport

MANY = {"trials": 10, "control_fraction": 0.25}
PAUSING = {"kind": "successive-halving", "mode": "promotion", "min_epochs": 1, "reduction": 3}
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


class Writing(Workers):
    """Workers that write their checkpoints, and remove older ones as trials do."""

    store: Store

    def slice(self, work: TrialAssignment) -> TrialReport:
        report = super().slice(work)
        if report.checkpoint is not None:
            with self.store.writing(report.checkpoint) as folder:
                (folder / "model").write_bytes(b"weights")
            for old in work.checkpoints[:-1]:
                self.store.delete(old)
        return report


#: Where a job keeps its checkpoints: after how many reports its driver is killed.
KILLED = {"local": [*range(1, 80, 6), 10_000], "s3": [25, 60]}


@pytest.mark.parametrize(("kind", "moments"), KILLED.items(), ids=list(KILLED))
def test_what_a_killed_driver_has_left_goes_when_the_job_is_resumed(
    kind: str, moments: list[int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nothing goes that a record needs: neither with the queue of the driver lost, nor later."""
    storage: dict[str, object] = {"keep_best": 1}
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3")
        storage["checkpoints"] = f"s3://{server.bucket()}/jobs"
    for moment in moments:
        folder = tmp_path / f"killed-{moment}"
        (folder / "checkpoints").mkdir(parents=True)
        job = driven.job(folder, arms=["gru"], search=MANY | {"pruner": PAUSING}, storage=storage)
        found: list[set[str]] = []
        for most, orphan in ((moment, "search-gru-0-g1-e77"), (10_000, "search-gru-1-g2-e77")):
            with FileJournal(folder / "job.journal") as journal:
                driver = Driver(job, INFO, journal)
                place = checkpoint_place(driver.job, folder, driver.job_state.job_id)
                workers = Writing(driver, slots=3)
                workers.store = store = open_store(place)
                before, needed = set(store.names()), driver.retention.kept()
                remove_unneeded(driver.retention, place)
                assert set(store.names()) == before & needed
                assert needed <= before
                workers.run(most)
                with store.writing(orphan) as draft:  # of a worker that was not heard any more
                    (draft / "model").write_bytes(b"weights")
                found.append(set(store.names()))
        assert {"search-gru-0-g1-e77", "search-gru-1-g2-e77"}.isdisjoint(found[0] & found[1])
        with FileJournal(folder / "job.journal") as journal:
            driver = Driver(job, INFO, journal)
            remove_unneeded(driver.retention, place)
            assert set(store.names()) == driver.retention.kept() < found[1]


def picture(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_dry_run_tells_what_would_go_and_changes_nothing(tmp_path: Path) -> None:
    _, folder = begun(tmp_path, 10_000)
    for path in (folder / "checkpoints").iterdir():
        (path / "model").write_bytes(b"x" * 100)
    before = picture(folder) | {"job.journal.lock": b""}
    told_before = clean(folder, dry_run=True)
    assert picture(folder) | {"job.journal.lock": b""} == before
    assert clean(folder) == told_before
    assert told_before.removed_bytes == 100 * told_before.removed > 0
    assert told_before.kept_bytes == 100 * told_before.kept == 600
    assert clean(folder).removed == 0


def test_cleaning_leaves_all_but_checkpoints_as_it_is(tmp_path: Path) -> None:
    _, folder = begun(tmp_path, 10_000)
    for name in ("results.parquet", "verdict.json", "report.html", "tracking.state", "best/card"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    before = picture(folder) | {"job.journal.lock": b""}
    clean(folder, 1)
    assert picture(folder) | {"job.journal.lock": b""} == before


def test_jobs_are_cleaned_although_one_of_them_is_at_work(tmp_path: Path) -> None:
    begun_folder = begun(tmp_path, 10)[1]
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        shutil.copytree(begun_folder, folder)
    before = LocalStore(folders[1] / "checkpoints").names()
    with FileJournal(folders[1] / "job.journal"):
        said = list(clean_jobs(folders))
        with pytest.raises(JournalBusyError, match="run by"):
            clean_job(folders[1])
    assert said[1] == "b: it runs, and is left alone."
    assert ["removed" in text for text in said] == [True, False, True]
    assert LocalStore(folders[1] / "checkpoints").names() == before
    (folders[0] / "job.journal").unlink()
    (folders[1] / "job.journal").write_bytes(b"")
    assert list(clean_jobs(folders[:2])) == [
        f"{name}: it has not begun; there is nothing to remove." for name in "ab"
    ]
    for folder in folders:
        (folder / "job.yaml").write_text("name: [")
    with pytest.raises(GatesearchError, match="3 jobs were left as they are"):
        list(clean_jobs(folders))


def test_a_cleaning_that_was_killed_is_done_again(tmp_path: Path) -> None:
    job, folder = begun(tmp_path, 60)
    for path in (folder / "checkpoints").iterdir():
        for name in ("model", "state"):
            (path / name).write_bytes(b"x")
    program = (
        "import os, shutil, signal, sys\n"
        "from pathlib import Path\n"
        "from search.run.clean import clean\n"
        "left, rmtree = [3], shutil.rmtree\n"
        "def dying(path, **options):\n"
        "    if left[0] == 0:\n"
        "        os.unlink(Path(path) / 'model')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    rmtree(path, **options)\n"
        "shutil.rmtree = dying\n"
        "clean(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert done.returncode == -9
    assert clean(folder).removed > 0
    assert set(LocalStore(folder / "checkpoints").names()) == kept(job, told(folder))
    assert clean(folder).removed == 0
