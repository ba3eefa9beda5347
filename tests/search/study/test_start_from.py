"""Every arm begins with the configurations that the job gives, whatever its sampler."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, job, told

from search.job.samplers import SAMPLERS
from search.job.spec import JobSpec
from search.journal.open import open_journal
from search.journal.trial import TrialResult
from search.results.read import read_results
from search.results.summarise import compare
from search.run.driver import Driver
from spaces.errors import InputError
from spaces.sizes import parameters

STARTS = [{"learning_rate": 0.003, "hidden_size": 32}, {"dropout": 0.4}]
SPACE = {
    "hidden_size": {"low": 8, "high": 64},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "forget_bias": "one",
    "depth": 1,
}


def wanted(folder: Path, **search: Any) -> JobSpec:
    return job(
        folder,
        arms=["lstm", "gru"],
        space=SPACE,
        search={"trials": 8, "pruner": "none", "start_from": STARTS, **search},
        confirm={"finalists": 0},
    )


def run(spec: JobSpec, folder: Path) -> dict[str, list[TrialResult]]:
    with open_journal(spec, folder) as journal:
        Workers(Driver(spec, INFO, journal)).run()
    found = defaultdict(list)
    for trial in told(folder).trials.values():
        found[trial.arm].append(trial)
    return found


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"brute-force", "freeze-thaw"}))
def test_first_trials_but_controls_are_those_of_the_job(tmp_path: Path, sampler: str) -> None:
    found = run(wanted(tmp_path, sampler=sampler), tmp_path)
    for trials in found.values():
        first, second, *_ = [trial.config for trial in trials if not trial.control]
        assert (first.learning_rate, first.hidden_size) == (0.003, 32)
        assert second.dropout == 0.4
        assert len(trials) == 8


def test_what_is_left_out_is_drawn_alike_in_every_arm(tmp_path: Path) -> None:
    found = run(wanted(tmp_path), tmp_path)
    ours, theirs = ([t.config for t in trials if not t.control] for trials in found.values())
    for first, second in zip(ours[:2], theirs[:2], strict=True):
        shared = {"hidden_size", "learning_rate", "dropout"}
        assert first.model_dump(include=shared) == second.model_dump(include=shared)
    assert ours[0].dropout != ours[1].dropout


def test_controls_are_what_they_are_without_a_start(tmp_path: Path) -> None:
    with_start, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_start, without):
        folder.mkdir()
    ours = run(wanted(with_start), with_start)
    theirs = run(wanted(without, start_from=[]), without)
    for arm, trials in ours.items():
        controls = [trial.config for trial in trials if trial.control]
        assert controls == [trial.config for trial in theirs[arm] if trial.control]
        assert len(controls) == 2


def test_a_resumed_job_does_not_start_again(tmp_path: Path) -> None:
    spec = wanted(tmp_path)
    with open_journal(spec, tmp_path) as journal:
        driver = Driver(spec, INFO, journal)
        begun = [driver.next() for _ in range(3)]
    assert all(begun)
    found = run(spec, tmp_path)
    for trials in found.values():
        given = [t for t in trials if not t.control and t.config.learning_rate == 0.003]
        assert len(given) == 1 and len(trials) == 8


def test_the_comparison_tells_of_the_start(tmp_path: Path) -> None:
    run(wanted(tmp_path), tmp_path)
    figures = compare(read_results(tmp_path))
    assert figures.starts == 2
    assert any("2 configurations that the job file gives" in each for each in figures.findings)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({}, ("at least one setting",)),
        ({"hidden_size": 128}, ("start_from[0].hidden_size", "8 to 64", "128")),
        ({"depth": 2}, ("start_from[0].depth", "must be 1", "2")),
        ({"heads": 2}, ("start_from[0].heads", "remove it")),
        ({"cell": "lstm"}, ("start_from[0].cell", "remove it")),
        ({"learning_rat": 0.1}, ("learning_rat", "learning_rate")),
        ({"dropout": "much"}, ("start_from[0].dropout", "number")),
        ({"dropout": {"low": 0.1, "high": 0.2}}, ("start_from[0].dropout", "number")),
    ],
)
def test_what_an_arm_cannot_try_is_refused(
    tmp_path: Path, start: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as refused:
        wanted(tmp_path, start_from=[start])
    for word in words:
        assert word in str(refused.value)


def test_a_setting_that_one_arm_does_not_read_is_left_out_there(tmp_path: Path) -> None:
    space = {**SPACE, "forget_bias": {"choices": ["zero", "one"]}}
    spec = job(
        tmp_path,
        arms=["lstm", {"name": "plain", "cell": "rnn", "space": {"forget_bias": "default"}}],
        space=space,
        search={"trials": 3, "pruner": "none", "start_from": [{"forget_bias": "zero"}]},
        confirm={"finalists": 0},
    )
    found = run(spec, tmp_path)
    assert found["lstm"][0].config.forget_bias == "zero"
    assert found["plain"][0].config.forget_bias == "default"


def test_a_start_over_the_limit_of_parameters_is_refused_and_its_rest_is_drawn_within_it(
    tmp_path: Path,
) -> None:
    limit = {"constraints": {"parameters": 3000}}
    with pytest.raises(InputError) as refused:
        wanted(tmp_path, start_from=[{"hidden_size": 64}], **limit).check(INFO)
    assert "start_from[0]" in str(refused.value) and "3,000" in str(refused.value)
    found = run(wanted(tmp_path, start_from=[{"learning_rate": 0.003}], **limit), tmp_path)
    for trials in found.values():
        start = next(trial.config for trial in trials if not trial.control)
        assert start.learning_rate == 0.003
        assert parameters(start, INFO.inputs, INFO.outputs) <= 3000
