"""What the mirror relies on in MLflow without a promise: each test fails when MLflow changes it."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow_server import running_server
from server_process import free_ports

from search.tracking import mlflow_compat
from search.tracking.clean import clean_name
from search.tracking.database import DATABASE
from search.tracking.mlflow_compat import Fault, environment, fault_of, open_client, text_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*")


@pytest.fixture(autouse=True)
def client_environment() -> Iterator[None]:
    with environment():
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Iterator[tuple[str, Path]]:
    """A real server and its folder."""
    root = tmp_path_factory.mktemp("served")
    shutil.copy(schema, root / DATABASE)
    with running_server(root, free_ports(1)[0]) as uri:
        yield uri, root


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Any:
    """A client of an SQLite database."""
    root = tmp_path_factory.mktemp("local")
    shutil.copy(schema, root / DATABASE)
    return open_client(f"sqlite:///{root / DATABASE}")


@pytest.fixture(scope="module", params=["database", "server"])
def client(request: pytest.FixtureRequest) -> Any:
    """A client of each kind of store that a mirror writes to."""
    if request.param == "database":
        return request.getfixturevalue("local")
    return open_client(request.getfixturevalue("served")[0])


def new_run(client: Any, **tags: str) -> str:
    return str(client.create_run("0", tags=tags).info.run_id)


def failure(request: Callable[[], Any]) -> Exception:
    """The exception of a request that must fail."""
    try:
        request()
    except Exception as error:
        return error
    raise AssertionError("the request did not fail")


def write_to_deleted_run(client: Any) -> None:
    run_id = new_run(client)
    client.delete_run(run_id)
    client.set_tag(run_id, "name", "value")


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (lambda client: client.get_run("0" * 32), Fault.MISSING),
        (lambda client: client.get_experiment("123456"), Fault.MISSING),
        (lambda client: client.create_experiment("Default"), Fault.EXISTS),
        (lambda client: client.log_metric(new_run(client), "m", 1.0, -5), Fault.REJECTED),
        (write_to_deleted_run, Fault.REJECTED),
    ],
)
def test_error_code_says_what_is_wrong_with_a_request(
    client: Any, request_: Callable[[Any], None], fault: Fault
) -> None:
    assert fault_of(failure(lambda: request_(client))) is fault


def test_name_that_is_taken_by_a_deleted_experiment_is_reported_as_existing(client: Any) -> None:
    experiment = client.create_experiment("deleted")
    client.delete_experiment(experiment)
    assert client.get_experiment_by_name("deleted").lifecycle_stage == "deleted"
    assert fault_of(failure(lambda: client.create_experiment("deleted"))) is Fault.EXISTS
    client.restore_experiment(experiment)
    assert client.get_experiment_by_name("deleted").lifecycle_stage == "active"


def test_row_that_another_client_has_just_inserted_is_a_duplicate(
    tmp_path: Path, schema: Path
) -> None:
    from mlflow.entities import Dataset, DatasetInput

    shutil.copy(schema, tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute(
            "CREATE TRIGGER another BEFORE INSERT ON datasets BEGIN "
            "INSERT INTO datasets SELECT 'other', NEW.experiment_id, NEW.name, NEW.digest, "
            "NEW.dataset_source_type, NEW.dataset_source, NULL, NULL; END"
        )
    client = open_client(f"sqlite:///{tmp_path / DATABASE}")
    inputs = [DatasetInput(Dataset("name", "digest", "local", "{}"), [])]
    error = failure(lambda: client.log_inputs(new_run(client), inputs))
    assert fault_of(error) is Fault.DUPLICATE_ROW, text_of(error)


@contextmanager
def answering(status: int, requests: list[str]) -> Iterator[str]:
    """A proxy that answers every request with a status and a text."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"an answer of a proxy")

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "fault"),
    [(401, Fault.DENIED), (403, Fault.DENIED), (500, Fault.OTHER), (503, Fault.OTHER)],
)
def test_request_is_sent_once_and_a_denial_is_recognised(status: int, fault: Fault) -> None:
    requests: list[str] = []
    with answering(status, requests) as uri:
        error = failure(lambda: open_client(uri))
    assert fault_of(error) is fault, text_of(error)
    assert len(requests) == 1, "MLFLOW_HTTP_REQUEST_MAX_RETRIES must hold"


def test_address_at_which_nothing_listens_is_recognised() -> None:
    error = failure(lambda: open_client(f"http://127.0.0.1:{free_ports(1)[0]}"))
    assert fault_of(error) is Fault.NOT_LISTENING, text_of(error)


def test_server_that_does_not_answer_is_recognised_after_the_time_that_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(lambda: open_client(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert fault_of(error) is Fault.TIMED_OUT, text_of(error)
    mlflow_compat.allow_more_time()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "2"


def test_exception_that_mlflow_lets_through_is_described_with_its_type() -> None:
    assert fault_of(OSError("timed out")) is Fault.OTHER
    assert text_of(OSError("disk full")) == "OSError: disk full"


def test_environment_has_variables_that_mlflow_knows_and_is_restored() -> None:
    from mlflow import environment_variables

    with environment():
        inside = dict(os.environ)
    ours = {name for name in inside if name.startswith("MLFLOW_")}
    ours |= {name for name in mlflow_compat.SERVER_ENVIRONMENT if name.startswith("MLFLOW_")}
    assert len(ours) >= 6
    assert not {name for name in ours if not hasattr(environment_variables, name)}


def test_ending_a_run_of_a_server_prints_nothing(
    served: tuple[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    client = open_client(served[0])
    client.set_terminated(new_run(client), "FINISHED", 1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (mlflow_compat.PARENT_TAG, "MLFLOW_PARENT_RUN_ID"),
        (mlflow_compat.NOTE_TAG, "MLFLOW_RUN_NOTE"),
        (mlflow_compat.SOURCE_NAME_TAG, "MLFLOW_SOURCE_NAME"),
        (mlflow_compat.SOURCE_TYPE_TAG, "MLFLOW_SOURCE_TYPE"),
        (mlflow_compat.USER_TAG, "MLFLOW_USER"),
        (mlflow_compat.DATA_CONTEXT_TAG, "MLFLOW_DATASET_CONTEXT"),
    ],
)
def test_tag_is_the_one_that_mlflow_uses(ours: str, theirs: str) -> None:
    from mlflow.utils import mlflow_tags

    assert ours == getattr(mlflow_tags, theirs)


def test_parent_tag_makes_a_run_a_child(client: Any) -> None:
    parent = new_run(client)
    child = new_run(client, **{mlflow_compat.PARENT_TAG: parent})
    assert client.get_parent_run(child).info.run_id == parent
    assert client.get_parent_run(parent) is None


def test_source_type_is_one_of_mlflow_s() -> None:
    from mlflow.entities import SourceType

    assert SourceType.from_string(mlflow_compat.SOURCE_TYPE) == SourceType.JOB


@pytest.mark.parametrize(
    "text",
    [
        mlflow_compat.EXPERIMENT_KIND_TAG,
        mlflow_compat.EXPERIMENT_KIND,
        *mlflow_compat.PAGES.partition("?")[2].split("="),
    ],
)
def test_pages_know_what_chooses_between_them(text: str) -> None:
    import mlflow.server

    scripts = (Path(mlflow.server.__file__).parent / "js" / "build").rglob("*.js")
    assert any(text in script.read_text(encoding="utf-8") for script in scripts)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (mlflow_compat.MOST_ENTRIES, "MAX_ENTITIES_PER_BATCH"),
        (mlflow_compat.MOST_ENTRIES, "MAX_METRICS_PER_BATCH"),
        (mlflow_compat.MOST_PARAMS, "MAX_PARAMS_TAGS_PER_BATCH"),
    ],
)
def test_client_does_not_split_a_request_of_this_many(ours: int, theirs: str) -> None:
    from mlflow.utils import validation

    assert getattr(validation, theirs) == ours


def test_longest_name_is_stored_and_a_longer_one_refused(client: Any) -> None:
    run_id = new_run(client)
    longest = "m" * mlflow_compat.LONGEST_NAME
    client.log_metric(run_id, longest, 1.0)
    assert client.get_run(run_id).data.metrics == {longest: 1.0}
    assert (
        fault_of(failure(lambda: client.log_metric(run_id, f"{longest}m", 1.0))) is Fault.REJECTED
    )


def test_page_of_a_search_has_this_many_runs(client: Any) -> None:
    new_run(client)
    page = client.search_runs(["0"], max_results=mlflow_compat.MOST_RUNS)
    assert len(page) > 0
    assert not page.token


def test_longest_values_are_stored_whole(client: Any) -> None:
    from mlflow.entities import Dataset, DatasetInput

    run_id = new_run(client)
    client.log_param(run_id, "param", "é" * mlflow_compat.LONGEST_PARAM)
    client.set_tag(run_id, "tag", "é" * mlflow_compat.LONGEST_TAG)
    name, source = "n" * mlflow_compat.LONGEST_DATA_NAME, "s" * mlflow_compat.LONGEST_DATA_SOURCE
    client.log_inputs(run_id, [DatasetInput(Dataset(name, "d", "local", source), [])])
    run = client.get_run(run_id)
    assert run.data.params == {"param": "é" * mlflow_compat.LONGEST_PARAM}
    assert run.data.tags["tag"] == "é" * mlflow_compat.LONGEST_TAG
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.source) == (name, source)


@given(st.text(max_size=400))
def test_every_clean_name_is_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(clean_name(name))


def test_making_a_database_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    """MLflow has locked a file there that might belong to another user."""
    for name in ("runs", "temporary"):
        (tmp_path / name).mkdir()
    program = "from search.tracking.mlflow_compat import make_database as m; m('sqlite:///new.db')"
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "runs",
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        check=True,
        capture_output=True,
    )
    assert [path.name for path in tmp_path.rglob("*.*")] == ["new.db"]


def test_default_experiment_stores_its_files_behind_the_server(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    uri, root = served
    client = open_client(uri)
    assert client.get_experiment("0").artifact_location == f"{mlflow_compat.ARTIFACT_ROOT}0"
    (tmp_path / "note.txt").write_text("a file")
    run_id = new_run(client)
    client.log_artifact(run_id, str(tmp_path / "note.txt"))
    (found,) = root.rglob("note.txt")
    assert found == root / "mlartifacts" / "0" / run_id / "artifacts" / "note.txt"


def test_database_of_another_schema_is_refused(tmp_path: Path, schema: Path) -> None:
    shutil.copy(schema, tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    error = failure(lambda: open_client(f"sqlite:///{tmp_path / DATABASE}"))
    assert "schema" in text_of(error)


def test_server_answers_its_health_and_makes_no_second_database(
    served: tuple[str, Path],
) -> None:
    uri, root = served
    with urllib.request.urlopen(uri + mlflow_compat.HEALTH) as answer:
        assert answer.status == 200
    assert {path.name for path in root.iterdir()} <= {DATABASE, "mlartifacts"}
