"""A job's runs on an MLflow server as teams have one: accounts, PostgreSQL and S3, all real."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from browser import CHROMIUM, browser
from mirrored_jobs import ARMS, finished_job
from server_process import end_with_parent, free_ports
from servers import S3, Postgres

from search.tracking.mirror import mirror_once
from search.tracking.mlflow_compat import SERVER_ENVIRONMENT
from search.tracking.state import mirror_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, at its import
]
_PATIENCE = 240.0  # seconds, which only a hang reaches
PASSWORD = secrets.token_hex(12)


@dataclass(frozen=True)
class Mirrored:
    """A finished job whose runs are on a server."""

    folder: Path
    uri: str
    bucket: str


@pytest.fixture(scope="module")
def mirrored(
    tmp_path_factory: pytest.TempPathFactory,
    server_of_databases: Postgres,
    server_of_buckets: S3,
) -> Iterator[Mirrored]:
    """A job that was mirrored to MLflow with accounts, over PostgreSQL and S3."""
    home = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    uri, bucket = f"http://127.0.0.1:{port}", server_of_buckets.bucket()
    accounts = home / "accounts.ini"
    accounts.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nadmin_password = unused\n"
        f"database_uri = sqlite:///{home}/accounts.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    database = server_of_databases.database().replace("postgresql:", "postgresql+psycopg2:")
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database, "--artifacts-destination", f"s3://{bucket}/runs"]
    environment = {
        **os.environ,
        **SERVER_ENVIRONMENT,
        **server_of_buckets.environment,
        "PGPASSWORD": server_of_databases.password,
        "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
    try:
        wait_until(lambda: _healthy(uri), "MLflow answers")
        job = finished_job(home / "runs" / "vowels", tmp_path_factory.mktemp("trained"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
            patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
            state = mirror_once(job.folder, uri)
            assert state.complete, (state.error, (home / "log").read_text()[-2000:])
            yield Mirrored(job.folder, uri, bucket)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < give_up, f"never: {what}"
        time.sleep(0.1)


def _healthy(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


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


def test_nobody_gets_in_without_the_password_and_it_is_written_nowhere(mirrored: Mirrored) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{mirrored.uri}/api/2.0/mlflow/registered-models/search")
    refused.value.close()
    assert refused.value.code == 401
    for path in mirrored.folder.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


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
        wait_until(lambda: int(page.run(bars)) >= len(ARMS), "bars are drawn")
        assert "Arms compared" in page.run("document.body.innerText")
