"""Which folders a command means: here, or those of this machine's service."""

from pathlib import Path

import pytest

from deploy.client import Client, ClusterJob
from deploy.service import Service
from search.cli import cluster, job_folder
from search.job.commands import RUNS
from spaces.errors import InputError


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jobs in the root of a service, seen from a folder without any."""
    root = tmp_path / "served"
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        (root / name / "job.yaml").write_text(f"name: {name}\n")
    service = Service("http://127.0.0.1:1", "", str(root), 1, 2, "http://127.0.0.1:2", 3)
    monkeypatch.setattr("deploy.service.find_service", lambda: service)
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


def test_a_journal_that_cannot_be_read_is_noted_and_the_state_shown(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (served / "one" / "job.journal").write_bytes(b"no journal\n" * 20)
    job = ClusterJob("id", "one", "running", "", 1, None, None, None, None)
    with Client("http://127.0.0.1:2") as client:
        assert cluster._standing(client, job) is None
    said = capsys.readouterr().err
    assert "note: how far the job is cannot be read" in said and "job.journal" in said
