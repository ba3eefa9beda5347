"""A job's runs in one MLflow: found, created and filled."""

import getpass
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from search.tracking import mlflow_compat
from search.tracking.database import ARTIFACTS, DATABASE, LOCAL_URI, prepare
from search.tracking.errors import LostError, RefusedError, ServerError, UnavailableError
from search.tracking.mlflow_compat import (
    MOST_ENTRIES,
    MOST_PARAMS,
    MOST_RUNS,
    PARENT_TAG,
    Fault,
)
from search.tracking.registry import CHAMPION, ExportedModel, register
from search.tracking.run import DataSet, MlflowRun
from search.tracking.state import JOB_KEY, StateFile
from search.tracking.stored import Stored, changed_tags, digest_of, with_signed_note
from spaces.text import mask
from trainables.files import replace_file

T = TypeVar("T")

_PARAMS = MOST_PARAMS // 2  # of one request, which is limited in bytes, too
_METRICS = MOST_ENTRIES - MOST_PARAMS  # of one request, in which params and tags have room as well
_KEY, _JOB, _POINTS = "gatesearch.key", "gatesearch.job_id", "gatesearch.points"
_FILE, _FOLDER = "gatesearch.file.", "gatesearch.folder"
_LOCAL_SCHEMES = ("", "file")
_CONNECTIONS = 4


class Server:
    """One job's runs in one MLflow.

    Creating a run is the one request that is not idempotent. It is therefore never repeated
    blindly: after a creation of unknown outcome, all runs of the job are looked up again by their
    tags. Where such a creation takes effect later still, `delete_surplus` deletes the second run.
    """

    def __init__(
        self,
        uri: str,
        root: Path,
        state: StateFile,
        open_client: Callable[[str], Any] = mlflow_compat.open_client,
    ) -> None:
        """Send nothing yet. root: the runs folder, which must be the working folder."""
        self.uri = uri
        self._root = root
        self._state = state
        self._open_client = open_client
        self._client: Any = None
        self._experiment: str | None = None
        self._experiment_tags: dict[str, str] = {}
        self._stored: dict[str, Stored] = {}  # by the run's key
        self._surplus_possible = False
        self._registered: set[Path] = set()
        #: How many requests may be under way at once: a local database takes one after the other.
        self.connections = 1 if uri.startswith("sqlite:") else _CONNECTIONS

    def connect(self, job: str, job_id: str) -> None:
        """Find or create the experiment and find the job's runs in it, unless that is done."""
        if self._experiment is not None:
            return
        if self._client is None:
            self._client = self._request(self._open)
        found = self._request(lambda: self._find_experiment(f"gatesearch/{job}", job))
        experiment, self._experiment_tags = str(found.experiment_id), dict(found.tags)
        self._find_runs(experiment, job_id)
        self._state.record_server(mask(self.uri), experiment)
        for key, stored in self._stored.items():
            self._state.record_run(key, stored.run_id)
        self._job, self._job_id, self._experiment = job, job_id, experiment

    @property
    def job_folder(self) -> str | None:
        """The folder that the job's runs were last sent from, as the mirror put it; see `claim`."""
        return self._stored[JOB_KEY].tags.get(_FOLDER) if self.has_job else None

    @staticmethod
    def claim(run: MlflowRun, folder: str) -> None:
        """Have the job's own run say which folder it is sent from."""
        run.tags[_FOLDER] = folder

    @property
    def has_job(self) -> bool:
        """Whether the job's own run, the parent of all others, is there."""
        return JOB_KEY in self._stored

    def send(self, run: MlflowRun, data: DataSet | None) -> None:
        """Bring one run in MLflow up to date, with as few requests as possible."""
        if run.key != JOB_KEY:
            run.tags[PARENT_TAG] = self._stored[JOB_KEY].run_id
        stored = self._stored.get(run.key) or self._create(run)
        if not run.running:
            run.tags[_POINTS] = str(run.point_count)
        tags = changed_tags(run.tags, stored.tags)
        if not tags and stored.status == run.status and not run.running:
            run.points, run.params = [], {}  # all of it was sent before
            return
        if run.running and stored.status != run.status:
            self._request(lambda: self._client.update_run(stored.run_id, run.status), stored)
            stored.status = run.status
        if data is not None and not stored.has_data and run.shows_data:
            self._send_data(stored, data)
        self._send_changes(run, stored, tags)
        if run.status != stored.status:
            end = run.ended
            self._request(
                lambda: self._client.set_terminated(stored.run_id, run.status, end), stored
            )
            stored.status = run.status

    def send_experiment(self, tags: dict[str, str]) -> None:
        """Bring the experiment's tags up to date: one request for each that has changed."""
        for name, text in changed_tags(tags, self._experiment_tags).items():
            self._request(
                lambda name=name, text=text: self._client.set_experiment_tag(  # type: ignore[misc]
                    self._experiment, name, text
                )
            )
            self._experiment_tags[name] = text

    def store_file(self, path: Path, folder: str | None = None) -> None:
        """Store a file with the job's run, unless the same content is there."""
        stored = self._stored[JOB_KEY]
        tag = _FILE + (f"{folder}/{path.name}" if folder else path.name)
        digest = digest_of(path.read_bytes())
        place = self._local_artifacts(stored.artifacts)
        copy = place and place / (folder or "") / path.name
        if stored.tags.get(tag) == digest and (copy is None or copy.exists()):
            return
        run_id = stored.run_id
        if copy is None:
            self._request(lambda: self._client.log_artifact(run_id, str(path), folder), stored)
        else:
            self._request(lambda: _store_copy(path, copy), stored)
        self._request(lambda: self._client.set_tag(run_id, tag, digest), stored)
        stored.tags[tag] = digest

    def register_model(self, path: Path, *, champion: bool) -> None:
        """Have the registry hold an arm's exported model; champion: it is the best of all."""
        if path in self._registered:
            return
        try:
            model = ExportedModel.read(path)
        except ValueError as error:
            raise RefusedError(str(error)) from error
        aliases = [f"{CHAMPION}-{model.arm}", *([CHAMPION] if champion else [])]
        trained = self._stored.get(f"search/{model.arm}/{model.metadata['trial']}")
        run_id = None if trained is None else trained.run_id
        experiment, job = self._experiment, self._job
        assert experiment is not None, "runs are sent before models"
        self._request(
            lambda: register(
                self._client, experiment, job, model, run_id, aliases, self._store_model
            )
        )
        self._registered.add(path)

    def _store_model(self, uri: str, folder: Path) -> bool:
        place = self._local_artifacts(uri)
        if place is not None:
            shutil.copytree(folder, place, dirs_exist_ok=True)
        return place is not None

    def delete_runs(self) -> None:
        """Delete the runs that were found, to be sent anew; the job's own last: it tells whose."""
        for key in sorted(self._stored, key=lambda key: key == JOB_KEY):
            run_id = self._stored[key].run_id
            self._request(lambda run_id=run_id: self._client.delete_run(run_id))  # type: ignore[misc]
            del self._stored[key]

    def delete_surplus(self) -> None:
        """Delete second runs of a trial, if there may be any."""
        if self._surplus_possible and self._experiment is not None:
            self._find_runs(self._experiment, self._job_id)

    def _open(self) -> Any:
        if self.uri == LOCAL_URI:
            prepare(self._root)
        return self._open_client(self.uri)

    def _create(self, run: MlflowRun) -> Stored:
        tags = with_signed_note(run.tags)
        tags |= {_KEY: run.key, _JOB: self._job_id, "gatesearch.job": self._job}
        tags |= {
            mlflow_compat.SOURCE_NAME_TAG: "gatesearch",
            mlflow_compat.SOURCE_TYPE_TAG: mlflow_compat.SOURCE_TYPE,
            mlflow_compat.USER_TAG: _user(),
        }
        experiment = self._experiment
        if experiment is None:
            raise UnavailableError("all runs of the job are looked up again first")
        try:
            made = self._request(
                lambda: self._client.create_run(
                    experiment, start_time=run.started, tags=tags, run_name=run.name
                )
            )
        except ServerError:
            # Whether the run was created is unknown: all runs are looked up again.
            self._experiment, self._surplus_possible = None, True
            raise
        stored = Stored.of(made)
        self._stored[run.key] = stored
        self._state.record_run(run.key, stored.run_id)
        return stored

    def _send_changes(self, run: MlflowRun, stored: Stored, tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(k, v) for k, v in run.params.items() if k not in stored.params]
        metrics = [Metric(p.name, p.value, p.time, p.step) for p in run.points]
        requests = max(-(-len(params) // _PARAMS), -(-len(metrics) // _METRICS), bool(tags))
        for i in range(requests):
            some_params = params[i * _PARAMS : (i + 1) * _PARAMS]
            some_metrics = metrics[i * _METRICS : (i + 1) * _METRICS]
            # Tags go last: they say that the points are complete.
            some_tags = [RunTag(k, v) for k, v in tags.items()] if i == requests - 1 else []
            self._send_batch(stored, some_metrics, some_params, some_tags)
        stored.tags |= tags
        stored.params |= run.params.keys()
        run.points, run.params = [], {}

    def _send_batch(
        self, stored: Stored, metrics: list[Any], params: list[Any], tags: list[Any]
    ) -> None:
        self._request(lambda: self._client.log_batch(stored.run_id, metrics, params, tags), stored)

    def _send_data(self, stored: Stored, data: DataSet) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data_set = Dataset(data.name, data.digest, "local", data.source, profile=data.profile)
        inputs = [DatasetInput(data_set, [InputTag(mlflow_compat.DATA_CONTEXT_TAG, "training")])]

        def send() -> None:
            self._client.log_inputs(stored.run_id, inputs)

        def send_twice() -> None:
            try:
                send()
            except Exception as error:
                if mlflow_compat.fault_of(error) is not Fault.DUPLICATE_ROW:
                    raise
                send()  # another mirror has created the data set in the meantime

        self._request(send_twice, stored)
        stored.has_data = True

    def _find_experiment(self, name: str, job: str) -> Any:
        """Return the job's experiment, which is created or restored where needed."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:"):
                # Without a path of this machine, so that the runs folder can be moved.
                location = f"{mlflow_compat.ARTIFACT_ROOT}{job}"
            tags = {mlflow_compat.EXPERIMENT_KIND_TAG: mlflow_compat.EXPERIMENT_KIND}
            try:
                self._client.create_experiment(name, location, tags)
            except Exception as error:
                if mlflow_compat.fault_of(error) is not Fault.EXISTS:
                    raise  # else another job was faster
            found = self._client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return found

    def _find_runs(self, experiment: str, job_id: str) -> None:
        """Look up all runs of the job, and delete those that are a second run of their trial."""
        found: dict[str, list[Stored]] = {}
        token = None
        while True:
            page = self._request(
                lambda token=token: self._client.search_runs(  # type: ignore[misc]
                    [experiment],
                    f"tags.`{_JOB}` = '{job_id}'",
                    max_results=MOST_RUNS,
                    page_token=token,
                )
            )
            for run in page:
                stored = Stored.of(run)
                found.setdefault(stored.tags.get(_KEY, ""), []).append(stored)
            token = page.token
            if not token:
                break
        recorded = dict(self._state.runs)
        recorded |= {key: stored.run_id for key, stored in self._stored.items()}
        self._stored = {}
        for key, runs in found.items():
            # First the one that was written to before, then by id, so that all mirrors agree.
            runs.sort(key=lambda run: (run.run_id != recorded.get(key), run.run_id))
            self._stored[key] = runs[0]
            for surplus in runs[1:]:
                self._request(lambda run=surplus: self._client.delete_run(run.run_id))  # type: ignore[misc]
        # A creation by a mirror that was killed may still be on its way.
        self._surplus_possible = self._surplus_possible or bool(found)

    def _local_artifacts(self, uri: str) -> Path | None:
        """Return the folder of a run's files, where this process writes them and no server does.

        Raises RefusedError for a place on this machine that the server, not we, has chosen.
        """
        scheme = urlsplit(uri).scheme
        if self.uri.startswith("sqlite:"):
            below = self._root / ARTIFACTS
            if uri.startswith(mlflow_compat.ARTIFACT_ROOT):
                try:
                    return below / mlflow_compat.path_below_root(uri)
                except ValueError as error:
                    raise RefusedError(str(error)) from error
            if scheme == "file" and not uri.startswith(below.as_uri() + "/"):
                raise RefusedError(
                    f"the experiment must store its files in {self._root}, not at {uri}: it was "
                    f"made elsewhere, by an earlier version. Move {DATABASE} away; mirrors of the "
                    "jobs make it again"
                )
        elif scheme in _LOCAL_SCHEMES:
            raise RefusedError(
                f"the server must be started with --serve-artifacts: it stores files at {uri}, "
                "which only it can reach"
            )
        return None

    def _request(self, request: Callable[[], T], stored: Stored | None = None) -> T:
        """Run one request. Raises UnavailableError, RefusedError or LostError.

        stored: the run that it concerns, if it concerns one.
        """
        try:
            return request()
        except Exception as error:
            fault, text = mlflow_compat.fault_of(error), mask(mlflow_compat.text_of(error))
            if fault is Fault.MISSING:
                raise LostError(text) from error
            if fault is Fault.REJECTED:
                raise (LostError if self._deleted(stored) else RefusedError)(text) from error
            if fault is Fault.TIMED_OUT:
                mlflow_compat.allow_more_time()
            raise UnavailableError(self._explain(fault, text)) from error

    def _explain(self, fault: Fault, text: str) -> str:
        """Return what a common fault means; the text of any other."""
        server = f"MLflow at {mask(self.uri)}"
        match fault:
            case Fault.NOT_LISTENING:
                return f"{server} does not answer: connection refused"
            case Fault.TIMED_OUT:
                return f"{server} does not answer in time"
            case Fault.DENIED:
                return (
                    f"{server} denies access: set MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
                )
            case _:
                return text

    def _deleted(self, stored: Stored | None) -> bool:
        """Return whether somebody has deleted a run, or the experiment."""
        try:
            if stored is not None:
                return bool(self._client.get_run(stored.run_id).info.lifecycle_stage != "active")
            if self._experiment is not None:
                found = self._client.get_experiment(self._experiment)
                return bool(found.lifecycle_stage != "active")
        except Exception as error:
            return mlflow_compat.fault_of(error) is Fault.MISSING
        return False


def _store_copy(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    replace_file(copy, path.read_bytes())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
