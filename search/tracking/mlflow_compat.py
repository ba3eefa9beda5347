"""Everything that the mirror relies on although MLflow's documentation does not promise it.

Each part has a test in tests/search/tracking/test_mlflow_compat.py, which runs a real store or a
real server and says what breaks when MLflow changes it. pyproject.toml admits the versions for
which the tests pass. MLflow is imported inside functions only: its import takes seconds.
"""

import gc
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

PARENT_TAG = "mlflow.parentRunId"  #: makes a run a child of another one on MLflow's pages
NOTE_TAG = "mlflow.note.content"  #: is shown as a run's description; people may edit it
SOURCE_NAME_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
USER_TAG = "mlflow.user"
EXPERIMENT_KIND_TAG = "mlflow.experimentKind"  #: chooses the pages that show an experiment
DATA_CONTEXT_TAG = "mlflow.data.context"

SOURCE_TYPE = "JOB"
EXPERIMENT_KIND = "custom_model_development"

# A store refuses or cuts what is longer or more.
LONGEST_NAME = 250  #: characters of the name of a metric, param or tag
LONGEST_PARAM = 6_000
LONGEST_TAG = 8_000
LONGEST_DATA_NAME = 500
LONGEST_DATA_SOURCE = 60_000
MOST_ENTRIES = 1_000  #: metrics, params and tags of one request, which may have 1 MB in all
MOST_PARAMS = 100  #: of one request
MOST_RUNS = 1_000  #: of one page of a search
#: What the name of a metric or param must not contain.
FORBIDDEN_IN_NAMES = re.compile(r"[^\w.\- :/]")

#: Where experiments of a local database store their files: behind the server that serves it, the
#: dashboard. It is what a server chooses by itself, and holds wherever the runs folder is moved to.
ARTIFACT_ROOT = "mlflow-artifacts:/"

HEALTH = "/health"  #: a server answers here as soon as it can serve
#: MLflow opens its pages for language models where an address does not choose.
PAGES = "/#/experiments?workflowType=machine_learning"

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_LONGEST_TIMEOUT = 160  # seconds
_CLIENT_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated request could create a second run
    _TIMEOUT: "20",  # seconds
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
SERVER_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # no worker processes, no second database
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONSAFEPATH": "1",  # nothing in the runs folder is imported
    "PYTHONWARNINGS": "ignore",
}
_PACKAGES = ("mlflow", "alembic", "sqlalchemy")  # those that shape, and log about, a database


class Fault(Enum):
    """Why a request failed."""

    MISSING = auto()  #: what it names does not exist
    EXISTS = auto()  #: what it creates exists already
    REJECTED = auto()  #: a value is invalid, or a run is deleted
    DENIED = auto()  #: user name, password or token is missing or wrong
    TIMED_OUT = auto()
    NOT_LISTENING = auto()  #: nothing accepts connections at the address
    DUPLICATE_ROW = auto()  #: another client has inserted the same row at the same moment
    OTHER = auto()


_ERROR_CODES = {
    "RESOURCE_DOES_NOT_EXIST": Fault.MISSING,
    "RESOURCE_ALREADY_EXISTS": Fault.EXISTS,
    "INVALID_PARAMETER_VALUE": Fault.REJECTED,
    "UNAUTHENTICATED": Fault.DENIED,  # HTTP status 401
    "CUSTOMER_UNAUTHORIZED": Fault.DENIED,
    "PERMISSION_DENIED": Fault.DENIED,  # HTTP status 403
}
#: Parts of messages, in lower case, of faults that have no error code of their own.
_MESSAGES = {
    "timed out": Fault.TIMED_OUT,
    "connection refused": Fault.NOT_LISTENING,
    "unique constraint": Fault.DUPLICATE_ROW,
}


def fault_of(error: Exception) -> Fault:
    """Return why a request to MLflow failed, from the exception that its client raised."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return Fault.OTHER
    if (fault := _ERROR_CODES.get(error.error_code)) is not None:
        return fault
    text = str(error.message).lower()
    return next((fault for part, fault in _MESSAGES.items() if part in text), Fault.OTHER)


def text_of(error: Exception) -> str:
    """Return the text of an exception that MLflow's client raised. It may contain secrets."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return str(error.message)
    return f"{type(error).__name__}: {error}"  # of what MLflow uses: requests, SQLAlchemy, boto3


@contextmanager
def environment() -> Iterator[None]:
    """Set what MLflow's client reads from the environment, for as long as the block runs."""
    before = {name: os.environ.get(name) for name in _CLIENT_ENVIRONMENT}
    os.environ.update(_CLIENT_ENVIRONMENT)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


def path_below_root(uri: str) -> PurePosixPath:
    """Return where a server that serves files would store what has a URI below ARTIFACT_ROOT.

    Raises ValueError where that would be outside.
    """
    path = PurePosixPath(unquote(urlsplit(uri).path)).relative_to("/")
    if ".." in path.parts:
        raise ValueError(f"{uri} leads out of the folder of files")
    return path


def allow_more_time() -> None:
    """Double the time that a request may take: a slow server could else never answer in time."""
    os.environ[_TIMEOUT] = str(min(2 * int(os.environ[_TIMEOUT]), _LONGEST_TIMEOUT))


def open_client(uri: str) -> Any:
    """Return an MlflowClient that has reached its store. Raises MlflowException."""
    with _nothing_collected():
        _import_quietly()
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # fails where the schema is of another version
    return client


def make_database(uri: str) -> None:
    """Make an SQLite database in which nothing is logged yet. It takes seconds."""
    _import_quietly()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # MlflowClient would store the path of the working folder as the default experiment's.
    SqlAlchemyStore(uri, ARTIFACT_ROOT).engine.dispose()  # type: ignore[no-untyped-call]


def database_version() -> str:
    """Return a text that differs between any two versions of what `make_database` makes."""
    return "-".join(["served", *(f"{name}-{version(name)}" for name in _PACKAGES)])


def server_command(
    uri: str, artifacts: str, host: str, port: int, origins: Sequence[str] = ()
) -> list[str]:
    """Return the command of a server over a database and a folder of artifacts.

    origins: http(s)://NAME[:PORT] under which browsers may open the pages; else those of loopback,
    and of private addresses as far as no page is sent anything.
    """
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", artifacts]
    if origins:
        hosts = [origin.partition("://")[2] for origin in origins]
        command += ["--allowed-hosts", ",".join(hosts)]
        command += ["--cors-allowed-origins", ",".join(origins)]
    return [*command, "--host", host, "--port", str(port)]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Have no garbage looked for in what the block makes, then and later.

    Looking takes a fifth of the processor time of MLflow's import, and finds little.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def _import_quietly() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401  its import sets the levels of its loggers
    for name in _PACKAGES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
