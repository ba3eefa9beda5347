"""The MLflow side of the mirror: finds, makes and fills runs. Imports mlflow only when it connects.

ServerError             MLflow did not take it
    UnavailableError         not now: try again later
    RefusedError             not this: trying again would not help
    LostError                a run or the experiment has gone: begin again from the journal
"""

import fcntl
import hashlib
import logging
import os
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from search.tracking.runs import DataSet, Run
from search.tracking.state import JOB_KEY, Notes
from spaces.text import mask
from trainables.cache import Cache
from trainables.files import replace_file

T = TypeVar("T")

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
#: Relative, since the mirror and the dashboard work in the runs folder: neither SQLAlchemy nor
#: MLflow takes every path in a URI ("?" and "%" change its meaning).
LOCAL_URI = f"sqlite:///{DATABASE}"

#: Databases in which nothing was logged yet, one for each version of MLflow.
_EMPTY = Cache("mlflow", kept=2)

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated POST would make a second run: see Server
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_PAGE = 1_000  # runs a search request
_METRICS = 1_000  # a request; MLflow's limit
_PARAMS = 50  # a request; MLflow allows 100 of them, but 1 MB in all
_KEY, _JOB, _POINTS = "gatesearch.key", "gatesearch.job_id", "gatesearch.points"
_FILE = "gatesearch.file."
_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"
_LOCAL_SCHEMES = ("", "file")


class ServerError(Exception):
    """MLflow did not take it."""


class UnavailableError(ServerError):
    """Not now: the server is away, slow, busy or does not let us in."""


class RefusedError(ServerError):
    """Not this: the server would never take it."""


class LostError(ServerError):
    """A run or the experiment that was there has gone."""


@dataclass
class _Known:
    """What MLflow holds of a run."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str]
    has_data: bool
    artifacts: str


class Server:
    """One job's runs in one MLflow.

    Creating a run is the one thing that is not idempotent. It is therefore never repeated blindly:
    after a creation of unknown outcome, all runs of the job are looked up again by their tags, and
    should such a creation come true later still, the surplus run is deleted at the end.
    """

    def __init__(self, uri: str, root: Path, notes: Notes) -> None:
        """Connect lazily: nothing is sent yet. `root` is the runs folder and the working folder."""
        self.uri = uri
        self._root = root
        self._notes = notes
        self._client: Any = None
        self._experiment: str | None = None
        self._known: dict[str, _Known] = {}
        self._doubtful = False  # whether a surplus run may exist

    def connect(self, job: str, job_id: str) -> None:
        """Find or make the experiment and find the job's runs in it, if that is not done yet."""
        if self._experiment is not None:
            return
        if self._client is None:
            self._client = self._ask(lambda: _client(self.uri, self._root))
        experiment = self._ask(lambda: self._find_experiment(f"gatesearch/{job}", job))
        self._scan(experiment, job_id)
        self._notes.server(mask(self.uri), experiment)
        for key, known in self._known.items():
            self._notes.run(key, known.run_id)
        self._job, self._job_id, self._experiment = job, job_id, experiment

    @property
    def knows_job(self) -> bool:
        """Whether the job's own run is there, which is the parent of all others."""
        return JOB_KEY in self._known

    def tell(self, run: Run, data: DataSet | None) -> None:
        """Bring one run in MLflow up to date, with as few requests as possible."""
        if run.key != JOB_KEY:
            run.tags[_PARENT] = self._known[JOB_KEY].run_id
        known = self._known.get(run.key) or self._create(run)
        if run.status != "RUNNING":
            run.tags[_POINTS] = str(run.made)
        tags = {name: text for name, text in run.tags.items() if known.tags.get(name) != text}
        if _NOTE in known.tags:
            tags.pop(_NOTE, None)  # people may write into it
        if not tags and known.status == run.status != "RUNNING":
            run.points, run.params = [], {}  # all of it was told before
            return
        if run.status == "RUNNING" != known.status:
            self._ask(lambda: self._client.update_run(known.run_id, "RUNNING"), known)
            known.status = "RUNNING"
        if data is not None and not known.has_data:
            self._log_data(known, data)
        self._log(run, known, tags)
        if run.status != known.status:
            end = run.ended
            self._ask(lambda: self._client.set_terminated(known.run_id, run.status, end), known)
            known.status = run.status

    def attach(self, path: Path, folder: str | None = None) -> None:
        """Store a file with the job's run, unless it is there as it is."""
        known = self._known[JOB_KEY]
        name = f"{folder}/{path.name}" if folder else path.name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        if known.tags.get(_FILE + name) == digest:
            return
        self._check_artifacts(known.artifacts)
        self._ask(lambda: self._client.log_artifact(known.run_id, str(path), folder), known)
        self._ask(lambda: self._client.set_tag(known.run_id, _FILE + name, digest), known)
        known.tags[_FILE + name] = digest

    def settle(self) -> None:
        """Delete surplus runs, if there may be any."""
        if self._doubtful and self._experiment is not None:
            self._scan(self._experiment, self._job_id)

    def _create(self, run: Run) -> _Known:
        identity = {_KEY: run.key, _JOB: self._job_id, "gatesearch.job": self._job}
        tags = {**run.tags, **identity, "mlflow.source.name": "gatesearch"}
        tags |= {"mlflow.source.type": "JOB", "mlflow.user": _user()}
        try:
            made = self._ask(
                lambda: self._client.create_run(
                    self._experiment, start_time=run.started, tags=tags, run_name=run.name
                )
            )
        except ServerError:
            self._experiment, self._doubtful = None, True  # was it made or not? look again first
            raise
        known = _known(made)
        self._known[run.key] = known
        self._notes.run(run.key, known.run_id)
        return known

    def _log(self, run: Run, known: _Known, tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(k, v) for k, v in run.params.items() if k not in known.params]
        metrics = [Metric(p.name, p.value, p.time, p.step) for p in run.points]
        requests = max(-(-len(params) // _PARAMS), -(-len(metrics) // _METRICS), bool(tags))
        for i in range(requests):
            some_params = params[i * _PARAMS : (i + 1) * _PARAMS]
            some_metrics = metrics[i * _METRICS : (i + 1) * _METRICS]
            # Tags go last: they say that the points are complete.
            some_tags = [RunTag(k, v) for k, v in tags.items()] if i == requests - 1 else []
            self._send(known, some_metrics, some_params, some_tags)
        known.tags |= tags
        known.params |= run.params.keys()
        run.points, run.params = [], {}

    def _send(self, known: _Known, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        self._ask(lambda: self._client.log_batch(known.run_id, metrics, params, tags), known)

    def _log_data(self, known: _Known, data: DataSet) -> None:
        def log() -> None:
            self._client.log_inputs(known.run_id, [_data_set(data)])

        try:
            self._ask(log, known)
        except UnavailableError as error:
            if "unique constraint" not in str(error).lower():
                raise
            self._ask(log, known)  # another mirror made the data set's row at the same moment
        known.has_data = True

    def _find_experiment(self, name: str, job: str) -> str:
        """Return the id of the job's experiment, which is made, or taken back from the bin."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:"):
                location = (self._root / ARTIFACTS / job).as_uri()
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(self._client.create_experiment(name, location, tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(name)  # another job was faster
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _scan(self, experiment: str, job_id: str) -> None:
        """Look up all runs of the job and delete those that stand for a trial a second time."""
        found: dict[str, list[_Known]] = {}
        token = None
        while True:
            page = self._ask(
                lambda token=token: self._client.search_runs(  # type: ignore[misc]
                    [experiment],
                    f"tags.`{_JOB}` = '{job_id}'",
                    max_results=_PAGE,
                    page_token=token,
                )
            )
            for run in page:
                known = _known(run)
                found.setdefault(known.tags.get(_KEY, ""), []).append(known)
            token = page.token
            if not token:
                break
        noted = {**self._notes.runs, **{key: known.run_id for key, known in self._known.items()}}
        self._known = {}
        for key, runs in found.items():
            # The one that was written to before; by id where none was, so that all agree.
            runs.sort(key=lambda run: (run.run_id != noted.get(key), run.run_id))
            self._known[key] = runs[0]
            for surplus in runs[1:]:
                self._ask(lambda run=surplus: self._client.delete_run(run.run_id))  # type: ignore[misc]
        # A creation by a mirror that was killed may still be on its way.
        self._doubtful = self._doubtful or bool(found)

    def _check_artifacts(self, uri: str) -> None:
        """Refuse places on this machine that the server, not we, would have chosen."""
        scheme = urlsplit(uri).scheme
        if self.uri.startswith("sqlite:"):
            if scheme == "file" and not uri.startswith((self._root / ARTIFACTS).as_uri() + "/"):
                raise RefusedError(f"the experiment keeps its files outside {self._root}: {uri}")
        elif scheme in _LOCAL_SCHEMES:
            raise RefusedError(
                f"the server keeps files at {uri}, which only it can reach; "
                "start it with --serve-artifacts"
            )

    def _ask(self, request: Callable[[], T], known: _Known | None = None) -> T:
        """Run one request. Raises UnavailableError, RefusedError or LostError."""
        from mlflow.exceptions import MlflowException

        try:
            return request()
        except MlflowException as error:
            text = mask(str(error.message))
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise LostError(text) from error
            if error.error_code == "INVALID_PARAMETER_VALUE":
                if self._deleted(known):
                    raise LostError(text) from error
                raise RefusedError(text) from error
            if "timed out" in text:
                _more_patience()
            raise UnavailableError(self._plainly(text)) from error
        except Exception as error:  # what its stores let through: requests, SQLAlchemy, boto3, …
            raise UnavailableError(mask(f"{type(error).__name__}: {error}")) from error

    def _plainly(self, text: str) -> str:
        """Return what the most common faults mean, and other texts as they are."""
        server = f"MLflow at {mask(self.uri)}"
        if "Connection refused" in text:
            return f"{server} does not answer: connection refused"
        if "timed out" in text:
            return f"{server} does not answer in time"
        if "error code 401" in text or "error code 403" in text:
            return (
                f"{server} does not let us in: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        return text

    def _deleted(self, known: _Known | None) -> bool:
        """Return whether a run, or the experiment, has been deleted by somebody."""
        from mlflow.exceptions import MlflowException

        try:
            if known is not None:
                return bool(self._client.get_run(known.run_id).info.lifecycle_stage != "active")
            if self._experiment is not None:
                found = self._client.get_experiment(self._experiment)
                return bool(found.lifecycle_stage != "active")
        except MlflowException as error:
            return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")
        return False


@contextmanager
def environment() -> Iterator[None]:
    """Set what MLflow reads from the environment, for as long as the block runs."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


def prepare(root: Path) -> None:
    """Make the runs folder's database if there is none. The working folder must be `root`.

    It is made under another name and then moved into place, so that neither a second job's mirror
    nor a dashboard, nor a mirror after a kill, ever meets half a schema.
    """
    path = root / DATABASE
    if path.exists():
        return
    with (root / f".{DATABASE}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        new = Path(tempfile.mkdtemp(prefix=f".{DATABASE}-", dir=root))
        try:
            _make_database(new)
            (new / DATABASE).rename(path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _make_database(folder: Path) -> None:
    """Make an empty database in a folder under the working folder.

    MLflow takes seconds to bring one through all its schemas up to the present one, which is the
    same every time: so it is made once for each version and kept.
    """
    key = "-".join(f"{name}-{version(name)}" for name in ("mlflow", "alembic", "sqlalchemy"))
    if (empty := _EMPTY.load(key)) is not None:
        replace_file(folder / DATABASE, empty)
        with closing(sqlite3.connect(folder / DATABASE)) as database, database:
            # MLflow's own experiment, which we do not use, keeps its files beside the database.
            place = str(folder.resolve().parent / "mlruns" / "0")
            now = time.time_ns() // 1_000_000
            database.execute(
                "UPDATE experiments SET artifact_location = ?, creation_time = ?, "
                "last_update_time = ? WHERE experiment_id = 0",
                (place, now, now),
            )
        return
    from mlflow import MlflowClient

    before = tempfile.tempdir
    try:
        # MLflow locks a file in the temporary folder, named by the URI alone: in the shared
        # one it might belong to another user.
        tempfile.tempdir = str(folder)
        MlflowClient(f"sqlite:///{folder.name}/{DATABASE}").search_experiments(max_results=1)
    finally:
        tempfile.tempdir = before
    _EMPTY.store(key, (folder / DATABASE).read_bytes())


def _client(uri: str, root: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    for name in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if uri == LOCAL_URI:
        prepare(root)
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)  # an outdated schema is told here
    return client


def _known(run: Any) -> _Known:
    return _Known(
        run_id=run.info.run_id,
        status=run.info.status,
        tags=dict(run.data.tags),
        params=set(run.data.params),
        has_data=bool(run.inputs and run.inputs.dataset_inputs),
        artifacts=run.info.artifact_uri or "",
    )


def _data_set(data: DataSet) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data_set = Dataset(data.name, data.digest, "local", data.source, profile=data.profile)
    return DatasetInput(data_set, [InputTag("mlflow.data.context", "training")])


def _more_patience() -> None:
    """Double the time that a request may take: a slow server must not be asked for ever in vain."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    os.environ[name] = str(min(2 * int(os.environ[name]), 160))


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
