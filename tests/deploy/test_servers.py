"""Claims about the servers of deploy/, started by the commands and scripts that the files have.

Docker and Kubernetes are not there. What the files have them start is: the scripts as they are, the
commands with other addresses and ports.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg2
import pytest
import yaml
from botocore.exceptions import ClientError
from manifests import DEPLOY
from ray_head import RayHead
from server_process import end_with_parent, free_ports
from servers import Postgres
from waiting import wait_until

from deploy.buckets import make

pytestmark = pytest.mark.slow
BASE = DEPLOY / "kuberay" / "base"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]


@contextmanager
def running(command: list[Any], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """Run a server in a session of its own; end it and its children."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=log.parent,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run(["sh", DEPLOY / "secrets.sh", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def database(server_of_databases: Postgres, secrets: Path) -> Postgres:
    """A database server in which roles.sh has run, as its image runs it."""
    environment = {
        "PATH": f"{server_of_databases.program('psql').parent}:/usr/bin:/bin",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server_of_databases.port),
        "PGPASSWORD": server_of_databases.password,
        "POSTGRES_USER": "gatesearch",
        "GATESEARCH_SECRETS": str(secrets),
    }
    subprocess.run(["sh", BASE / "roles.sh"], env=environment, check=True)
    return server_of_databases


def enter(database: Postgres, role: str, name: str, password: str) -> Any:
    url = database.url(name, user=role)
    return psycopg2.connect(url, password=password)


@pytest.mark.parametrize(
    ("role", "own", "others"),
    [
        ("studies", ["studies"], ["mlflow", "postgres"]),
        ("mlflow", ["mlflow", "mlflow_accounts"], ["studies"]),
    ],
)
def test_each_role_reaches_its_own_databases_and_no_other(
    role: str, own: list[str], others: list[str], database: Postgres, secrets: Path
) -> None:
    password = (secrets / f"database_{role}").read_text()
    for name in own:
        connection = enter(database, role, name, password)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE its_own (n int)")
            cursor.execute(
                "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s",
                (role,),
            )
            assert cursor.fetchone() == (False, False, False)
            cursor.execute("SELECT current_setting('is_superuser')")
            assert cursor.fetchone() == ("off",)
        connection.close()
    for name in others:
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            enter(database, role, name, password)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        enter(database, role, own[0], "hunter2")


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, secrets: Path
) -> Iterator[tuple[str, psutil.Process, list[int]]]:
    """The store that store.sh starts, behind its door: its address, its process and its ports."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "data").mkdir()
    door, *inner = free_ports(5)
    names = ("s3.port", "master.port", "volume.port", "filer.port")
    options = [f"-{name}={port}" for name, port in zip(names, inner, strict=True)]
    sockets = [f"-s3.localSocket={folder}/s3.sock", f"-filer.localSocket={folder}/filer.sock"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "GATESEARCH_SECRETS": str(secrets),
        "GATESEARCH_SCRATCH": str(folder),
        "GATESEARCH_STORE": str(folder / "data"),
    }
    with ExitStack() as held:
        script = ["sh", BASE / "store.sh", *options, *sockets]
        process = held.enter_context(running(script, environment, folder / "store.log"))
        command = [sys.executable, "-P", "-m", "deploy.door", str(door), str(inner[0])]
        held.enter_context(running(command, dict(os.environ), folder / "door.log"))
        address = f"http://127.0.0.1:{door}"
        wait_until(lambda: status(f"{address}/healthz") == 200, "the store answers")
        yield address, process, inner
    for port in inner:
        for left in Path("/tmp").glob(f"seaweedfs-*-{port + 10000}.sock"):
            left.unlink()


def status(url: str, **headers: str) -> int:
    """Return the status of a GET, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def s3(address: str, name: str, key: str) -> Any:
    names = {"aws_access_key_id": name, "aws_secret_access_key": key}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", **names)


def test_a_store_lets_nobody_in_without_a_login_and_each_account_into_its_bucket(
    store: tuple[str, psutil.Process, list[int]], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, _ = store
    assert status(address) == 403
    keys = {
        name: (secrets / f"store_{name}").read_text()
        for name in ("administrator", "mlflow", "checkpoints")
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "administrator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        make(["mlflow", "checkpoints"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["administrator"])
    assert make(["mlflow", "checkpoints"]) == ["mlflow", "checkpoints"]
    assert make(["mlflow", "checkpoints"]) == []
    for own, other in (("mlflow", "checkpoints"), ("checkpoints", "mlflow")):
        client = s3(address, own, keys[own])
        client.put_object(Bucket=own, Key="a", Body=b"1")
        assert client.get_object(Bucket=own, Key="a")["Body"].read() == b"1"
        client.delete_object(Bucket=own, Key="a")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=other, Key="a", Body=b"1")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.create_bucket(Bucket="more")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            s3(address, own, "hunter2").list_buckets()


def test_all_of_a_store_listens_on_loopback_and_no_secret_is_on_a_command_line(
    store: tuple[str, psutil.Process, list[int]], secrets: Path
) -> None:
    _, process, _ = store
    family = [process, *process.children(recursive=True)]
    listening = [
        one.laddr.ip for p in family for one in p.net_connections("inet") if one.status == "LISTEN"
    ]
    assert len(listening) >= 8 and set(listening) == {"127.0.0.1"}
    said = " ".join(word for one in family for word in (*one.cmdline(), *one.environ().values()))
    assert not any(path.read_text() in said for path in secrets.iterdir())


@pytest.fixture(scope="module")
def tracking(
    tmp_path_factory: pytest.TempPathFactory, database: Postgres, secrets: Path
) -> Iterator[tuple[str, Path]]:
    """MLflow as compose starts it, with its own entry point: its address and its log."""
    folder = tmp_path_factory.mktemp("tracking")
    (port,) = free_ports(1)
    host = f"127.0.0.1:{database.port}"
    replaced = {
        "gatesearch-database:5432": host,
        "=5000": f"={port}",
        "0.0.0.0": "127.0.0.1",
        "s3://mlflow": str(folder),
    }
    accounts = (BASE / "mlflow-accounts.ini").read_text().replace("gatesearch-database:5432", host)
    (folder / "accounts.ini").write_text(accounts)
    command = [sys.executable, "-m", *COMPOSE["tracking"]["command"]]
    for old, new in replaced.items():
        command = [word.replace(old, new) for word in command]
    environment = {
        name: value.replace("/run/secrets", str(secrets))
        for name, value in COMPOSE["tracking"]["environment"].items()
    }
    environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini"), "HOME": str(folder)}
    environment |= {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    entry = [DEPLOY / "image" / "with-secrets", *command]
    with running(entry, environment, folder / "mlflow.log"):
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: status(f"{address}/health") == 200, "MLflow answers")
        yield address, folder / "mlflow.log"


def search(address: str, **headers: str) -> int:
    return post(f"{address}/api/2.0/mlflow/experiments/search", {"max_results": 1}, headers)


def post(url: str, content: dict[str, Any], headers: dict[str, str]) -> int:
    """Return the status of a POST."""
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json", **headers}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize(
    ("case", "headers", "wanted"),
    [
        ("right", {}, {200}),
        ("none", {"Authorization": ""}, {401}),
        ("wrong", {"Authorization": f"Bearer {'0' * 64}"}, {403}),
        ("host", {"Authorization": "", "Host": "evil.example"}, {401}),
        ("origin", {"Origin": "http://evil.example", "User-Agent": "Mozilla/5.0"}, {403, 405}),
    ],
)
def test_ray_takes_jobs_of_who_has_the_token_and_of_no_page(
    case: str, headers: dict[str, str], wanted: set[int], ray_head: RayHead
) -> None:
    right = {"Authorization": f"Bearer {ray_head.token}"}
    assert post(f"{ray_head.address}/api/jobs/", {"entrypoint": "true"}, right | headers) in wanted


def basic(name: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("case", "headers", "wanted"),
    [
        ("right", {}, 200),
        ("none", {"Authorization": ""}, 401),
        ("wrong", {"Authorization": basic("gatesearch", "hunter2")}, 401),
        ("other", {"Authorization": basic("admin", "password1234")}, 401),
        ("host", {"Host": "evil.example"}, 403),
        ("origin", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_mlflow_takes_requests_of_its_own_account_and_its_own_pages_alone(
    case: str, headers: dict[str, str], wanted: int, tracking: tuple[str, Path], secrets: Path
) -> None:
    address, log = tracking
    right = {"Authorization": basic("gatesearch", (secrets / "tracking_password").read_text())}
    assert search(address, **(right | headers)) == wanted
    if case == "none":
        assert status(address) == 401, "its pages too"
    assert not any(path.read_text() in log.read_text() for path in secrets.iterdir())
