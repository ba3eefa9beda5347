"""Jobs in a database are found by name where there is nothing but its address."""

import shutil
from dataclasses import replace
from pathlib import Path

import driven
import pytest
from driven import INFO, Workers
from installed import gatesearch
from mlflow_server import running_server
from server_process import free_ports
from servers import S3, Postgres

from search.cli.job_folder import job_folder, whole_folder
from search.environment import STORAGE
from search.export.folder import FILES
from search.job.folder import checkpoint_place, store_job, stored_job
from search.job.spec import JobSpec
from search.journal.open import open_journal
from search.journal.postgres import PostgresReader
from search.results.read import read_results
from search.run.driver import Driver
from search.run.recorder import record_runs
from search.run.shared_storage import bring_results, shared_folder
from search.tracking.state import TO, MirrorState, StateFile, mirror_state
from spaces.errors import InputError
from trainables.checkpoints.s3 import S3Store


def run(url: str, root: Path) -> Path:
    """Run a job in a folder of its own, mirror and all."""
    folder = root / "driven"
    job = driven.job(root, search={"trials": 2}, storage={"study": url})
    store_job(folder, job, "job.yaml")
    with open_journal(job, folder) as journal:
        driver = Driver(job, INFO, journal, file=(folder / "job.yaml").read_text())
        Workers(driver).run()
        told = StateFile(folder)
        told.record_server("http://tracking:5000", "7")
        for number, key in enumerate(driver.job_state.trials):
            told.record_run(key, f"run-{number}")
        runs = {key: f"run-{number}" for number, key in enumerate(driver.job_state.trials)}
        for _ in range(2):  # once is enough
            driver.record_runs(MirrorState("http://tracking:5000", "7", runs))
    return folder


def test_a_job_found_by_name_is_the_job_as_it_ran(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    monkeypatch.setenv("GATESEARCH_STORAGE", url)
    ran = run(url, tmp_path / "there")
    (tmp_path / "here" / "driven").mkdir(parents=True)  # of a command that was killed
    found = job_folder("driven", tmp_path / "here")
    assert [path.name for path in found.iterdir()] == ["job.yaml"]
    assert (found / "job.yaml").read_bytes() == (ran / "job.yaml").read_bytes()
    here, there = read_results(found), read_results(ran)
    assert [trial.as_dict() for trial in here.trials] == [t.as_dict() for t in there.trials]
    assert all(trial.mlflow_run_id for trial in here.trials)
    assert here.mlflow == there.mlflow is not None
    assert here.job_file == there.job_file == (ran / "job.yaml").read_text()


def test_a_job_whose_database_was_moved_is_found_where_it_is(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    run(url, tmp_path / "there")
    moved = f"{url}?connect_timeout=5"
    monkeypatch.setenv("GATESEARCH_STORAGE", moved)
    found = job_folder("driven", tmp_path / "here")
    assert stored_job(found).storage.study == moved
    assert read_results(found).phase == "report"


def test_another_job_of_the_name_is_never_taken_for_it(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, other = postgres.database(), postgres.database()
    run(url, tmp_path / "there")
    shutil.rmtree(tmp_path / "there")
    run(other, tmp_path / "here")
    monkeypatch.setenv("GATESEARCH_STORAGE", url)
    with pytest.raises(InputError, match="must be the job driven that is in the database"):
        shared_folder("driven", tmp_path / "here")
    assert shared_folder("nothing", tmp_path / "here") is None
    assert JobSpec.load(tmp_path / "here" / "driven" / "job.yaml").storage.study == other


def test_a_limit_that_was_raised_is_found_with_the_job(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    monkeypatch.setenv("GATESEARCH_STORAGE", url)
    folder = run(url, tmp_path / "there")
    storage = {"study": url, "limit_gb": 5}
    raised = driven.job(tmp_path / "there", search={"trials": 2}, storage=storage)
    store_job(folder, raised, "job.yaml")
    with open_journal(raised, folder) as journal:
        Driver(raised, INFO, journal, file=(folder / "job.yaml").read_text())
    assert stored_job(job_folder("driven", tmp_path / "here")).storage.limit_gb == 5


def test_results_are_brought_again_until_all_of_them_are_there(s3: S3, tmp_path: Path) -> None:
    folder = tmp_path / "driven"
    storage = {"checkpoints": f"s3://{s3.bucket()}/team"}
    job = driven.job(tmp_path, search={"trials": 2}, storage=storage)
    store_job(folder, job, "job.yaml")
    driven.drive(job, folder)
    names = ["results.parquet", "verdict.json", "report.html", *(f"best/{file}" for file in FILES)]
    place = checkpoint_place(job, folder, read_results(folder).job_id)
    S3Store(place).put("results", {name: name.encode() for name in names})
    (folder / "report.html" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"report\.html"):
        bring_results(folder)
    (folder / "report.html" / "in the way").rmdir()
    (folder / "report.html").rmdir()
    whole_folder("driven", tmp_path)
    assert all((folder / name).read_bytes() == name.encode() for name in names)


HERE = MirrorState("sqlite:///mlflow.db", "1", {"job": "here-0"})
TEAM = MirrorState("http://tracking:5000", "7", {"job": "run-0"})
MORE = MirrorState("http://Tracking:5000/", "7", {"job": "run-0", "search/lstm/0": "run-1"})
OTHER = MirrorState("http://other:5000", "7", {"job": "other-0"})


def entry(state: MirrorState | None) -> dict[str, object] | None:
    """What a journal has of a mirror's state."""
    names = ("server", "experiment_id", "runs")
    return None if state is None else {name: getattr(state, name) for name in names}


@pytest.mark.parametrize(
    ("known", "late", "recorded"),
    [
        (None, TEAM, TEAM),
        (None, HERE, None),
        (HERE, TEAM, TEAM),
        (HERE, replace(HERE, runs={"job": "there-0"}), HERE),
        (TEAM, MORE, MORE),
        (TEAM, HERE, TEAM),
        (TEAM, OTHER, TEAM),
    ],
)
def test_a_later_mirror_completes_a_server_s_runs_and_replaces_no_others(
    known: MirrorState | None,
    late: MirrorState,
    recorded: MirrorState | None,
    postgres: Postgres,
    tmp_path: Path,
) -> None:
    """Of `mirror` on a machine that reads GATESEARCH_TRACKING_URI otherwise, or not at all."""
    folder = tmp_path / "driven"
    job = driven.job(tmp_path, search={"trials": 1}, storage={"study": postgres.database()})
    store_job(folder, job, "job.yaml")
    with open_journal(job, folder) as journal:
        driver = Driver(job, INFO, journal)
        Workers(driver).run()
        driver.done()
        if known is not None:
            driver.record_runs(known)
    record_runs(folder, late)
    assert driven.told(folder, job).runs == entry(recorded)
    with open_journal(job, folder) as journal:  # of one that goes on
        Driver(job, INFO, journal).record_runs(HERE)
    kept = HERE if recorded is None or recorded.served is None else recorded
    assert driven.told(folder, job).runs == entry(kept)


def test_mirroring_from_another_machine_changes_nothing_that_the_database_says_of_mlflow(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Neither into that machine's own database, nor to a server that the job does not name."""
    url, laptop = postgres.database(), tmp_path / "laptop"
    job = driven.job(tmp_path, search={"trials": 1}, storage={"study": url})
    store_job(tmp_path / "driven", job, "job.yaml")
    with open_journal(job, tmp_path / "driven") as journal:
        driver = Driver(job, INFO, journal, file=(tmp_path / "driven" / "job.yaml").read_text())
        Workers(driver).run()
        driver.done()
        driver.record_runs(HERE)
    before = PostgresReader(url, job.name).read()
    for folder in (laptop, tmp_path / "server"):
        folder.mkdir()
    with running_server(tmp_path / "server", free_ports(1)[0]) as uri:
        for to in ((), ("--to", uri)):
            said = gatesearch("mirror", "driven", *to, cwd=laptop, env={STORAGE: url})
            assert "runs are in MLflow" in said
    assert mirror_state(laptop / "runs" / "driven").runs.keys() > HERE.runs.keys()
    assert mirror_state(laptop / "runs" / "driven", TO).served == uri
    assert PostgresReader(url, job.name).read() == before


def test_a_mirror_that_was_behind_at_the_job_s_end_has_its_runs_recorded_later(
    postgres: Postgres, tmp_path: Path
) -> None:
    url, folder = postgres.database(), tmp_path / "driven"
    job = driven.job(tmp_path, search={"trials": 1}, storage={"study": url})
    store_job(folder, job, "job.yaml")
    late = MirrorState("http://tracking:5000", "7", {"job": "run-0", "search/lstm/0": "run-1"})

    def told() -> dict[str, object] | None:
        return driven.told(folder, job).runs

    with open_journal(job, folder) as journal:
        driver = Driver(job, INFO, journal)
        Workers(driver).run()
        driver.record_runs(MirrorState("http://tracking:5000", "7", {"job": "run-0"}))
        known = told()
        record_runs(folder, late)
        assert told() == known, "a job that is not done is its driver's"
        driver.done()
        record_runs(folder, late)
        assert told() == known, "nobody writes beside a driver at work"
    record_runs(folder, late)
    assert told() == {"server": late.server, "experiment_id": "7", "runs": late.runs}
    before = PostgresReader(url, job.name).read()
    record_runs(folder, late)
    assert PostgresReader(url, job.name).read() == before, "once is enough"
