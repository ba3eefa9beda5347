"""Claims about what stands beside a verdict: other intervals, other looks at the test data."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import job_text, made

from search.journal.base import decode, encode
from search.journal.trial import TrialResult
from search.report.page import write_report
from search.results.read import Results, read_results
from search.results.siblings import task_key
from search.results.summarise import compare
from trainables.checkpoints.local import LocalStore
from trainables.data.baselines import Baseline
from trainables.training.examples import Examples

TWO = "[lstm, gru]"
FINISHED = Path(__file__).resolve().parents[2] / "data" / "runs_before" / "finished"
EXAMPLES = 40


def of_design(folder: Path, design: str, **sizes: int) -> Results:
    text = job_text(TWO).replace("seeds: 10}", f"design: {design}, replicates: 10}}")
    baseline = Baseline("majority", {"accuracy": 0.1}, {"accuracy": 0.1}, **sizes)
    return replace(made(folder, text), baselines=(baseline,))


def scored(results: Results) -> Results:
    """The results with stored scores of test examples, and the test values that follow."""
    rng = np.random.default_rng(0)
    store = LocalStore(results.folder / "checkpoints")

    def with_scores(trial: TrialResult) -> TrialResult:
        if trial.phase != "confirm":
            return trial
        right = (rng.random(EXAMPLES) < (0.9 if trial.arm == "gru" else 0.6)).astype(np.int32)
        ones = np.ones(EXAMPLES)
        found = Examples(ones.astype(np.float32), ones.astype(np.int32), right)
        name = f"confirm-{trial.arm}-{trial.number}-g1-scores"
        with store.writing(name) as folder:
            sha256 = found.write(folder)
        test = found.metrics("classification", "accuracy")
        return replace(trial, test=test, scores={"name": name, "sha256": sha256})

    (results.folder / "checkpoints").mkdir()
    return replace(results, trials=[with_scores(trial) for trial in results.trials])


def test_design_splits_has_an_interval_that_resamples_the_test_examples(tmp_path: Path) -> None:
    results = scored(of_design(tmp_path, "splits"))
    comparison = compare(results)
    [pair] = comparison.verdict.pairs
    assert pair.resampled_interval is not None and pair.difference is not None
    low, high = pair.resampled_interval
    assert (low + high) / 2 == pytest.approx(pair.difference)
    assert pair.as_dict()["resampled_interval"] == [low, high]
    assert pair.seen_from("gru").resampled_interval == (-high, -low)
    page = tmp_path / "report.html"
    write_report(results, page, comparison)
    assert "examples resampled too" in page.read_text()


def test_a_page_takes_the_comparison_that_is_at_hand(tmp_path: Path) -> None:
    results = made(tmp_path)
    comparison = compare(results)
    other = replace(comparison, verdict=replace(comparison.verdict, sentence="It is at hand."))
    write_report(results, tmp_path / "report.html", other)
    assert "It is at hand." in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("broken", ["lost", "changed", "never stored"])
def test_without_all_scores_there_is_no_such_interval(tmp_path: Path, broken: str) -> None:
    results = scored(of_design(tmp_path, "splits"))
    some = next(trial for trial in results.trials if trial.scores is not None)
    assert some.scores is not None
    if broken == "never stored":
        trials = [replace(t, scores=None) if t is some else t for t in results.trials]
        results = replace(results, trials=trials)
    file = tmp_path / "checkpoints" / some.scores["name"] / "examples.npz"
    if broken == "changed":
        file.write_bytes(file.read_bytes() + b"x")
    if broken == "lost":
        shutil.rmtree(file.parent)
    [pair] = compare(results).verdict.pairs
    assert pair.resampled_interval is None


def test_a_design_whose_splits_overlap_has_an_interval_that_allows_for_it(tmp_path: Path) -> None:
    nested = of_design(tmp_path, "nested", test_sequences=100, search_sequences=300)
    assert nested.test_to_train == pytest.approx(1 / 3)
    for design, sizes in (
        ("nested", {"test_sequences": 100}),  # every split draws new data, or nobody knows
        ("splits", {"test_sequences": 100, "search_sequences": 300}),  # the test part stays
    ):
        place = tmp_path / f"{design}-other"
        place.mkdir()
        assert of_design(place, design, **sizes).test_to_train is None


def test_jobs_that_scored_the_same_test_data_are_told(tmp_path: Path) -> None:
    for name, fingerprint in (("one", "0" * 64), ("two", "0" * 64), ("apart", "1" * 64)):
        shutil.copytree(FINISHED, tmp_path / name)
        first, rest = (tmp_path / name / "job.journal").read_bytes().split(b"\n", 1)
        group = decode(first + b"\n")
        assert group is not None
        group[0]["task"]["fingerprint"] = fingerprint
        (tmp_path / name / "job.journal").write_bytes(encode(group) + rest)
    unscored = tmp_path / "searching"
    shutil.copytree(tmp_path / "one", unscored)
    lines = (unscored / "job.journal").read_bytes().split(b"\n")
    kept = [line for line in lines if b'"test":{' not in line]
    (unscored / "job.journal").write_bytes(b"\n".join(kept))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "job.journal").write_text("no journal\n")

    comparison = compare(read_results(tmp_path / "one"))
    assert comparison.also_scored == ("two",)
    assert any("1 other job in this folder of jobs has scored" in c for c in comparison.cautions)
    assert compare(read_results(tmp_path / "apart")).also_scored == ()


def test_the_seed_and_the_metric_make_no_other_task(tmp_path: Path) -> None:
    task = {"kind": "classification", "data": "a.npz", "seed": 0, "metric": None}
    key = task_key(task, tmp_path)
    assert task_key({**task, "seed": 5, "metric": "loss"}, tmp_path) == key
    assert task_key({**task, "data": str(tmp_path / "a.npz")}, Path("/elsewhere")) == key
    assert task_key(task, Path("/elsewhere")) != key
    assert task_key({**task, "kind": "regression"}, tmp_path) != key
    table = {**task, "data": {"file": "a.csv", "target": "y"}}
    other = {**task, "data": {"file": "a.csv", "target": "z"}}
    assert task_key(table, tmp_path) != task_key(other, tmp_path)
    assert task_key(table, tmp_path) != task_key(table, Path("/elsewhere"))
