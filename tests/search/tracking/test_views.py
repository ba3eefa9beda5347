"""What an experiment says of its job: views of its runs, a note, and the best models."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from mirrored_jobs import finished_job, mirror_here
from written_jobs import INFO, WrittenJob

from search.journal.file import FileReader
from search.tracking.database import DATABASE
from search.tracking.follower import ExitCode
from search.tracking.mlflow_compat import NOTE_TAG, open_client
from search.tracking.registry import ExportedModel, example
from search.tracking.runs import JobRuns
from search.tracking.saved_view import VIEW_TAG
from search.tracking.state import MirrorState
from search.tracking.views import VIEWS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*")


def runs_of(job: WrittenJob) -> JobRuns:
    runs = JobRuns()
    for group in FileReader(job.folder / "job.journal").groups():
        runs.apply(group)
    return runs


def view(tags: dict[str, str], key: str) -> dict[str, Any]:
    """Unpack a view as MLflow's page does."""
    stored = json.loads(tags[f"{VIEW_TAG}{key}"])
    assert stored["name"] == VIEWS[key]
    packed = base64.b64decode(stored["state"].removeprefix("deflate;"))
    found: dict[str, Any] = json.loads(zlib.decompress(packed))
    return found


def test_views_show_the_search_until_replicates_are_scored_and_then_the_replicates(
    tmp_path: Path,
) -> None:
    job = WrittenJob(tmp_path / "vowels")
    for number in range(2):
        job.trial(f"search/lstm/{number}", config={"hidden_size": 8 + number})
    arms = view(runs_of(job).experiment_tags, "arms")
    assert arms["searchFilter"] == "tags.phase = 'search'"
    assert arms["groupBy"]["aggregateFunction"] == "max"
    assert arms["compareRunCharts"][0]["metricKey"] == "best_accuracy"
    job.confirm()
    tags = runs_of(job).experiment_tags
    arms = view(tags, "arms")
    assert arms["searchFilter"] == "tags.phase = 'confirm'"
    assert arms["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    assert arms["compareRunCharts"][0]["metricKey"] == "test_accuracy"
    (lines,) = view(tags, "settings")["compareRunCharts"]
    assert lines["selectedParams"] == ["arm", "hidden_size"]
    assert lines["selectedMetrics"][-1] == "arm_number"
    assert view(tags, "curves")["groupBy"]["groupByKeys"][0]["groupByData"] == "finalist"
    assert "0 is rnn, 1 is lstm" in tags[NOTE_TAG]


def test_a_trial_that_begins_is_named_by_arm_depth_size_and_number(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("search/lstm/17", config={"depth": 2, "hidden_size": 64})
    job.trial("search/any/3", config={"depth": 1, "hidden_size": 16})
    job.trial("confirm/lstm/4", finalist=17)
    names = {run.name for run in runs_of(job).changed.values()} - {"vowels"}
    assert names == {"lstm d2 h64 #17", "any lstm d1 h16 #3", "lstm d2 h8 #17 replicate 4"}


def test_each_epoch_has_its_learning_rate_and_what_is_known_of_gradients_and_speed(
    tmp_path: Path,
) -> None:
    job = WrittenJob(tmp_path / "vowels")
    sizes = {"test_sequences": 9, "train_sequences": 180}
    baseline = {"name": "majority", "validation": {}, "test": {}, **sizes}
    job.write({"record": "baselines", "baselines": [baseline], "time": job.tick()})
    job.trial("search/lstm/0", config={"schedule": "step", "decay_after": 1, "decay_factor": 0.5})
    report = {"record": "report", "key": "search/lstm/0", "generation": 1, "parameters": 100}
    point = {"train_loss": 1.0, "value": 0.5, "seconds": 0.5, "metrics": {"loss": 1.0}}
    epochs = [{**point, "epoch": n, "time": job.tick(), "gradient_norm": 2.0 * n} for n in (1, 2)]
    job.write({**report, "epochs": epochs})
    points = runs_of(job).changed["search/lstm/0"].points
    found = {(point.name, point.step): point.value for point in points}
    assert [found["learning_rate", step] for step in (1, 2)] == [1e-3, 5e-4]
    assert [found["gradient_norm", step] for step in (1, 2)] == [2.0, 4.0]
    assert found["sequences_per_second", 1] == 360
    assert found["flops_per_step", 0] == 200


def test_an_address_is_the_server_s_own_and_a_local_database_has_one_only_where_it_is_served() -> (
    None
):
    local = MirrorState("sqlite:///mlflow.db", "3")
    assert local.address("arms") is None
    there = local.address("arms", "http://127.0.0.1:5000")
    assert there is not None and there.startswith("http://127.0.0.1:5000/#/experiments/3/runs?")
    away = MirrorState("https://mlflow.example/base/", "7").address("arms", "http://127.0.0.1:1")
    assert away is not None and away.startswith("https://mlflow.example/base/#/experiments/7/")
    assert "viewStateShareKey=arms" in away
    assert MirrorState("https://mlflow.example").address("arms") is None


@pytest.mark.parametrize("server", ["javascript:alert(1)//https://", "file:///etc", "--help", ""])
def test_what_is_no_server_s_address_is_never_one_to_open(server: str) -> None:
    assert MirrorState(server, "7").address("arms", "http://127.0.0.1:1") is None


def test_views_name_a_metric_as_its_points_are_named(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    info = {**INFO, "metric": {"name": "F1 (macro)", "direction": "maximize"}}
    spec = {"name": "vowels", "arms": ["rnn"]}
    (job.folder / "job.journal").unlink()
    job.write({"record": "job", "spec": spec, "base": "/", "task": info})
    job.driver()
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 1)
    job.end("search/rnn/0")
    runs = runs_of(job)
    shown = view(runs.experiment_tags, "arms")["compareRunCharts"][0]["metricKey"]
    assert shown in {point.name for point in runs.changed["search/rnn/0"].points}


def test_finished_job_is_in_the_registry_once_and_can_be_rebuilt(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = finished_job(root / "vowels", tmp_path_factory.mktemp("trained")).folder
    assert mirror_here(folder) == mirror_here(folder) == ExitCode.COMPLETE
    client = open_client(f"sqlite:///{root / DATABASE}")
    experiment = client.get_experiment_by_name("gatesearch/vowels")
    first = client.search_runs([experiment.experiment_id])
    assert mirror_here(folder, rebuild=True) == ExitCode.COMPLETE
    again = client.search_runs([experiment.experiment_id])
    assert len(again) == len(first) == 10
    assert not {run.info.run_id for run in first} & {run.info.run_id for run in again}
    versions = client.search_model_versions("name = 'gatesearch-vowels'")
    assert sorted(version.tags["arm"] for version in versions) == ["lstm", "rnn"]
    aliases = client.get_registered_model("gatesearch-vowels").aliases
    assert set(aliases) == {"champion", "champion-lstm", "champion-rnn"}
    assert aliases["champion"] == aliases["champion-lstm"]
    assert {VIEW_TAG + key for key in VIEWS} < set(experiment.tags)
    files = {path.name for path in (root / "mlartifacts").rglob("*") if path.is_file()}
    assert {"MLmodel", "model.onnx", "input_example.json", "arms.csv", "report.html"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pth"))]
    model = ExportedModel.read(folder / "models" / "lstm" / "model.onnx")
    assert example(model)["lengths"].tolist() == [8, 4]


def test_a_note_that_people_have_edited_stays_theirs(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/lstm/0")
    assert mirror_here(job.folder) == ExitCode.COMPLETE
    client = open_client(f"sqlite:///{root / DATABASE}")
    experiment = client.get_experiment_by_name("gatesearch/vowels").experiment_id
    client.set_experiment_tag(experiment, NOTE_TAG, "Ours.")
    job.confirm()
    assert mirror_here(job.folder) == ExitCode.COMPLETE
    tags = client.get_experiment(experiment).tags
    assert tags[NOTE_TAG] == "Ours."
    assert view(tags, "arms")["searchFilter"] == "tags.phase = 'confirm'"
