"""Times of finalists are measured once all is trained, in turn, and shown with their path."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from driven import INFO, Workers, job, told

from search.job.spec import JobSpec
from search.journal.open import open_journal
from search.journal.trial import AloneTimes
from search.report.page import write_report
from search.results.parquet import write_parquet
from search.results.read import read_results
from search.results.summarise import compare
from search.run.alone import measure_finalists
from search.run.driver import Driver
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.training import cost, latency


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MIN_ROUNDS", 2)
    monkeypatch.setattr(latency, "MAX_ROUNDS", 2)
    monkeypatch.setattr(cost, "MIN_ROUNDS", 2)
    monkeypatch.setattr(cost, "MAX_ROUNDS", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    loaded = tasks.load(job(folder).task, folder)
    return replace(loaded, info=INFO)


def wanted(folder: Path, seeds: int = 1) -> JobSpec:
    return job(
        folder,
        arms=["rnn", "lstm"],
        space={"hidden_size": 8, "depth": 1},
        search={"trials": 3, "pruner": "none"},
        confirm={"finalists": 2, "seeds": seeds},
    )


def run(folder: Path, data: Data, seeds: int = 1) -> JobSpec:
    """Drive a job to the end of its trials, and measure its finalists."""
    spec = wanted(folder, seeds)
    with open_journal(spec, folder) as journal:
        driver = Driver(spec, INFO, journal)
        Workers(driver).run()
        measure_finalists(driver, data)
    return spec


def test_every_finalist_and_nothing_else_gets_its_times(tmp_path: Path, data: Data) -> None:
    threads = torch.get_num_threads()
    run(tmp_path, data)
    assert torch.get_num_threads() == threads
    trials = told(tmp_path).trials.values()
    measured = [trial for trial in trials if trial.alone is not None]
    finalists = {(trial.arm, trial.finalist) for trial in trials if trial.phase == "confirm"}
    assert {(trial.arm, trial.number) for trial in measured} == finalists
    assert len(finalists) == 4
    for trial in measured:
        assert isinstance(trial.alone, AloneTimes)
        assert trial.alone.batch_64_ms and trial.alone.batch_1_ms > 0
        assert trial.alone.epoch_seconds
        assert trial.alone.peak_bytes != 0, (
            "so small a model may not be seen, and none takes nothing"
        )
        assert trial.alone.training_path == "engine/cpu/float32"
        assert (trial.alone.path, trial.alone.threads) == ("engine/cpu/float32", 1)


def test_what_is_measured_already_is_not_measured_again(tmp_path: Path, data: Data) -> None:
    spec = run(tmp_path, data)
    with open_journal(spec, tmp_path) as journal:
        driver = Driver(spec, INFO, journal)
        before = (tmp_path / "job.journal").read_bytes()
        measure_finalists(driver, data)
        assert (tmp_path / "job.journal").read_bytes() == before
        driver.job_state.trials["search/rnn/0"].alone = None
        driver.job_state.trials["search/rnn/1"].alone = None
        driver.job_state.trials["search/rnn/2"].alone = None
        measure_finalists(driver, data)
    added = (tmp_path / "job.journal").read_bytes().removeprefix(before)
    assert added.count(b'"record":"alone"') == 4, "only times that were taken in turn compare"


def test_a_job_without_replicates_has_no_finalists_to_measure(tmp_path: Path, data: Data) -> None:
    run(tmp_path, data, seeds=0)
    assert all(trial.alone is None for trial in told(tmp_path).trials.values())


def test_times_are_shown_wherever_finalists_are_compared(tmp_path: Path, data: Data) -> None:
    run(tmp_path, data)
    results = read_results(tmp_path)
    figures = compare(results)
    arms = json.loads(json.dumps(figures.as_dict(), allow_nan=False))["arms"]
    for arm in arms:
        for finalist in arm["finalists"]:
            assert finalist["alone"].keys() == {field.name for field in fields(AloneTimes)}
    (sentence,) = (each for each in figures.findings if each.startswith("Costs of the arms"))
    assert "compiled engine, cpu, float32" in sentence
    write_report(results, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for column in ("one sequence", "each of 64 at once", "an epoch of training", "memory"):
        assert column in page
    write_parquet(results, tmp_path / "results.parquet")
