"""Claims about whole jobs on a real local Ray: files, exit codes, repetition, interruption."""

import json
import signal
import sqlite3
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from installed import (
    Address,
    alike,
    gatesearch,
    listening,
    records,
    running,
    session,
    wait_until,
)
from mlflow_content import comparable, database
from mlflow_server import running_server
from server_process import free_ports

from search.job.spec import JobSpec
from search.journal.file import FileReader
from search.tracking.database import DATABASE
from search.tracking.state import TO, mirror_state
from trainables.data import tasks

SMALL = """\
name: small
task: {name: japanese-vowels}
arms: [rnn, gru]
space:
  depth: 1
  hidden_size: {choices: [8, 16]}
  learning_rate: {low: 1e-3, high: 3e-2, log: true}
training: {max_epochs: 9}
search: {trials: 6, seed: 3}
confirm: {finalists: 1, seeds: 2}
resources: {max_concurrent: 1}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small job was run to its end."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "small.yaml").write_text(SMALL)
    gatesearch("run", "small.yaml", cwd=folder)
    return folder


def test_a_job_leaves_its_results_report_and_export(ran: Path) -> None:
    folder = ran / "runs" / "small"
    for name in ("job.yaml", "job.journal", "results.parquet", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    exported = {path.name for path in (folder / "best").iterdir()}
    assert {"config.yaml", "weights.safetensors", "model.onnx", "card.md"} <= exported
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]


def test_every_trial_is_listed_with_how_it_ended(ran: Path) -> None:
    listed = records(ran, "small")
    search = [r for r in listed if r["phase"] == "search"]
    assert [r["arm"] for r in search].count("rnn") == 6
    assert [r["arm"] for r in search].count("gru") == 6
    assert all(r["epochs"] == 9 for r in listed if r["state"] == "complete")
    assert all(r["state"] in ("complete", "pruned") for r in listed)
    confirm = [r for r in listed if r["phase"] == "confirm"]
    assert len(confirm) == 4
    assert all(0 < r["test"]["accuracy"] <= 1 for r in confirm)
    assert all(r["test"] is None for r in search), "test data is for the confirm phase alone"


def test_mlflow_has_one_run_for_each_trial_under_one_parent(ran: Path) -> None:
    with sqlite3.connect(ran / "runs" / "mlflow.db") as database:
        runs = database.execute(
            "SELECT t.value, COUNT(*) FROM tags t WHERE t.key = 'gatesearch.key' GROUP BY t.value"
        ).fetchall()
        parents = database.execute(
            "SELECT COUNT(DISTINCT value) FROM tags WHERE key = 'mlflow.parentRunId'"
        ).fetchone()
    listed = records(ran, "small")
    counts = dict(runs)
    for record in listed:
        key = f"{record['phase']}/{record['arm']}/{record['number']}"
        assert counts[key] == 1, key
        assert record["mlflow_run_id"]
    assert len({record["mlflow_run_id"] for record in listed}) == len(listed)
    assert parents == (1,)


def test_the_pages_that_compare_work_on_it(ran: Path) -> None:
    compared = json.loads(gatesearch("compare", "small", "--json", cwd=ran))
    assert {arm["name"] for arm in compared["arms"]} == {"rnn", "gru"}
    assert "rnn" in gatesearch("compare", "small", cwd=ran)


def test_every_number_of_the_report_comes_again_from_the_journal(ran: Path) -> None:
    folder = ran / "runs" / "small"
    paths = [folder / name for name in ("report.html", "verdict.json", "results.parquet")]
    page, verdict, _ = (path.read_bytes() for path in paths)
    rows = _trials(paths[2])
    for path in paths:
        path.unlink()
    assert "report.html" in gatesearch("report", "small", cwd=ran)
    assert (paths[0].read_bytes(), paths[1].read_bytes()) == (page, verdict)
    assert _trials(paths[2]) == rows


def _trials(path: Path) -> list[dict[str, Any]]:
    """The rows of results.parquet, without what MLflow's mirror adds a moment later."""
    return pyarrow.parquet.read_table(path).drop_columns(["mlflow_run_id"]).to_pylist()


def test_the_report_shows_the_numbers_of_its_files(ran: Path) -> None:
    folder = ran / "runs" / "small"
    page = (folder / "report.html").read_text()
    (pair,) = json.loads((folder / "verdict.json").read_text())["pairs"]
    ahead = max(pair["probability"], 1 - pair["probability"])
    assert f"<strong>{100 * ahead:.0f} % (" in page
    rows = _trials(folder / "results.parquet")
    for arm in ("rnn", "gru"):
        tests = [
            row["test_accuracy"] for row in rows if (row["phase"], row["arm"]) == ("confirm", arm)
        ]
        spread = f"{fmean(tests):.4f} ± {stdev(tests):.4f}"
        assert f"<strong>{spread}</strong>" in page


def test_mirror_to_fills_another_server_with_the_same_runs_once_and_the_answer_in_figures(
    ran: Path, tmp_path: Path
) -> None:
    def held(root: Path) -> dict[str, list[dict[str, Any]]]:
        found = comparable(database(root / DATABASE))
        for run in (run for several in found.values() for run in several):
            run["tags"].pop("gatesearch.folder", None)  # which a local database tells by its name
        return found

    with running_server(tmp_path, free_ports(1)[0]) as uri:
        for _ in range(2):
            assert "runs are in MLflow" in gatesearch("mirror", "small", "--to", uri, cwd=ran)
        experiment = mirror_state(ran / "runs" / "small", TO).experiment_id
        ids = {"experiment_ids": [experiment], "filter": "tags.`gatesearch.key` = 'job'"}
        request = urllib.request.Request(
            f"{uri}/api/2.0/mlflow/runs/search",
            json.dumps(ids).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (job,) = json.load(answer)["runs"]
    assert held(tmp_path) == held(ran / "runs")
    figures = {each["key"]: each["value"] for each in job["data"]["metrics"]}
    verdict = json.loads((ran / "runs/small/verdict.json").read_text())
    (pair,) = verdict["pairs"]
    of = f"{pair['first']} over {pair['second']}"
    assert figures[f"win_probability/{of}"] == pair["probability"]
    assert figures[f"difference/{of}"] == pytest.approx(pair["difference"])
    trials = records(ran, "small", "search")
    ended = Counter(trial["state"] for trial in trials)
    assert {state: figures[f"trials_{state}"] for state in ended} == ended
    spent = sum(trial["train_seconds"] for trial in trials)
    assert figures["training_seconds"] == pytest.approx(spent)


def test_a_finished_job_is_not_run_again(ran: Path) -> None:
    before = records(ran, "small")
    assert "is finished" in gatesearch("run", "small.yaml", cwd=ran)
    assert "is finished" in gatesearch("resume", "small", cwd=ran)
    assert records(ran, "small") == before


@pytest.mark.slow
def test_the_exported_job_file_gives_the_same_value_again(ran: Path) -> None:
    gatesearch("run", ran / "runs/small/best/config.yaml", "--root", "again", cwd=ran)
    (name,) = [
        path.name
        for path in (ran / "again").iterdir()
        if path.is_dir()
        if (path / "job.yaml").is_file()
    ]
    (again,) = json.loads(gatesearch("results", name, "--json", "--root", "again", cwd=ran))
    (first,) = [
        r
        for r in records(ran, "small")
        if r["phase"] == "search"
        if (r["arm"], r["seed"]) == (again["arm"], again["seed"])  # controls of arms share theirs
    ]
    assert first["value"] == again["value"]
    assert alike([again])[0]["points"] == alike([first])[0]["points"]


def test_predict_reads_raw_sequences(ran: Path) -> None:
    data = tasks.load(JobSpec.load(ran / "small.yaml").task, ran)
    split = data.validation
    np.savez(ran / "some.npz", x=split.x, lengths=split.lengths, y=split.y)
    out = gatesearch("predict", "runs/small/best", "some.npz", "--json", cwd=ran)
    assert len(json.loads(out)["predictions"]) == len(split)


def test_one_job_file_gives_the_same_results_twice_whatever_packages_lie_beside_it(
    ran: Path, tmp_path: Path
) -> None:
    for name in ("search", "spaces", "trainables"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a foreign package')\n")
    (tmp_path / "small.yaml").write_text(SMALL)
    gatesearch("run", "small.yaml", cwd=tmp_path)
    assert alike(records(tmp_path, "small")) == alike(records(ran, "small"))


def test_another_job_of_that_name_is_refused_and_changes_nothing(ran: Path) -> None:
    (ran / "other.yaml").write_text(SMALL.replace("trials: 6", "trials: 7"))
    before = (ran / "runs/small/job.journal").read_bytes()
    said = gatesearch("run", "other.yaml", cwd=ran, code=2)
    assert "job 'small' must be the one that is stored here" in said
    assert (ran / "runs/small/job.journal").read_bytes() == before


def test_refused_input_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SMALL.replace("depth: 1", "depht: 1"))
    said = gatesearch("run", "bad.yaml", cwd=tmp_path, code=2)
    assert "bad.yaml:5" in said
    assert "depth" in said
    assert {path.name for path in tmp_path.iterdir()} == {"bad.yaml"}


def test_an_arm_that_only_diverges_is_reported_with_exit_code_1(tmp_path: Path) -> None:
    hot = SMALL.replace("{low: 1e-3, high: 3e-2, log: true}", "3e38").replace(
        "max_epochs: 9", "max_epochs: 9, gradient_clip: null"
    )
    hot = hot.replace("trials: 6", "trials: 2")
    (tmp_path / "hot.yaml").write_text(hot)
    said = gatesearch("run", "hot.yaml", cwd=tmp_path, code=1)
    assert "no complete trial" in said
    listed = records(tmp_path, "small")
    assert {r["state"] for r in listed} == {"diverged"}
    assert len(listed) == 4


def test_a_package_that_comes_before_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text("")
    said = gatesearch("cells", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, code=2)
    assert "PYTHONPATH" in said


def journal_groups(folder: Path) -> int:
    path = folder / "runs/small/job.journal"
    return len(FileReader(path).read()) if path.exists() else 0


@pytest.mark.parametrize(
    "groups",  # test_kills.py kills at many random moments
    [pytest.param(3, marks=pytest.mark.slow), 12, pytest.param(30, marks=pytest.mark.slow)],
)
def test_a_killed_job_resumes_to_the_same_results(ran: Path, tmp_path: Path, groups: int) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    with running("run", "small.yaml", cwd=tmp_path):
        wait_until(lambda: journal_groups(tmp_path) >= groups, f"the journal has {groups} groups")
    gatesearch("resume", "small", cwd=tmp_path)
    assert alike(records(tmp_path, "small")) == alike(records(ran, "small"))


@dataclass(frozen=True)
class Interrupted:
    """A job that was interrupted while it trained."""

    folder: Path
    code: int
    listened: set[Address]  #: where its processes took connections before


@pytest.fixture(scope="module", params=["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def interrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "small.yaml").write_text(SMALL)
    with running("run", "small.yaml", cwd=folder) as process:
        wait_until(lambda: journal_groups(folder) >= 5, "the job trains")
        listened = listening(session(process.pid))
        process.send_signal(getattr(signal, request.param))
        return Interrupted(folder, process.wait(timeout=60), listened)


def test_nothing_listens_beyond_loopback_while_a_job_runs(interrupted: Interrupted) -> None:
    """Ray's switch for it is undocumented and may vanish."""
    assert interrupted.listened, "Ray's own processes listen somewhere"
    assert {address for address in interrupted.listened if not address.is_loopback} == set()


def test_an_interrupted_job_ends_cleanly_and_resumes(ran: Path, interrupted: Interrupted) -> None:
    assert interrupted.code == 130
    said = (interrupted.folder / "output.log").read_text()
    assert "gatesearch resume" in said
    assert "Traceback" not in said
    gatesearch("resume", "small", cwd=interrupted.folder)
    assert alike(records(interrupted.folder, "small")) == alike(records(ran, "small"))
