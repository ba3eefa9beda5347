"""Claims about whole jobs whose journal is in PostgreSQL and whose checkpoints are in S3."""

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnxruntime
import pytest
from installed import alike, gatesearch, records, running
from servers import S3, Postgres
from waiting import wait_until

from search.export.folder import FILES
from search.journal.postgres import PostgresReader

SMALL = """\
name: stored
task: {name: japanese-vowels}
arms: [rnn, gru]
space:
  depth: 1
  hidden_size: {choices: [8, 16]}
  learning_rate: {low: 1e-3, high: 3e-2, log: true}
training: {max_epochs: 9}
search: {trials: 4, seed: 3}
confirm: {finalists: 1, seeds: 1}
resources: {max_concurrent: 1}
"""


def job_file(folder: Path, study: str | None = None, bucket: str | None = None) -> None:
    storage = {
        "study": study,
        "checkpoints": None if bucket is None else f"s3://{bucket}/team",
    }
    (folder / "stored.yaml").write_text(f"{SMALL}storage: {json.dumps(storage)}\n")


@dataclass(frozen=True)
class Ran:
    """One job, run in its folder without a break, and with both servers and a kill."""

    here: Path  #: without servers
    there: Path
    url: str
    bucket: str


@pytest.fixture(scope="module")
def environment(server_of_databases: Postgres, server_of_buckets: S3) -> Iterator[None]:
    """Passwords and endpoint in the environment, as a user sets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", server_of_databases.password)
        for name, value in server_of_buckets.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory,
    server_of_databases: Postgres,
    server_of_buckets: S3,
    environment: None,
) -> Ran:
    """The job, run both ways; the one with servers was killed with -9 and resumed."""
    url, bucket = server_of_databases.database(), server_of_buckets.bucket()
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    job_file(here)
    gatesearch("run", "stored.yaml", cwd=here)
    job_file(there, url, bucket)
    with running("run", "stored.yaml", cwd=there):
        wait_until(
            lambda: len(PostgresReader(url, "stored").read()) >= 15, "the journal has 15 groups"
        )
    gatesearch("resume", "stored", cwd=there)
    return Ran(here, there, url, bucket)


def test_a_killed_job_resumes_from_both_servers_to_the_same_results(ran: Ran) -> None:
    listed = records(ran.there, "stored")
    assert alike(listed) == alike(records(ran.here, "stored"))
    assert all(record["mlflow_run_id"] for record in listed)
    folder = ran.there / "runs" / "stored"
    assert (folder / "best" / "model.onnx").is_file()
    assert not (folder / "job.journal").exists()
    assert not (folder / "checkpoints").exists()


def test_a_bucket_holds_the_checkpoints_of_use_below_a_folder_of_the_job(
    ran: Ran, server_of_buckets: S3
) -> None:
    keys = [key.split("/") for key in server_of_buckets.keys(ran.bucket)]
    results = [key for key in keys if key[2] == "results"]
    keys = [key for key in keys if key[2] != "results"]
    assert len({key[3] for key in results if len(key) > 4}) == 1, "of the last end alone"
    assert {key[0] for key in keys} == {"team"}
    (job,) = {key[1] for key in keys}
    assert job.startswith("stored-")
    found = records(ran.there, "stored")
    search = [record for record in found if record["phase"] == "search"]
    complete = {record["checkpoint"] for record in search if record["state"] == "complete"}
    scores = {record["scores"]["name"] for record in found if record["scores"]}
    assert len(scores) == len(found) - len(search)
    stored = {key[2] for key in keys if key[3] == "manifest.json"}
    assert stored == complete | scores, "all else is gone"


def test_a_lost_machine_loses_nothing(ran: Ran, tmp_path: Path) -> None:
    """The job file and the servers are enough to go on from anywhere."""
    (tmp_path / "stored.yaml").write_bytes((ran.there / "stored.yaml").read_bytes())
    assert "is finished" in gatesearch("run", "stored.yaml", cwd=tmp_path)
    assert alike(records(tmp_path, "stored")) == alike(records(ran.here, "stored"))
    gatesearch("export", "stored", "--out", "exported", cwd=tmp_path)
    assert (tmp_path / "exported" / "config.yaml").is_file()


def test_a_machine_that_knows_the_database_alone_has_the_job_by_name(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes of results, report and comparison, and models that predict alike."""
    laptop, there = tmp_path / "laptop", ran.there
    laptop.mkdir()
    monkeypatch.setenv("GATESEARCH_STORAGE", ran.url)
    folder, here = there / "runs" / "stored", laptop / "runs" / "stored"
    assert gatesearch("fetch", "stored", cwd=laptop) == "runs/stored\n"
    # The first line names the file that the job was last submitted from, by whichever machine.
    jobs = [(each / "job.yaml").read_text().partition("\n") for each in (here, folder)]
    assert jobs[0][0].startswith("#")
    assert jobs[0][2] == jobs[1][2]
    names = ("report.html", "results.parquet", "verdict.json")
    names += tuple(f"best/{file}" for file in FILES)
    assert {name: (here / name).read_bytes() for name in names} == {
        name: (folder / name).read_bytes() for name in names
    }
    shutil.rmtree(laptop / "runs")
    for command in (("results", "--json", "--phase", "all"), ("compare", "--json")):
        said = [gatesearch(command[0], "stored", *command[1:], cwd=cwd) for cwd in (laptop, there)]
        assert said[0] == said[1]
        assert len(said[0]) > 1_000
    for cwd in (laptop, there):
        gatesearch("report", "stored", cwd=cwd)
        gatesearch("export", "stored", "--out", "exported", cwd=cwd)
    assert (here / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    x = np.random.default_rng(0).normal(size=(3, 29, 12)).astype(np.float32)
    models = [onnxruntime.InferenceSession(at / "exported/model.onnx") for at in (laptop, there)]
    names = [one.name for one in models[0].get_inputs()]
    given = dict(zip(names, (x, np.array([29, 7, 12])), strict=True))
    first, second = (model.run(None, given) for model in models)
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("changed", "command", "rule", "remedy"),
    [
        ({}, ("results", "store"), "which holds stored", "name one of them"),
        ({"PGPASSWORD": "hunter2"}, ("results", "stored"), "authentication failed", "PGPASSWORD"),
        ({"PORT": "9"}, ("fetch", "stored"), "could not be reached", "start the server"),
        ({"USER": "gatesearch:hunter2"}, ("results", "stored"), "carry no user's", "PGPASSWORD"),
        (
            {"AWS_SECRET_ACCESS_KEY": "hunter2"},
            ("fetch", "stored"),
            "check AWS_SECRET_ACCESS_KEY",
            "see to the store",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "hunter2"},
            ("export", "stored", "--out", "out"),
            "check AWS_ACCESS_KEY_ID",
            "see to the store",
        ),
    ],
    ids=["no such job", "password", "away", "password in URL", "secret", "access key"],
)
def test_what_keeps_a_job_from_being_found_by_name_is_said_with_its_remedy(
    ran: Ran,
    tmp_path: Path,
    changed: dict[str, str],
    command: tuple[str, ...],
    rule: str,
    remedy: str,
) -> None:
    parts = urlsplit(ran.url)
    user, port = changed.pop("USER", parts.username), changed.pop("PORT", parts.port)
    url = f"postgresql://{user}@{parts.hostname}:{port}{parts.path}"
    said = gatesearch(*command, cwd=tmp_path, code=2, env={"GATESEARCH_STORAGE": url, **changed})
    assert rule in said
    assert remedy in said
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert not (tmp_path / "out").exists()


def test_a_database_that_is_away_is_reported_and_costs_nothing(
    ran: Ran, server_of_databases: Postgres
) -> None:
    before = records(ran.there, "stored")
    server_of_databases.stop(signal.SIGQUIT)
    try:
        for command in ("results", "compare", "report", "resume"):
            said = gatesearch(command, "stored", cwd=ran.there, code=2)
            assert "start the server" in said or "once it answers" in said
            assert "Traceback" not in said
            assert server_of_databases.password not in said
    finally:
        server_of_databases.start()
    assert records(ran.there, "stored") == before


def test_storage_that_cannot_be_used_is_refused_before_anything_starts(
    tmp_path: Path, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bucket = postgres.database(), s3.bucket()
    job_file(tmp_path, url, f"{bucket}-not-there")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    said = gatesearch("run", "stored.yaml", cwd=tmp_path, code=2)
    assert "stored.yaml:12: storage.study" in said
    assert "password authentication failed" in said
    assert "set PGPASSWORD or PGPASSFILE" in said
    assert "stored.yaml:12: storage.checkpoints" in said
    assert "make the bucket" in said
    assert "hunter2" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"stored.yaml"}
    assert postgres.run(url, "SELECT count(*) FROM pg_tables WHERE tablename ~ 'gatesearch'") == [
        (0,)
    ]
    assert s3.keys(bucket) == []
