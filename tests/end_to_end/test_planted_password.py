"""A job that tracks to a server behind a password, watched: nothing shows or keeps the password."""

import os
import secrets
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from faults import driver, workers
from installed import running
from live_page import Events, asked, watching
from mlflow_server import ADMIN, running_with_accounts
from planted import carriers, forms, in_files, in_processes
from waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
WAIT = 400.0  # seconds, a bound that only a hang reaches
VARIABLE = "MLFLOW_TRACKING_PASSWORD"
SERVERS_OWN = "MLFLOW_AUTH_ADMIN_PASSWORD"
JOB = """\
name: guarded
task: {{name: japanese-vowels}}
arms: [rnn, gru]
space: {{depth: 1, hidden_size: {{choices: [8, 16]}}}}
training: {{max_epochs: 120}}
search: {{trials: 3, pruner: none, sampler: random}}
confirm: {{finalists: 1, seeds: 2}}
tracking: {{uri: "{uri}"}}
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """All that the job's user has on disk: home, temporary files, and the jobs' folders."""
    # Ray's Unix sockets lie deep below its folder and their paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="gs-", dir="/tmp"))
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tracking(home: Path) -> Iterator[tuple[str, Path, str]]:
    """MLflow's server: its URI, its folder, and the password of its one account."""
    folder, password = home / "mlflow", f"planted-{secrets.token_hex(8)}"
    folder.mkdir()
    database = f"sqlite:///{folder}/mlflow.db"
    with running_with_accounts(folder, password, database, f"{folder}/artifacts", {}) as uri:
        yield uri, folder, password


def test_a_password_is_looked_for_where_it_could_be(tmp_path: Path) -> None:
    planted = forms("planted-4711", "ann")
    (tmp_path / "log").write_text("Authorization: Basic YW5uOnBsYW50ZWQtNDcxMQ==\n")
    assert in_files(planted, [tmp_path]) == [tmp_path / "log"]
    (tmp_path / "log").write_text("nothing")
    assert not in_files(planted, [tmp_path])


def test_a_tracking_password_is_in_no_file_log_tag_page_or_command_line(
    home: Path, tracking: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, server, password = tracking
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv(VARIABLE, password)
    planted = forms(password, ADMIN)
    (home / "guarded.yaml").write_text(JOB.format(uri=uri))
    folder = home / "runs" / "guarded"

    def check(page: Events, port: int) -> None:
        """Look everywhere; that the job's own processes have it as the user set it is meant."""
        assert not in_files(planted, [home])
        assert not in_processes(planted, {VARIABLE, SERVERS_OWN})
        shown = [asked(port, path)[2] for path in ("/", "/live.js", "/report")]
        assert len(page.messages) > 1
        for text in (*shown, str(page.messages)):
            assert not any(each in text.encode() for each in planted)

    with (
        running("run", "guarded.yaml", cwd=home) as begun,
        watching("guarded", folder=home) as (port, token, said),
    ):
        page = Events(port)
        page.wait(lambda items: any(name.startswith("curve/") for name in items), "it trains", WAIT)
        wait_until(lambda: runs_told(server) > 1, "MLflow is told of runs")
        assert {driver(folder), *workers(begun)} <= carriers(planted, VARIABLE)
        check(page, port)

        os.kill(driver(folder), signal.SIGKILL)
        begun.wait(120)
        page.wait(lambda items: not items["head"]["driven"], "it is dead", WAIT)
        check(page, port)
        bearer = {"Authorization": f"Bearer {token}"}
        assert asked(port, "/resume", "POST", bearer)[0] == 200
        page.wait(lambda items: items["head"]["driven"], "it goes on", WAIT)
        check(page, port)
        page.wait(lambda items: items["head"]["finished"], "the end", WAIT)
        page.wait(lambda items: items["report"].get("phase") == "done", "the verdict", WAIT)
        wait_until(lambda: b"verdict" in tags(server), "MLflow is told of the verdict")
        check(page, port)
        page.close()
    assert not any(each in "".join(said).encode() for each in planted)
    assert not any(each in tags(server) for each in planted)


def runs_told(server: Path) -> int:
    """Return how many runs a server has."""
    with closing(sqlite3.connect(server / "mlflow.db")) as database:
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


def tags(server: Path) -> bytes:
    """Return the keys and values of all tags, as a server's database has them."""
    with closing(sqlite3.connect(server / "mlflow.db")) as database:
        rows = [
            row
            for table in ("tags", "experiment_tags", "params")
            for row in database.execute(f"SELECT key, value FROM {table}")
        ]
    return "\n".join(f"{key} {value}" for key, value in rows).encode()
