"""Every arm's first trial has the learning rate that literature and former jobs have good."""

import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, job, told
from rich.console import Console

from search.job.samplers import SAMPLERS
from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.journal.warm_start import LearnedRates
from search.results.inheritance import objections
from search.results.read import read_results
from search.results.summarise import compare
from search.results.terminal import comparison
from search.run.driver import Driver
from search.run.warm_start import inherit
from search.study.learning_rates import literature
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.tasks import TaskInfo
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.worker.messages import TrialAssignment

SPACE = {
    "depth": 1,
    "hidden_size": {"low": 8, "high": 64},
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "forget_bias": "default",
}
FINITE = SPACE | {"learning_rate": {"choices": [1e-4, 3e-3, 1e-1]}, "dropout": 0.1}


@cache
def data_of(name: str, **more: Any) -> Data:
    text = f"name: a\ntask: {{name: {name}, length: 5, examples: 60}}\narms: [lstm]\n"
    if name == "characters":
        text = f"name: a\ntask: {{name: characters, limit: {more['limit']}}}\narms: [lstm]\n"
    return tasks.load(JobSpec.loads(text).task, Path())


def wanted(folder: Path, name: str = "new", **changes: Any) -> JobSpec:
    usual = {"trials": 8, "sampler": "random", "pruner": "none", "prior": "literature"}
    search = usual | changes.pop("search", {})
    plain: dict[str, Any] = {"name": name, "arms": ["rnn", "gru"], "space": SPACE} | changes
    return job(folder, **plain, search=search, confirm={"finalists": 0})


def off_by(decades: dict[str, float]) -> Any:
    """Return a formula of values that are best so far above what the literature has."""

    def value(work: TrialAssignment, epoch: int) -> float:
        return 1 - abs(above(work.config) - decades[work.config.cell]) / 10 - 0.1 / epoch

    return value


def above(config: TrialConfig) -> float:
    """Return by how many decades a configuration's rate lies above what the literature has."""
    usual = literature(config.cell, config.hidden_size, config.optimizer)
    return math.log10(config.learning_rate) - usual.mean


def run(
    spec: JobSpec,
    root: Path,
    *,
    value: Any = None,
    data: Data | None = None,
    info: TaskInfo = INFO,
    most_reports: int = 100_000,
) -> JobState:
    """Run or resume a job in a root; data: of which former jobs may know the test part."""
    folder = root / spec.name
    folder.mkdir(exist_ok=True)
    (folder / "job.yaml").touch()
    known = data or data_of("adding")
    with FileJournal(folder / "job.journal") as journal:
        driver = Driver(spec, info, journal, lambda: inherit(spec, known, root))
        Workers(driver, value=value or off_by({"rnn": 0, "gru": 0})).run(most_reports)
        if driver.finished:
            driver.done()
    return told(folder)


def first(state: JobState, arm: str) -> TrialConfig:
    return state.trials[f"search/{arm}/0"].config


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "gp"])
def test_the_first_trial_of_every_arm_has_the_literatures_rate(
    tmp_path: Path, sampler: str
) -> None:
    finite = sampler == "brute-force"
    search = {"sampler": sampler, "trials": 2}
    if sampler == "freeze-thaw":
        search["pruner"] = "slices"
    state = run(wanted(tmp_path, search=search, space=FINITE if finite else SPACE), tmp_path)
    for arm in ("rnn", "gru"):
        if finite:
            assert first(state, arm).learning_rate == 3e-3
        else:
            assert above(first(state, arm)) == pytest.approx(0)


def test_everything_else_is_as_the_sampler_has_it(tmp_path: Path) -> None:
    with_prior = run(wanted(tmp_path), tmp_path)
    without = run(wanted(tmp_path, "plain", search={"prior": "none"}), tmp_path)
    changed = {
        key
        for key, trial in with_prior.trials.items()
        if trial.config != without.trials[key].config
    }
    assert changed == {"search/rnn/0", "search/gru/0"}
    for key in changed:
        config, other = with_prior.trials[key].config, without.trials[key].config
        assert config == other.model_copy(update={"learning_rate": config.learning_rate})


def test_a_rate_stays_within_the_arms_range(tmp_path: Path) -> None:
    space = SPACE | {"learning_rate": {"low": 1e-5, "high": 1e-4, "log": True}}
    state = run(wanted(tmp_path, space=space), tmp_path)
    assert first(state, "gru").learning_rate == pytest.approx(1e-4)
    fixed = run(wanted(tmp_path, "fixed", space=SPACE | {"learning_rate": 0.5}), tmp_path)
    assert first(fixed, "gru").learning_rate == 0.5


def test_a_start_that_gives_a_rate_keeps_it(tmp_path: Path) -> None:
    given = {"start_from": [{"learning_rate": 0.5}, {"dropout": 0.1}]}
    state = run(wanted(tmp_path, search=given), tmp_path)
    assert first(state, "gru").learning_rate == 0.5
    assert compare(read_results(tmp_path / "new")).first_rates is None


def test_a_start_that_gives_none_has_the_known_one(tmp_path: Path) -> None:
    state = run(wanted(tmp_path, search={"start_from": [{"dropout": 0.1}]}), tmp_path)
    for arm in ("rnn", "gru"):
        assert above(first(state, arm)) == pytest.approx(0)
        assert first(state, arm).dropout == 0.1


def test_where_all_trials_are_controls_none_has_a_known_rate(tmp_path: Path) -> None:
    state = run(wanted(tmp_path, search={"control_fraction": 1}), tmp_path)
    assert abs(above(first(state, "gru"))) > 1e-3
    assert compare(read_results(tmp_path / "new")).first_rates is None


def test_a_job_of_an_earlier_version_goes_on_without(tmp_path: Path) -> None:
    spec = wanted(tmp_path)
    dump = spec.dump()
    del dump["search"]["prior"]
    before = JobSpec.recorded(dump, tmp_path)
    assert before.search.prior == "none"
    assert spec.with_defaults_of(before.dump()).search.prior == "literature"  # its file says so
    plain = "name: driven\ntask: {name: japanese-vowels}\narms: [rnn]\n"
    silent = JobSpec.loads(plain, base=tmp_path)
    assert silent.search.prior == "literature"
    assert silent.with_defaults_of(before.dump()).search.prior == "none"


def test_former_jobs_and_the_literature_have_a_vote_each(tmp_path: Path) -> None:
    """However many trials a job has."""
    off = {"rnn": 1.5, "gru": -0.9}
    run(wanted(tmp_path, "short", search={"trials": 30}), tmp_path, value=off_by(off))
    for name, trials in (("long", 90), ("longer", 120)):
        run(wanted(tmp_path, name, search={"trials": trials}), tmp_path)
    state = run(wanted(tmp_path, search={"prior": "jobs"}), tmp_path)
    learned = state.learned_rates
    assert learned is not None and learned.jobs == ("long", "longer", "short")
    for arm, decades in off.items():
        assert learned.decades[arm] == pytest.approx(decades / 4, abs=0.15)
        assert above(first(state, arm)) == pytest.approx(learned.decades[arm])


def test_a_job_that_says_something_of_one_arm_alone_moves_none(tmp_path: Path) -> None:
    """Or the arm that it knows would begin better informed than the others."""
    run(wanted(tmp_path, "one", arms=["gru"], search={"trials": 40}), tmp_path)
    few = wanted(tmp_path, "few", arms=["rnn"], search={"trials": 7})
    run(few, tmp_path, value=off_by({"rnn": 2}))
    state = run(wanted(tmp_path, search={"prior": "jobs"}), tmp_path)
    assert state.learned_rates == LearnedRates((), {"rnn": 0.0, "gru": 0.0}, unequal=1)
    assert above(first(state, "gru")) == pytest.approx(0)
    results = read_results(tmp_path / "new")
    assert "1 former job that said something of some of the arms' cells alone" in (
        compare(results).first_rates or ""
    )
    assert objections(results) == ()


def test_a_job_that_may_have_trained_on_test_data_moves_nothing(tmp_path: Path) -> None:
    now = data_of("characters", limit=6000)
    same = replace(INFO, name="characters", fingerprint="a" * 64)
    spec = wanted(tmp_path, "former", search={"trials": 40})
    run(spec, tmp_path, info=same, value=off_by({"rnn": 1, "gru": 1}))
    state = run(wanted(tmp_path, search={"prior": "jobs"}), tmp_path, data=now)
    assert state.learned_rates == LearnedRates((), {"rnn": 0.0, "gru": 0.0}, overlapping=1)
    known = replace(now.info, fingerprint="a" * 64)
    again = wanted(tmp_path, "again", search={"prior": "jobs"})
    state = run(again, tmp_path, data=replace(now, info=known))
    assert state.learned_rates is not None and "former" in state.learned_rates.jobs


@pytest.mark.parametrize("fault", ["unfinished", "narrow", "damaged", "empty", "no job"])
def test_what_says_nothing_is_passed_over(tmp_path: Path, fault: str) -> None:
    search = {"trials": 40}
    space = SPACE
    if fault == "narrow":
        space = SPACE | {"learning_rate": {"low": 1e-3, "high": 5e-3, "log": True}}
    spec = wanted(tmp_path, "former", search=search, space=space)
    most = 60 if fault == "unfinished" else 100_000
    run(spec, tmp_path, value=off_by({"rnn": 1, "gru": 1}), most_reports=most)
    path = tmp_path / "former" / "job.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    if fault == "damaged":
        path.write_bytes(b"".join([*lines[:9], b"nothing\n", *lines[9:]]))
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "no job":
        path.unlink(), path.mkdir()
    state = run(wanted(tmp_path, search={"prior": "jobs"}), tmp_path)
    assert state.learned_rates == LearnedRates((), {"rnn": 0.0, "gru": 0.0})


def test_what_former_jobs_say_is_asked_once(tmp_path: Path) -> None:
    """A kill between any two groups changes nothing, though they are gone or others have come."""
    off = {"rnn": 1.0, "gru": 1.0}
    run(wanted(tmp_path, "former", search={"trials": 40}), tmp_path, value=off_by(off))
    spec = wanted(tmp_path, search={"prior": "jobs"})
    undisturbed = run(spec, tmp_path)
    path = tmp_path / "new" / "job.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:50])  # killed in the first group: nothing was decided
    assert run(spec, tmp_path).learned_rates == undisturbed.learned_rates
    shutil.rmtree(tmp_path / "former")
    for kept in (1, 2, len(lines) // 2):
        path.write_bytes(b"".join(lines[:kept]))
        state = run(spec, tmp_path)
        assert state.learned_rates == undisturbed.learned_rates
        assert first(state, "gru") == first(undisturbed, "gru")


def test_the_comparison_tells_rates_and_where_they_are_from(tmp_path: Path) -> None:
    run(wanted(tmp_path, "former", search={"trials": 40}), tmp_path)
    state = run(wanted(tmp_path, search={"prior": "jobs"}), tmp_path)
    figures = compare(read_results(tmp_path / "new"))
    sentence = figures.first_rates or ""
    assert sentence in figures.findings
    for arm in ("rnn", "gru"):
        assert f"{arm} {first(state, arm).learning_rate:.2g}" in sentence
    assert "the literature and 1 former job of this root" in sentence
    assert "learned from former:" in sentence
    console = Console(width=2000)
    with console.capture() as printed:
        console.print(comparison(figures))
    assert sentence in printed.get()
    before = compare(read_results(tmp_path / "former")).first_rates or ""
    assert "what the literature found good" in before and "former job" not in before


def test_a_pooled_arm_begins_by_the_cell_that_it_draws(tmp_path: Path) -> None:
    pooled = {"name": "any", "cells": ["rnn", "gru"]}
    state = run(wanted(tmp_path, arms=[pooled]), tmp_path)
    assert above(first(state, "any")) == pytest.approx(0)


def test_a_prior_that_does_not_exist_is_refused_with_what_does(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"search\.prior.*literature, jobs or none, not 'job'"):
        wanted(tmp_path, search={"prior": "job"})


def test_a_prior_beside_a_warm_start_is_warned_of(tmp_path: Path) -> None:
    search = {"prior": "jobs", "warm_start": "former", "sampler": "tpe"}
    (warning,) = wanted(tmp_path, search=search).warnings
    assert "search.prior changes nothing" in warning
