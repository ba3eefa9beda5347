"""The mirror as the process that it is: followed drivers, kills, servers that come and go."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow_content import comparable, curve, database
from mlflow_server import running_server
from server_process import free_ports
from written_jobs import WrittenJob

from search.job.server_sections import TrackingSection
from search.tracking.database import DATABASE
from search.tracking.mirror import (
    Mirror,
    check_uri,
    mirror_once,
    servers_of,
    start_mirror,
    start_mirrors,
)
from search.tracking.state import ALSO, TO, mirror_state, run_ids
from spaces.errors import InputError

_PATIENCE = 240.0  # seconds, which only a hang reaches: until then a loaded machine is waited for


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    give_up = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@contextmanager
def driver() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that stands for a driver: it lives until its input ends, or it is killed."""
    command = [sys.executable, "-c", "input()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def running_mirror(job: WrittenJob, uri: str | None, driver_pid: int) -> Iterator[Mirror]:
    """A mirror that ends with the block, also when the test fails."""
    mirror = start_mirror(job.folder, uri, driver_pid)
    try:
        yield mirror
    finally:
        mirror.stop()


def run_once(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a mirror that sends what the journal holds."""
    command = [sys.executable, "-m", "search.tracking.follower", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def local_job(folder: Path, pid: int) -> WrittenJob:
    """A job of a driver on this machine."""
    return WrittenJob(folder, pid=pid, host=socket.gethostname())


def whole_job(folder: Path, host: str = "elsewhere") -> WrittenJob:
    job = WrittenJob(folder, host=host)
    job.whole()
    return job


def nobody() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def runs(root: Path) -> dict[str, dict[str, Any]]:
    path = root / DATABASE
    found = database(path) if path.exists() else {}
    assert all(len(several) == 1 for several in found.values())
    return {key: several[0] for key, several in found.items()}


def state_of(root: Path, key: str) -> str | None:
    run = runs(root).get(key)
    return run and run["tags"].get("state")


def test_mirror_follows_a_driver_and_ends_with_its_job(root: Path) -> None:
    with driver() as process:
        job = local_job(root / "vowels", process.pid)
        with running_mirror(job, None, process.pid) as mirror:
            job.trial("search/rnn/0")
            until(lambda: state_of(root, "search/rnn/0") == "running")
            job.report("search/rnn/0", 1, 2)
            until(lambda: curve(runs(root)["search/rnn/0"], "accuracy"))
            assert mirror.wait(0) is False
            job.end("search/rnn/0")
            job.finish()
            assert mirror.wait(_PATIENCE)
            assert process.poll() is None
    assert {run["status"] for run in runs(root).values()} == {"FINISHED"}
    assert mirror_state(job.folder).complete


def test_killed_driver_s_trials_are_shown_as_interrupted(root: Path) -> None:
    with driver() as process:
        job = local_job(root / "vowels", process.pid)
        job.trial("search/rnn/0")
        with running_mirror(job, None, process.pid) as mirror:
            until(lambda: state_of(root, "search/rnn/0") == "running")
            process.kill()  # and nobody has taken its exit code yet: it is a zombie
            assert mirror.wait(_PATIENCE)
    assert runs(root)["search/rnn/0"]["status"] == "KILLED"


def test_next_driver_s_mirror_takes_over_from_one_that_is_behind(root: Path) -> None:
    address = nobody()  # nobody is there
    with driver() as first, driver() as second:
        job = local_job(root / "vowels", first.pid)
        job.trial("search/rnn/0")
        with running_mirror(job, address, first.pid) as old:
            until(lambda: mirror_state(job.folder).error)
            first.kill()
            job.driver(second.pid, socket.gethostname())
            with running_mirror(job, None, second.pid) as new:
                assert old.wait(_PATIENCE)
                until(lambda: state_of(root, "search/rnn/0") == "running")
                job.finish()
                assert new.wait(_PATIENCE)
    assert runs(root)["search/rnn/0"]["tags"]["generation"] == "2"


@pytest.mark.parametrize("lost", ["the runs folder", "the job's folder", "the database"])
def test_mirror_of_what_is_gone_ends_at_once_and_writes_nothing(lost: str, root: Path) -> None:
    runs_folder = root / "runs"
    runs_folder.mkdir()
    shutil.copy(root / DATABASE, runs_folder)
    with driver() as process:
        job = local_job(runs_folder / "vowels", process.pid)
        job.trial("search/rnn/0")
        with running_mirror(job, None, process.pid) as mirror:
            until(lambda: state_of(runs_folder, "search/rnn/0") == "running")
            match lost:
                case "the runs folder":
                    runs_folder.rename(root / "lost")
                case "the job's folder":
                    job.folder.rename(root / "lost")
                case _:
                    (runs_folder / DATABASE).unlink()
            runs_folder.mkdir(exist_ok=True)
            if lost != "the job's folder":  # whose database stays, and may be written to
                shutil.copy(root / DATABASE, runs_folder)
            if lost != "the database":
                local_job(job.folder, process.pid).trial("search/rnn/1")
            until(lambda: mirror.ended)
            assert not mirror.wait(0)
            assert process.poll() is None
    if lost != "the database":
        assert not (job.folder / "tracking.jsonl").exists()
        assert runs(runs_folder) == {} or lost == "the job's folder"


def test_mirror_beside_a_driver_yields_to_everything_else(root: Path) -> None:
    with driver() as process:
        job = local_job(root / "vowels", process.pid)
        with running_mirror(job, None, process.pid) as mirror:
            until(lambda: run_ids(job.folder))
            assert psutil.Process(mirror.pid).nice() == 19  # Ray's workers have 15


def test_second_mirror_of_a_job_is_refused(root: Path) -> None:
    with driver() as process:
        job = local_job(root / "vowels", process.pid)
        with running_mirror(job, None, process.pid):
            until(lambda: run_ids(job.folder))
            with pytest.raises(InputError, match="already at work"):
                mirror_once(job.folder, None)


@pytest.mark.slow  # test_follower.py has one die at every request, in this process
def test_mirror_killed_again_and_again_leaves_nothing_lost_or_doubled(
    tmp_path: Path, schema: Path
) -> None:
    undisturbed, killed = (whole_job(tmp_path / name / "vowels").folder for name in ("one", "two"))
    for folder in (undisturbed, killed):
        shutil.copy(schema, folder.parent / DATABASE)
    assert mirror_once(undisturbed, None).complete
    for made in (1, 5, 9):
        process = run_once(killed)
        until(lambda: len(run_ids(killed)) >= made)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert mirror_once(killed, None).complete
    assert comparable(database(killed.parent / DATABASE)) == comparable(
        database(undisturbed.parent / DATABASE)
    )


def test_two_jobs_make_and_fill_one_database_at_once(tmp_path: Path) -> None:
    jobs = [whole_job(tmp_path / name, host=name) for name in ("one", "two")]
    mirrors = [run_once(job.folder) for job in jobs]
    assert [mirror.wait() for mirror in mirrors] == [0, 0]
    assert {len(several) for several in database(tmp_path / DATABASE).values()} == {2}
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "mlartifacts",
        "one",
        "two",
    ]


def test_runs_folder_may_have_any_name(tmp_path: Path) -> None:
    root = tmp_path / "50% größer?a=b#c 'x'"
    job = whole_job(root / "vowels")
    assert mirror_once(job.folder, None).complete
    assert len(runs(root)) == 10
    assert list(root.rglob("mlartifacts/**/report.html"))
    assert {path.name for path in tmp_path.iterdir()} == {root.name}


def test_server_that_is_away_at_first_gets_everything_later(tmp_path: Path, schema: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "server").mkdir()
    shutil.copy(schema, tmp_path / "server")
    with driver() as process:
        job = local_job(tmp_path / "runs" / "vowels", process.pid)
        address = f"http://127.0.0.1:{port}"
        with running_mirror(job, address, process.pid) as mirror:
            until(lambda: mirror_state(job.folder).error)
            assert "does not answer" in (mirror_state(job.folder).error or "")
            job.whole()
            with running_server(tmp_path / "server", port):
                assert mirror.wait(_PATIENCE)
                report = list((tmp_path / "server" / "mlartifacts").rglob("report.html"))
    assert len(runs(tmp_path / "server")) == 10
    assert len(report) == 1
    assert mirror_state(job.folder).error is None
    assert not (tmp_path / "runs" / DATABASE).exists()


def test_server_that_stays_away_ends_a_single_mirroring_with_its_reason(tmp_path: Path) -> None:
    job = whole_job(tmp_path / "vowels")
    state = mirror_once(job.folder, nobody())
    assert not state.complete
    assert "connection refused" in (state.error or "")


def test_jobs_that_name_no_server_go_to_the_cluster_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = whole_job(tmp_path / "vowels")
    monkeypatch.setenv("GATESEARCH_TRACKING_URI", nobody())
    assert "connection refused" in (mirror_once(job.folder, None).error or "")
    assert not (tmp_path / DATABASE).exists()
    monkeypatch.setenv("GATESEARCH_TRACKING_URI", "http://me:secret@host:5000")
    with pytest.raises(InputError, match="GATESEARCH_TRACKING_URI") as refused:
        mirror_once(job.folder, None)
    assert "secret" not in str(refused.value)


def test_server_that_never_answers_holds_up_no_driver(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, driver() as process:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        job = local_job(tmp_path / "vowels", process.pid)
        with running_mirror(job, address, process.pid) as mirror:
            silent.settimeout(_PATIENCE)
            connection, _ = silent.accept()
            with connection:
                job.whole()
                assert mirror.wait(0.2) is False


def test_starting_a_mirror_imports_nothing_of_mlflow() -> None:
    program = (
        "import search.tracking.mirror, search.tracking.dashboard, sys\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


def test_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must have a job's journal"):
        mirror_once(tmp_path, None)


@pytest.mark.parametrize(
    "address",
    [
        "http://me:secret@host:5000",
        "https://secret@host",
        "https://host/?token=secret",
        "https://host/?%74oken=secret",
        "http://host:port",
        "ftp://host/x",
        "file:///etc",
        "http://",
        "nonsense",
        "postgresql://me:secret@host/db",
    ],
)
def test_unfit_address_is_refused_without_repeating_a_password(address: str) -> None:
    with pytest.raises(InputError) as refused:
        check_uri(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", [None, "http://host:5000", "https://host/mlflow", "sqlite:////mlflow.db"]
)
def test_fit_address_is_taken(address: str | None) -> None:
    check_uri(address)


def test_a_job_that_names_a_second_server_is_mirrored_to_both(root: Path) -> None:
    (port,) = free_ports(1)
    there = root / "server"
    there.mkdir()
    shutil.copy(root / DATABASE, there)
    with running_server(there, port) as address, driver() as process:
        job = local_job(root / "vowels", process.pid)
        job.whole()
        tracking = TrackingSection.model_validate({"also": address})
        mirrors = start_mirrors(job.folder, tracking, process.pid)
        try:
            assert [mirror.wait(_PATIENCE) for mirror in mirrors] == [True, True]
        finally:
            for mirror in mirrors:
                mirror.stop()
    here, away = comparable(database(root / DATABASE)), comparable(database(there / DATABASE))
    folders = [run["tags"].pop("gatesearch.folder") for run in (here["job"][0], away["job"][0])]
    assert here == away and len(here) == 10
    assert folders == ["vowels", f"{socket.gethostname()}:{job.folder}"]
    assert mirror_state(job.folder, ALSO).server == address
    assert set(mirror_state(job.folder).runs) == set(mirror_state(job.folder, ALSO).runs)


@pytest.mark.parametrize("named", ["uri", "also", "the environment's"])
def test_a_server_that_the_job_names_gets_no_second_mirror(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "http://host:5000"
    if named == "the environment's":
        monkeypatch.setenv("GATESEARCH_TRACKING_URI", address)
        tracking = TrackingSection()
        with pytest.raises(InputError, match="another server than GATESEARCH_TRACKING_URI"):
            start_mirrors(tmp_path, TrackingSection(also=f"{address}/"), 1)
    else:
        tracking = TrackingSection.model_validate({named: address})
    with pytest.raises(InputError, match="--to: must be a server that the job does not name"):
        servers_of(tracking, "http://Host:5000/")
    assert servers_of(tracking, "http://host:5001") == [("http://host:5001", TO)]
    assert list(tmp_path.iterdir()) == []
