"""Fixtures that more than one package's tests take."""

import signal
from collections.abc import Iterator

import pytest
from ray_head import RayHead, running_head
from servers import S3, Postgres, running_postgres, running_s3

#: Shells start what they run in the background with SIGINT ignored, and children inherit that:
#: those that tests interrupt would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compiled_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of compiled code that the processes of this run share with nobody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def ray_head() -> Iterator[RayHead]:
    """A real Ray head on loopback with token auth, one for a module's tests."""
    with running_head() as head:
        yield head


@pytest.fixture(scope="session")
def server_of_databases() -> Iterator[Postgres]:
    """A real PostgreSQL server, one for all tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(server_of_databases: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The PostgreSQL server, with its password in the environment as a user sets it."""
    monkeypatch.setenv("PGPASSWORD", server_of_databases.password)
    return server_of_databases


@pytest.fixture(scope="session")
def server_of_buckets() -> Iterator[S3]:
    """A real S3 server, one for all tests."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(server_of_buckets: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The S3 server, with endpoint and credentials in the environment as a user sets them."""
    for name, value in server_of_buckets.environment.items():
        monkeypatch.setenv(name, value)
    return server_of_buckets
