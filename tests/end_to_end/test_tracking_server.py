"""A job's runs on an MLflow server as teams have one: accounts, PostgreSQL and S3, all real."""

import base64
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from browser import CHROMIUM, browser
from mirrored_jobs import ARMS, finished_job
from mlflow_server import ADMIN, running_with_accounts
from planted import forms, in_files, in_processes
from servers import S3, Postgres
from waiting import wait_until

from search.tracking.mirror import mirror_once
from search.tracking.state import mirror_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, at its import
]
PASSWORD = secrets.token_hex(12)


@dataclass(frozen=True)
class Mirrored:
    """A finished job whose runs are on a server."""

    folder: Path
    uri: str
    database: str
    bucket: str
    home: Path  #: what the server writes on a disk


@pytest.fixture(scope="module")
def mirrored(
    tmp_path_factory: pytest.TempPathFactory,
    server_of_databases: Postgres,
    server_of_buckets: S3,
) -> Iterator[Mirrored]:
    """A job that was mirrored to MLflow with accounts, over PostgreSQL and S3."""
    home, bucket = tmp_path_factory.mktemp("mlflow"), server_of_buckets.bucket()
    plain = server_of_databases.database()
    database = plain.replace("postgresql:", "postgresql+psycopg2:")
    environment = {**server_of_buckets.environment, "PGPASSWORD": server_of_databases.password}
    with running_with_accounts(home, PASSWORD, database, f"s3://{bucket}/runs", environment) as uri:
        job = finished_job(home / "runs" / "vowels", tmp_path_factory.mktemp("trained"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
            patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
            state = mirror_once(job.folder, uri)
            assert state.complete, (state.error, (home / "log").read_text()[-2000:])
            yield Mirrored(job.folder, uri, plain, bucket, home)


def test_models_of_the_registry_predict_what_the_export_does_for_ragged_sequences(
    mirrored: Mirrored,
) -> None:
    import mlflow

    mlflow.set_tracking_uri(mirrored.uri)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 9, 12)).astype(np.float32)
    batch = {"x": x, "lengths": np.array([9, 4, 1], np.int64)}
    for arm in ARMS:
        model = mlflow.pyfunc.load_model(f"models:/gatesearch-vowels@champion-{arm}")
        assert model.metadata.signature is not None and model.input_example is not None
        exported = mirrored.folder / "models" / arm / "model.onnx"
        (expected,) = onnxruntime.InferenceSession(exported).run(None, batch)
        (found,) = model.predict(batch).values()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    client = mlflow.MlflowClient()
    champion = client.get_model_version_by_alias("gatesearch-vowels", "champion")
    assert champion.tags["arm"] == "lstm"
    run = client.get_run(mirror_state(mirrored.folder).runs["job"])
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {
        "report.html",
        "tables",
    }


def test_nobody_gets_in_without_the_password_and_it_is_written_nowhere(
    mirrored: Mirrored, server_of_databases: Postgres, server_of_buckets: S3
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{mirrored.uri}/api/2.0/mlflow/registered-models/search")
    refused.value.close()
    assert refused.value.code == 401
    planted = forms(PASSWORD, ADMIN)
    assert not in_files(planted, [mirrored.folder, mirrored.home])
    assert not in_processes(planted, {"MLFLOW_AUTH_ADMIN_PASSWORD"})
    run, database = server_of_databases.run, mirrored.database
    tables = run(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row for (table,) in tables for row in run(database, f'SELECT t::text FROM "{table}" t')]
    stored = [text.encode() for (text,) in rows]
    assert any(b"mlflow.note.content" in text for text in stored)
    client = server_of_buckets.client()
    for key in server_of_buckets.keys(mirrored.bucket):
        stored.append(client.get_object(Bucket=mirrored.bucket, Key=key)["Body"].read())
    assert len(stored) > len(rows)
    assert not [text for text in stored if any(each in text for each in planted)]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_the_address_of_the_job_s_state_opens_on_the_arms_behind_a_password(
    mirrored: Mirrored,
) -> None:
    address = mirror_state(mirrored.folder).address("arms")
    assert address is not None and address.startswith(mirrored.uri)
    token = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    with browser() as page:
        page.look(width=1280, height=860)
        page.ask("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {token}"})
        page.ask("Page.navigate", url=address)
        bars = "document.querySelectorAll('.js-plotly-plot .barlayer path').length"
        wait_until(lambda: int(page.run(bars)) >= len(ARMS), "bars are drawn", 240)
        assert "Arms compared" in page.run("document.body.innerText")
