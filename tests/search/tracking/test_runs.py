"""How names, values and points become what MLflow takes."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_jobs import WrittenJob

from search.journal.file import FileReader
from search.tracking.clean import clean_name, clean_params
from search.tracking.mlflow_compat import FORBIDDEN_IN_NAMES, LONGEST_NAME
from search.tracking.run import MlflowRun
from search.tracking.runs import JobRuns


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, None, "much"])
def test_what_is_no_number_is_never_sent(value: Any) -> None:
    run = MlflowRun("key", "name", 0, {}, {})
    run.add("accuracy", value, 1, 1)
    assert run.points == []
    assert run.point_count == 0


def test_baselines_are_figures_of_the_jobs_own_run(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    metrics = {"validation": {"accuracy": 0.125, "loss": 2.0}, "test": {"accuracy": 0.25}}
    baselines = {"record": "baselines", "baselines": [{"name": "majority", **metrics}]}
    for _ in range(2):  # the second one says nothing new
        job.write(baselines | {"time": job.tick()})
    runs = JobRuns()
    for group in FileReader(job.folder / "job.journal").groups():
        runs.apply(group)
    assert runs.job is not None
    found = [(point.name, point.value, point.step) for point in runs.job.points]
    assert found == [
        ("baseline_majority", 0.125, 0),
        ("test_baseline_majority", 0.25, 0),
    ]


@pytest.mark.parametrize("arms", [[{"cell": "gru"}], [None, 3], {"lstm": {}}, 7, None])
def test_a_job_whose_arms_a_stranger_wrote_is_mirrored_all_the_same(
    arms: Any, tmp_path: Path
) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("search/lstm/0")
    runs = JobRuns()
    for group in FileReader(job.folder / "job.journal").groups():
        for record in group:
            if record["record"] == "job":
                record["spec"]["arms"] = arms
        runs.apply(group)
    assert "search/lstm/0" in runs.changed


def test_a_replicates_run_has_what_training_data_scored_beside_test_data(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("confirm/lstm/0")
    job.report("confirm/lstm/0", 1, 2)
    job.end("confirm/lstm/0", test={"accuracy": 0.75}, training={"accuracy": 1.0})
    job.trial("confirm/lstm/1")  # of a version that did not score training data
    job.report("confirm/lstm/1", 1, 2)
    job.end("confirm/lstm/1", test={"accuracy": 0.75})
    runs = JobRuns()
    for group in FileReader(job.folder / "job.journal").groups():
        runs.apply(group)
    now, before = (runs.changed[f"confirm/lstm/{number}"].points for number in range(2))
    scored = {point.name: point.value for point in now}
    assert scored["training_accuracy"] == 1.0 and scored["gap"] == 0.25
    assert {"training_accuracy", "gap"}.isdisjoint(point.name for point in before)


@given(st.text(max_size=400))
def test_clean_name_is_short_and_has_only_allowed_characters(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned) <= LONGEST_NAME
    assert not FORBIDDEN_IN_NAMES.search(cleaned)
    assert clean_name(cleaned) == cleaned


@given(st.sets(st.text(max_size=8), max_size=6))
def test_different_names_stay_different(names: set[str]) -> None:
    assert len(clean_params(dict.fromkeys(names))) == len(names)
