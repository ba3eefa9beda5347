"""Which service and which folders a command means: here, or those of this machine's service."""

from pathlib import Path

import pytest

from deploy.client import Client, ClusterJob
from deploy.errors import ClusterError
from deploy.files import write_whole
from deploy.service import state
from search.cli import cluster, job_folder
from search.cli.connect import connected
from search.job.commands import RUNS
from spaces.errors import GatesearchError, InputError

HEAD, QUEUE = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jobs in the root of a service that has died, seen from a folder without any."""
    root = tmp_path / "served"
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        (root / name / "job.yaml").write_text(f"name: {name}\n")
    monkeypatch.setenv("GATESEARCH_SERVICE", str(tmp_path / "service"))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    state.queue_folder().mkdir(parents=True)
    service = state.Service(HEAD, "", str(root), 2**22 + 1, 2**22 + 2, QUEUE, 2**22 + 3)
    state.write(service)
    for file in (service.token_file, service.queue_token_file):
        write_whole(file, b"token")
    assert state.find_service() is None
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


def test_all_jobs_are_the_services_where_here_are_none(served: Path, tmp_path: Path) -> None:
    assert job_folder.jobs_below(RUNS) == [served / "one", served / "two"]
    assert job_folder.job_folder("one", RUNS) == served / "one"
    with pytest.raises(InputError, match="must hold jobs"):
        job_folder.jobs_below(tmp_path / "named")
    own = tmp_path / "here" / "runs" / "own"
    own.mkdir(parents=True)
    (own / "job.yaml").write_text("name: own\n")
    assert job_folder.jobs_below(RUNS) == [own]


def test_a_service_of_which_a_part_has_died_is_still_the_one_that_is_named(served: Path) -> None:
    with pytest.raises(GatesearchError) as failure, connected(None, None) as client:
        assert client.warnings == []  # it has the queue's token
        client.jobs()
    assert QUEUE in str(failure.value) and "gatesearch up" in str(failure.value)
    assert isinstance(failure.value.__cause__, ClusterError)


def test_a_journal_that_cannot_be_read_is_noted_and_the_state_shown(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (served / "one" / "job.journal").write_bytes(b"no journal\n" * 20)
    job = ClusterJob("id", "one", "running", "", 1, None, None, None, None)
    with Client(QUEUE) as client:
        assert cluster._standing(client, job) is None
    said = capsys.readouterr().err
    assert "note: how far the job is cannot be read" in said and "job.journal" in said
