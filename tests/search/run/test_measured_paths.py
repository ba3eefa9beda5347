"""Whatever shows a time says which path it was measured on: journal, results, MLflow, report."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from driven import drive, job, told

from search.journal.open import open_reader
from search.report.page import write_report
from search.results.parquet import write_parquet
from search.results.read import Results, read_results
from search.results.summarise import compare
from search.tracking.runs import JobRuns
from trainables.worker.messages import TrialAssignment

ENGINE, CARD = "engine/cpu/float32", "generated/NVIDIA H200/tf32"
IN_WORDS = "compiled engine, cpu, float32", "generated kernel, NVIDIA H200, tf32"


def of_arm(work: TrialAssignment) -> str:
    return CARD if work.config.cell == "lstm" else ENGINE


def search(folder: Path, **workers: object) -> Results:
    """Drive a small job of two arms and return its results."""
    drive(job(folder, arms=["rnn", "lstm"], search={"trials": 3}), folder, **workers)
    return read_results(folder)


def test_a_trial_s_path_is_in_the_journal_once_and_in_all_that_shows_it(tmp_path: Path) -> None:
    found = search(tmp_path, path=of_arm)
    runs, said = JobRuns(), []
    for group in open_reader(tmp_path).groups():
        runs.apply(group)
        said += [record["key"] for record in group if record.get("path")]
    assert sorted(said) == sorted(told(tmp_path).trials)
    write_parquet(found, tmp_path / "results.parquet")
    column = pq.read_table(tmp_path / "results.parquet").column("path").to_pylist()
    wanted = [CARD if trial.arm == "lstm" else ENGINE for trial in found.trials]
    assert [trial.as_dict()["path"] for trial in found.trials] == wanted == column
    assert [runs.changed[key].tags["path"] for key in told(tmp_path).trials] == wanted


def test_arms_of_different_paths_are_told_with_them(tmp_path: Path) -> None:
    found = search(tmp_path, path=of_arm)
    figures = compare(found)
    plain = figures.as_dict()
    assert {arm["name"]: arm["paths"] for arm in plain["arms"]} == {"rnn": [ENGINE], "lstm": [CARD]}
    (caution,) = (each for each in figures.cautions if "different paths" in each)
    assert caution.startswith(
        "Times of rnn and lstm were measured on different paths: "
        f"rnn on ({IN_WORDS[0]}); lstm on ({IN_WORDS[1]})."
    )
    write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert all(page.count(path) > 2 for path in IN_WORDS)  # sentence, table of times, trials


@pytest.mark.parametrize(
    ("path", "sentence"),
    [(ENGINE, f"all are of one path: {IN_WORDS[0]}."), (None, "cells take different code paths.")],
)
def test_one_path_of_all_arms_is_told_and_no_path_of_a_job_of_before(
    path: str | None, sentence: str, tmp_path: Path
) -> None:
    figures = compare(search(tmp_path, path=lambda work: path))
    assert not any("different paths" in each for each in figures.cautions)
    assert any(each.endswith(sentence) for each in figures.not_claimed)


def test_a_time_of_several_paths_and_a_latency_have_each_their_own(tmp_path: Path) -> None:
    """A trial on a card may train alone at first and in a cohort later."""
    asked: list[str] = []

    def path(work: TrialAssignment) -> str:
        asked.append(work.key)
        return {1: "torch/NVIDIA H200/float32", 2: ENGINE}.get(asked.count(work.key), CARD)

    limit = {"trials": 3, "constraints": {"latency_ms": 2}, "pruner": {"kind": "median"}}
    drive(job(tmp_path, arms=["lstm"], search=limit), tmp_path, path=path)
    results = read_results(tmp_path)
    trial = results.ranked()[0]
    assert (trial.latency_path, trial.path) == (
        "torch/NVIDIA H200/float32",
        f"{ENGINE} + {CARD}",
    )
    assert set(compare(results).arms[0].paths) >= {ENGINE, CARD}
