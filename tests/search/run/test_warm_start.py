"""A job that starts warm learns from a prior one, once, and only learns."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bowl import BOWL, bowl, distance, told_of
from driven import INFO, Workers, drive, job, told
from optuna.trial import TrialState

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.journal.warm_start import WarmStart
from search.results.inheritance import objections
from search.results.read import read_results
from search.results.summarise import compare
from search.run.driver import Driver
from search.run.session import begin
from search.run.warm_start import find
from search.study.prior_trials import Prior
from spaces.errors import InputError
from spaces.kinds import Metric
from trainables.worker.messages import TrialAssignment

Diverges = Callable[[TrialAssignment, int], bool]
POOLED = {"name": "any", "cells": ["lstm", {"cell": "gru", "gates": ["reset-after", "light"]}]}


def run_prior(
    root: Path, name: str = "prior", diverges: Diverges = lambda work, epoch: False, **changes: Any
) -> None:
    plain = {"space": BOWL, "arms": ["lstm"], "confirm": {"seeds": 0}, "name": name} | changes
    (root / name).mkdir()
    (root / name / "job.yaml").touch()
    wanted = job(root, **plain, search={"trials": 40})
    drive(wanted, root / name, value=bowl, diverges=diverges)


def warm(root: Path, sampler: str = "tpe", **changes: Any) -> JobSpec:
    search = {"sampler": sampler, "warm_start": "prior", "trials": 8, "control_fraction": 0.0}
    plain = {"space": BOWL, "arms": ["lstm"], "confirm": {"seeds": 0}, "name": "new"} | changes
    search |= plain.pop("search", {})
    return job(root, **plain, search=search)


def run(wanted: JobSpec, root: Path, most_reports: int = 100_000) -> JobState:
    folder = root / wanted.name
    folder.mkdir(exist_ok=True)
    with FileJournal(folder / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal, lambda: Prior(find(wanted, INFO, root)))
        Workers(driver, value=bowl).run(most_reports)
    return told(folder)


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "cmaes"])
def test_a_warm_search_starts_near_the_prior_ones_best(tmp_path: Path, sampler: str) -> None:
    run_prior(tmp_path)
    average = {}
    for start in ("prior", None):
        name = f"new-{start or 'cold'}"
        wanted = warm(tmp_path, sampler, search={"warm_start": start}, name=name)
        trials = run(wanted, tmp_path).trials.values()
        average[start] = sum(distance(trial.config) for trial in trials) / len(trials)
    assert average["prior"] < 0.8 * average[None]


def test_a_prior_jobs_trials_count_for_nothing_else(tmp_path: Path) -> None:
    run_prior(tmp_path)
    job_state = run(warm(tmp_path, search={"pruner": "successive-halving"}), tmp_path)
    assert [trial.number for trial in job_state.arm("lstm", "search")] == [*range(8)]
    # The first to reach a rung is the best there: rungs begin empty.
    assert job_state.trials["search/lstm/0"].epoch > 1


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_resume_does_not_need_the_prior_job(tmp_path: Path, sampler: str) -> None:
    run_prior(tmp_path)
    wanted = warm(tmp_path, sampler)
    undisturbed = told_of(run(wanted, tmp_path))
    lines = (tmp_path / "new" / "job.journal").read_bytes().splitlines(keepends=True)
    shutil.rmtree(tmp_path / "prior")
    for length in (1, len(lines) // 2):
        (tmp_path / "new" / "job.journal").write_bytes(b"".join(lines[:length]))
        assert told_of(run(wanted, tmp_path)) == undisturbed


def test_without_a_prior_job_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must name a job in .*, not 'prior'"):
        begin(warm(tmp_path), INFO, tmp_path / "job.yaml", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_outside_the_new_space_is_left_out(tmp_path: Path) -> None:
    run_prior(tmp_path)
    narrow = {**BOWL, "dropout": {"low": 0.0, "high": 0.3}}
    found = find(warm(tmp_path, space=narrow), INFO, tmp_path)["lstm"]
    everything = find(warm(tmp_path), INFO, tmp_path)["lstm"]
    assert len(everything) == 40
    assert 0 < len(found) < 40
    assert all(trial.answers["dropout"] <= 0.3 for trial in found)
    assert {trial.state for trial in everything} == {"complete", "pruned"}


def test_a_pooled_arm_learns_which_cell_it_was(tmp_path: Path) -> None:
    run_prior(tmp_path, arms=[POOLED])
    found = find(warm(tmp_path, arms=[POOLED]), INFO, tmp_path)["any"]
    assert {trial.answers["cell"] for trial in found} == {"lstm", "gru"}
    gates = {trial.answers.get("gates[gru]") for trial in found}
    assert gates == {None, "reset-after", "light"}
    run(warm(tmp_path, arms=[POOLED]), tmp_path)


def test_a_diverged_trial_of_the_prior_job_is_shown_as_the_worst(tmp_path: Path) -> None:
    run_prior(tmp_path, diverges=lambda work, epoch: (work.key, epoch) == ("search/lstm/3", 2))
    wanted = warm(tmp_path)
    assert [t.state for t in find(wanted, INFO, tmp_path)["lstm"]].count("diverged") == 1
    (tmp_path / "new").mkdir()
    with FileJournal(tmp_path / "new" / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal, lambda: Prior(find(wanted, INFO, tmp_path)))
        shown = driver._studies["lstm"]._shown("window")
    bare = [t.number for t in shown if t.state == TrialState.PRUNED and not t.intermediate_values]
    assert bare == [3 - 40]


def test_another_number_of_epochs_is_no_obstacle(tmp_path: Path) -> None:
    run_prior(tmp_path)
    longer = warm(tmp_path, training={"max_epochs": 27})
    assert len(find(longer, INFO, tmp_path)["lstm"]) == 40


def test_from_how_many_trials_each_arm_learned_is_told(tmp_path: Path) -> None:
    """Also after a resume, which does not see the prior job any more."""
    run_prior(tmp_path, arms=["lstm", "gru"])
    wanted = warm(tmp_path, arms=["lstm", "gru"])
    run(wanted, tmp_path, most_reports=3)
    shutil.rmtree(tmp_path / "prior")
    run(wanted, tmp_path)
    (tmp_path / "new" / "job.yaml").touch()
    results = read_results(tmp_path / "new")
    assert results.warm_start == WarmStart("prior", {"lstm": 40, "gru": 40}, False)
    assert objections(results) == ()
    told_to_readers = compare(results).cautions
    assert (
        "The search started warm from job prior: lstm learned from 40 trials and gru from 40."
        in told_to_readers
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"search": {"warm_start": "prio"}}, "must name a job .*, not 'prio'.*did you mean prior"),
    ({"arms": ["lstm", "gru"]}, "job prior must have trials of an arm gru; it has lstm"),
    (
        {"space": {**BOWL, "hidden_size": 32}},
        "must lie in this arm's space; none of 40 does: hidden_size",
    ),
    (
        {"search": {"sampler": "random"}},
        "a sampler must learn from trials of a prior job; 'random' does not",
    ),
    ({"name": "prior"}, "must not start warm from itself"),
    (
        {"task": {"name": "japanese-vowels", "metric": "loss"}},
        "job prior must have measured loss .minimize., as this one does, not accuracy",
    ),
]


@pytest.mark.parametrize(("changes", "rule"), REFUSED)
def test_a_warm_start_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    run_prior(tmp_path)
    with pytest.raises(InputError, match=f"(?s){rule}") as refused:
        wanted = warm(tmp_path, **changes)
        info = INFO
        if "task" in changes:
            info = replace(INFO, metric=Metric("loss", "minimize"))
        find(wanted, info, tmp_path)
    assert all("search" in problem.place for problem in refused.value.problems)
    assert all(problem.remedy for problem in refused.value.problems)
