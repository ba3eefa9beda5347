"""The mirror as the process that it is: followed drivers, kills, servers that come and go."""

import os
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

import pytest
from told_jobs import Told, comparable, curve, database

from search.tracking import follower
from search.tracking.server import DATABASE
from search.tracking.state import mirror_state, run_ids
from spaces.errors import InputError

_PATIENCE = 60.0  # seconds after which a condition counts as never met


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
def ended(mirror: follower.Mirror) -> Iterator[follower.Mirror]:
    """Leave no mirror behind, whatever the test says."""
    try:
        yield mirror
    finally:
        if mirror._process.poll() is None:
            mirror._process.kill()
        mirror._process.wait()


def job(folder: Path, pid: int = 1, host: str | None = None) -> Told:
    return Told(folder, pid=pid, host=host or socket.gethostname())


def runs(root: Path) -> dict[str, dict[str, Any]]:
    path = root / DATABASE
    found = database(path) if path.exists() else {}
    assert all(len(several) == 1 for several in found.values())
    return {key: several[0] for key, several in found.items()}


def state_of(root: Path, key: str) -> str | None:
    run = runs(root).get(key)
    return run and run["tags"].get("state")


def free_port() -> int:
    """A port of the loopback interface that is free, outside those that Ray's workers use."""
    for port in range(20_000 + os.getpid() % 9_000, 32_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@contextmanager
def server(root: Path, port: int) -> Iterator[str]:
    """A real MLflow server over a database of its own, served as the dashboard does."""
    program = (
        "import sys; from pathlib import Path; from search.tracking.dashboard import serve; "
        "serve(Path(sys.argv[1]), port=int(sys.argv[2]))"
    )
    command = [sys.executable, "-P", "-c", program, str(root), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert b"MLflow shows" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE)


def test_mirror_follows_a_driver_and_ends_with_its_job(root: Path) -> None:
    with driver() as process:
        told = job(root / "vowels", process.pid)
        with ended(follower.start(told.folder, None, process.pid)) as mirror:
            told.trial("search/rnn/0")
            until(lambda: state_of(root, "search/rnn/0") == "running")
            told.report("search/rnn/0", 1, 2)
            until(lambda: curve(runs(root)["search/rnn/0"], "accuracy"))
            assert mirror.wait(0) is False
            told.end("search/rnn/0")
            told.finish()
            assert mirror.wait(_PATIENCE)
            assert process.poll() is None
    assert {run["status"] for run in runs(root).values()} == {"FINISHED"}
    assert mirror_state(told.folder).complete


def test_killed_driver_s_trials_are_shown_as_interrupted(root: Path) -> None:
    with driver() as process:
        told = job(root / "vowels", process.pid)
        told.trial("search/rnn/0")
        with ended(follower.start(told.folder, None, process.pid)) as mirror:
            until(lambda: state_of(root, "search/rnn/0") == "running")
            process.kill()  # and nobody has taken its exit code yet: it is a zombie
            assert mirror.wait(_PATIENCE)
    assert runs(root)["search/rnn/0"]["status"] == "KILLED"


def test_next_driver_s_mirror_takes_over_from_one_that_is_behind(root: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"  # nobody is there
    with driver() as first, driver() as second:
        told = job(root / "vowels", first.pid)
        told.trial("search/rnn/0")
        with ended(follower.start(told.folder, address, first.pid)) as old:
            until(lambda: mirror_state(told.folder).error)
            first.kill()
            told.driver(second.pid, socket.gethostname())
            with ended(follower.start(told.folder, None, second.pid)) as new:
                assert old.wait(_PATIENCE)
                until(lambda: state_of(root, "search/rnn/0") == "running")
                told.finish()
                assert new.wait(_PATIENCE)
    assert runs(root)["search/rnn/0"]["tags"]["generation"] == "2"


def test_second_mirror_of_a_job_is_refused(root: Path) -> None:
    with driver() as process:
        told = job(root / "vowels", process.pid)
        with ended(follower.start(told.folder, None, process.pid)):
            until(lambda: run_ids(told.folder))
            with pytest.raises(InputError, match="already at work"):
                follower.mirror(told.folder, None)


def test_mirror_killed_again_and_again_leaves_nothing_lost_or_doubled(
    tmp_path: Path, schema: Path
) -> None:
    jobs = [job(tmp_path / name / "vowels", host="elsewhere") for name in ("kept", "killed")]
    for told in jobs:
        told.whole()
        shutil.copy(schema, told.folder.parent / DATABASE)
    kept, killed = (told.folder for told in jobs)
    assert follower.mirror(kept, None).complete
    for made in (1, 5, 9):
        process = subprocess.Popen(follower._command(killed, None), stderr=subprocess.DEVNULL)
        until(lambda: len(run_ids(killed)) >= made)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert follower.mirror(killed, None).complete
    assert comparable(database(killed.parent / DATABASE)) == comparable(
        database(kept.parent / DATABASE)
    )


def test_two_jobs_make_and_fill_one_database_at_once(tmp_path: Path) -> None:
    jobs = [job(tmp_path / name, host=name) for name in ("one", "two")]
    for told in jobs:
        told.whole()
    mirrors = [
        subprocess.Popen(follower._command(told.folder, None), stderr=subprocess.DEVNULL)
        for told in jobs
    ]
    assert [mirror.wait() for mirror in mirrors] == [0, 0]
    assert {len(several) for several in database(tmp_path / DATABASE).values()} == {2}
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "mlartifacts",
        "one",
        "two",
    ]


def test_any_folder_name_will_do(tmp_path: Path) -> None:
    root = tmp_path / "50% größer?a=b#c 'x'"
    told = job(root / "vowels", host="elsewhere")
    told.whole()
    assert follower.mirror(told.folder, None).complete
    assert len(runs(root)) == 10
    assert list(root.rglob("mlartifacts/**/report.html"))
    assert {path.name for path in tmp_path.iterdir()} == {root.name}


def test_server_that_is_away_at_first_gets_everything_later(tmp_path: Path, schema: Path) -> None:
    port = free_port()
    (tmp_path / "server").mkdir()
    shutil.copy(schema, tmp_path / "server")
    with driver() as process:
        told = job(tmp_path / "runs" / "vowels", process.pid)
        address = f"http://127.0.0.1:{port}"
        with ended(follower.start(told.folder, address, process.pid)) as mirror:
            until(lambda: mirror_state(told.folder).error)
            assert "does not answer" in (mirror_state(told.folder).error or "")
            told.whole()
            with server(tmp_path / "server", port):
                assert mirror.wait(_PATIENCE)
                report = list((tmp_path / "server" / "mlartifacts").rglob("report.html"))
    assert len(runs(tmp_path / "server")) == 10
    assert len(report) == 1
    assert mirror_state(told.folder).error is None
    assert not (tmp_path / "runs" / DATABASE).exists()


def test_server_that_stays_away_ends_a_single_mirroring_with_its_reason(tmp_path: Path) -> None:
    told = job(tmp_path / "vowels", host="elsewhere")
    told.whole()
    state = follower.mirror(told.folder, f"http://127.0.0.1:{free_port()}")
    assert not state.complete
    assert "connection refused" in (state.error or "")


def test_server_that_never_answers_holds_up_no_driver(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, driver() as process:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = job(tmp_path / "vowels", process.pid)
        with ended(follower.start(told.folder, address, process.pid)) as mirror:
            silent.settimeout(_PATIENCE)
            connection, _ = silent.accept()
            with connection:
                told.whole()
                assert mirror.wait(0.2) is False


def test_nothing_of_mlflow_is_imported_with_this_module() -> None:
    program = (
        "import search.tracking.follower, search.tracking.dashboard, sys\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
