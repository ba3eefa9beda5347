"""A limit of latency: measured once, never trained beyond, learned from, and no endless search."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told
from optuna.trial import TrialState as OptunaState
from rich.console import Console
from stored_studies import stored_studies

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.open import open_reader
from search.journal.replay import TrialState
from search.report.page import write_report
from search.report.tables import trial_rows
from search.results.read import read_results
from search.results.summarise import compare
from search.run import session
from search.run.budgets import MAX_UNPRODUCTIVE
from search.run.driver import Driver
from search.run.warm_start import find
from search.study.optuna_compat import LATENCY_CONSTRAINT
from search.study.prior_trials import Prior
from search.tracking.runs import JobRuns
from spaces.errors import InputError
from trainables.worker.messages import TrialAssignment, TrialReport

SPACE = {
    "hidden_size": {"low": 4, "high": 120},
    "depth": 1,
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
}
LIMIT = 2.0


def latency(work: TrialAssignment) -> float:
    """Return milliseconds that grow with the model: the limit is met up to 20 units of 4 to 120."""
    return float(work.config.hidden_size) / 10


def wide(work: TrialAssignment, epoch: int) -> float:
    """Return a value that a wider model has more of, so that the limit is in the way."""
    return float(work.config.hidden_size) / 200


def limited(folder: Path, limit: float | None = LIMIT, **changes: Any) -> JobSpec:
    search = {"constraints": {"latency_ms": limit}, "trials": 30} | changes.pop("search", {})
    known: dict[str, Any] = {"arms": ["lstm"], "space": SPACE, "training": {"max_epochs": 3}}
    return job(folder, **{**known, "confirm": {"seeds": 1}, **changes}, search=search)


def run(folder: Path, **changes: Any) -> list[TrialState]:
    job_state = drive(limited(folder, **changes), folder, latency=latency, value=wide)
    return job_state.arm("lstm", "search")


def over(entries: list[TrialState]) -> list[TrialState]:
    return [entry for entry in entries if entry.latency_ms is not None and entry.latency_ms > LIMIT]


@pytest.mark.parametrize("pruner", ["none", "successive-halving", "median", "hyperband"])
@pytest.mark.parametrize("objectives", [["value"], ["value", "parameters", "seconds"]])
def test_what_is_over_the_limit_is_never_trained_and_counts_as_a_trial(
    tmp_path: Path, pruner: str, objectives: list[str]
) -> None:
    entries = run(tmp_path, search={"pruner": pruner, "objectives": objectives})
    assert len(entries) == 30
    slow = over(entries)
    assert slow and any(entry.control for entry in slow)
    for entry in entries:
        assert entry.latency_ms == latency(TrialAssignment(entry.key, 1, entry.config, 0, None))
        assert (entry in slow) is (entry.config.hidden_size > 20)
        assert (entry in slow) is (entry.epoch == 0)
    for entry in slow:
        assert (entry.state, entry.value, entry.seconds) == ("pruned", None, 0.0)
        assert entry.parameters == 100 and not entry.checkpoints
        assert entry.reason is not None and "over the limit of 2 ms" in entry.reason


def test_finalists_have_met_the_limit_and_are_not_measured_again(tmp_path: Path) -> None:
    wanted = limited(tmp_path)
    with FileJournal(tmp_path / "job.journal") as journal:
        workers = Workers(Driver(wanted, INFO, journal), latency=latency, value=wide)
        workers.run()
    assert workers.measured == [f"search/lstm/{n}" for n in range(30)]
    (replicate,) = told(tmp_path).arm("lstm", "confirm")
    assert replicate.config.hidden_size <= 20 and replicate.latency_ms is None


def test_without_a_limit_nothing_is_measured(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        workers = Workers(Driver(limited(tmp_path, None), INFO, journal))
        workers.run()
    assert not workers.measured


def test_a_trial_is_measured_once_whatever_becomes_of_its_worker(tmp_path: Path) -> None:
    """The journal's figure holds after a retry and after another driver has taken over."""
    wanted = limited(tmp_path, search={"control_fraction": 1})
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        work = driver.next()
        assert work is not None and work.measure_latency
        assert driver.report(TrialReport(work.key, 1, [], parameters=7, latency_ms=1.5))
        driver.worker_lost(work.key, "its worker was killed")
        again = driver.next()
        assert again is not None and again.key == work.key and not again.measure_latency
    with FileJournal(tmp_path / "job.journal") as journal:
        taken_over = Driver(wanted, INFO, journal).next()
        assert (
            taken_over is not None and taken_over.key == work.key and not taken_over.measure_latency
        )
    assert told(tmp_path).trials[work.key].latency_ms == 1.5


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsgaii"])
def test_a_resumed_job_goes_on_as_an_undisturbed_one(tmp_path: Path, sampler: str) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    wanted = limited(
        tmp_path,
        space={**SPACE, "dropout": {"low": 0.0, "high": 0.5}},
        search={"sampler": sampler},
    )

    def trials(folder: Path) -> dict[str, dict[str, Any]]:
        job_state = drive(wanted, folder, latency=latency, value=wide)
        return {
            key: asdict(entry) | {"checkpoints": len(entry.checkpoints)}
            for key, entry in job_state.trials.items()
        }

    undisturbed = trials(whole)
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for kept in range(3, len(lines), len(lines) // 6):
        (again / "job.journal").write_bytes(b"".join(lines[:kept]))
        assert trials(again) == undisturbed


def test_optuna_is_told_pruned_without_a_value_and_the_excess_as_a_constraint(
    tmp_path: Path,
) -> None:
    entries = run(tmp_path)
    (trials,) = stored_studies(tmp_path).values()
    slow = {entry.number for entry in over(entries)}
    for trial, entry in zip(trials, entries, strict=True):
        assert entry.latency_ms is not None
        assert trial.system_attrs[LATENCY_CONSTRAINT] == entry.latency_ms - LIMIT
        assert (max(trial.constraints.values()) > 0) is (trial.number in slow)
        if trial.number in slow:
            assert (trial.state, trial.values) == (OptunaState.PRUNED, None)
            assert not trial.intermediate_values


@pytest.mark.parametrize(
    ("sampler", "objectives", "pruner"),
    [
        ("tpe", ["value"], "none"),
        ("tpe", ["value"], "successive-halving"),
        ("tpe", ["value", "parameters"], "none"),
        ("tpe", ["value", "parameters"], "successive-halving"),
        ("gp", ["value"], "successive-halving"),
        pytest.param("gp", ["value", "parameters"], "none", marks=pytest.mark.slow),
        ("cmaes", ["value"], "none"),
    ],
)
def test_samplers_learn_to_keep_the_limit(
    tmp_path: Path, sampler: str, objectives: list[str], pruner: str
) -> None:
    """Though better values lie beyond it, far more of the later suggestions meet it than chance."""
    trials = 20 if sampler == "gp" else 60
    search = {"trials": trials, "sampler": sampler, "objectives": objectives}
    search |= {"pruner": pruner, "control_fraction": 0.0}
    entries = run(tmp_path, search=search)
    later = entries[trials // 2 :]
    by_chance = (20 - 4) / (120 - 4)
    assert len(later) - len(over(later)) > 2 * by_chance * len(later)


@pytest.mark.parametrize("budget", [{"trials": 1000}, {"worker_seconds": 10}, {"epochs": 1000}])
def test_an_arm_that_nothing_of_meets_the_limit_ends(
    tmp_path: Path, budget: dict[str, int]
) -> None:
    job_state = drive(limited(tmp_path, search={"trials": None, **budget}), tmp_path, latency=slow)
    assert len(job_state.trials) == MAX_UNPRODUCTIVE
    assert {entry.state for entry in job_state.trials.values()} == {"pruned"}
    figures = compare(read_results(tmp_path))
    (caution,) = (each for each in figures.cautions if "took longer than" in each)
    assert "lstm: 100 of 100 trials took longer than 2 ms" in caution
    assert "the fastest took 4.4 ms" in caution and "higher search.constraints" in caution


def slow(work: TrialAssignment) -> float:
    return 4 + latency(work)


def test_an_arm_goes_on_as_long_as_something_meets_the_limit_now_and_then(tmp_path: Path) -> None:
    def rarely(work: TrialAssignment) -> float:
        return 1.0 if work.key.endswith("90") else 9.0

    wanted = limited(tmp_path, search={"trials": 300})
    job_state = drive(wanted, tmp_path, latency=rarely)
    assert len(job_state.arm("lstm", "search")) == 300


def test_the_end_of_a_job_tells_which_arm_was_too_slow_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: driven\n")
    drive(limited(tmp_path, search={"trials": 5}), tmp_path, latency=slow)
    console = Console(file=io.StringIO(), width=400)
    session.show(session.conclude(tmp_path), tmp_path, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "lstm: 5 of 5 trials took longer than 2 ms for one sequence" in said
    assert "search.constraints.latency_ms" in said


def test_results_and_report_tell_latency_and_reason(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: driven\n")
    run(tmp_path)
    found = read_results(tmp_path)
    plain = [record.as_dict() for record in found.search]
    assert all(row["latency_ms"] > 0 for row in plain)
    assert sum("over the limit" in (row["reason"] or "") for row in plain) == len(
        [row for row in plain if row["latency_ms"] > LIMIT]
    )
    table = trial_rows(found)
    column = table["head"].index("latency ms")
    assert [row[column] for row in table["rows"]] == [record.latency_ms for record in found.trials]
    write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "took longer than 2 ms for one sequence and were not trained" in page


def test_mlflow_gets_latency_and_reason(tmp_path: Path) -> None:
    entries = run(tmp_path)
    runs = JobRuns()
    for group in open_reader(tmp_path).groups():
        runs.apply(group)
    for entry in entries:
        mlflow_run = runs.changed[entry.key]
        (point,) = (point for point in mlflow_run.points if point.name == "latency_ms")
        assert (point.value, point.step) == (entry.latency_ms, 0)
        if entry in over(entries):
            assert mlflow_run.tags["state"] == "pruned" and mlflow_run.status == "FINISHED"
            assert mlflow_run.tags["reason"] == entry.reason


def test_a_warm_start_takes_over_what_was_too_slow(tmp_path: Path) -> None:
    """A job with a limit learns from latencies; one without passes over what was never trained."""
    former = tmp_path / "former"
    former.mkdir()
    (former / "job.yaml").write_text("name: former\n")
    entries = run(former)
    search = {"warm_start": "former", "sampler": "gp", "trials": 6}
    for limit, kept in ((LIMIT, 30), (None, 30 - len(over(entries)))):
        wanted = limited(tmp_path, limit, search=search)
        found = find(wanted, INFO, tmp_path)
        assert len(found["lstm"]) == kept
        folder = tmp_path / f"job-{limit}"
        folder.mkdir()
        with FileJournal(folder / "job.journal") as journal:
            driver = Driver(wanted, INFO, journal, lambda found=found: Prior(found))  # type: ignore[misc]
            Workers(driver, latency=latency, value=wide).run()
        assert len(told(folder).arm("lstm", "search")) == 6


@pytest.mark.parametrize("limit", [0, -1, "fast", float("nan")])
def test_a_limit_that_is_no_time_is_refused(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(InputError, match=r"search\.constraints\.latency_ms"):
        limited(tmp_path, limit)
