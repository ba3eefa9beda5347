"""A limit of parameters holds for every configuration, costs no budget and never loops for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, drive, job

from search.job.spec import JobSpec
from spaces.config import TrialConfig
from spaces.domains import Choices, Range
from spaces.errors import InputError
from spaces.min_size import smallest
from spaces.sizes import parameters

SPACE = {"hidden_size": {"low": 8, "high": 500}, "depth": {"low": 1, "high": 4}}


def limited(folder: Path, most: int, **changes: Any) -> JobSpec:
    search = {"constraints": {"parameters": most}, "trials": 24} | changes.pop("search", {})
    return job(folder, **{"space": SPACE, "confirm": {"seeds": 0}, **changes}, search=search)


def count(config: TrialConfig) -> int:
    return parameters(config, INFO.inputs, INFO.outputs)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_no_configuration_is_over_the_limit_and_the_budget_is_spent_whole(
    tmp_path: Path, sampler: str
) -> None:
    wanted = limited(tmp_path, 30_000, search={"sampler": sampler})
    job_state = drive(wanted.check(INFO), tmp_path, slots=2)
    assert len(job_state.trials) == 3 * 24
    assert max(count(trial.config) for trial in job_state.trials.values()) <= 30_000


def test_where_chance_finds_nothing_the_smallest_model_is_taken(tmp_path: Path) -> None:
    """One configuration of size in two thousand keeps the limit."""
    least, _ = smallest(limited(tmp_path, 10**9).arms[0], INFO.inputs, INFO.outputs)
    wanted = limited(tmp_path, least, arms=["rnn"])
    job_state = drive(wanted.check(INFO), tmp_path)
    trials = list(job_state.trials.values())
    assert len(trials) == 24
    assert {count(trial.config) for trial in trials} == {least}
    assert len({trial.config.learning_rate for trial in trials}) == 24


def test_an_arm_that_cannot_keep_the_limit_is_refused(tmp_path: Path) -> None:
    wanted = limited(tmp_path, 400, arms=["lstm", "rnn"])
    with pytest.raises(InputError) as refused:
        wanted.check(INFO)
    (problem,) = refused.value.problems
    assert "search.constraints.parameters" in problem.place
    assert "the smallest model of arm lstm must have at most 400 parameters; it has" in problem.rule
    assert "depth 1, hidden_size 8" in problem.rule
    assert problem.remedy.startswith("raise the limit to 753 or more")


def test_the_smallest_model_is_the_smallest_there_is(tmp_path: Path) -> None:
    text = {
        "name": "small",
        "task": {"name": "japanese-vowels"},
        "arms": [{"name": "any", "cells": ["transformer", "gru", "lstm"]}],
        "space": {
            "hidden_size": {"choices": [16, 8]},
            "depth": {"low": 1, "high": 2},
            "heads": {"choices": [2, 4]},
        },
    }
    arm = JobSpec.loads(json.dumps(text)).arms[0]
    domains = arm.domains()
    sizes = []
    for pick in range(64):

        def ask(name: str, domain: Any, pick: int = pick) -> Any:
            place = sorted(domains).index(name)
            if isinstance(domain, Choices):
                return domain.values[(pick >> place) % len(domain.values)]
            assert isinstance(domain, Range)
            return domain.high if pick >> place & 1 else domain.low

        sizes.append(parameters(arm.configure(ask), 12, 9))
    assert smallest(arm, 12, 9)[0] <= min(sizes)
    answers = smallest(arm, 12, 9)[1]
    first = {name: d.values[0] if isinstance(d, Choices) else d.low for name, d in domains.items()}
    config = arm.configure(lambda name, _: {**first, **answers}[name])
    assert parameters(config, 12, 9) == smallest(arm, 12, 9)[0]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_capacity_matched_arms_keep_to_their_number_of_parameters(
    tmp_path: Path, sampler: str
) -> None:
    """Every trial of every arm, controls included, is within the tolerance of the target."""
    wanted = job(
        tmp_path,
        arms=["rnn", "lstm", "gru", {"name": "any", "cells": ["lstm", "gru"]}],
        space={"parameters": {"target": 20_000, "tolerance": 0.03}, "depth": {"low": 1, "high": 3}},
        search={"trials": 16, "sampler": sampler},
        confirm={"seeds": 0},
    )
    job_state = drive(wanted.check(INFO), tmp_path, slots=2)
    sizes = [count(trial.config) for trial in job_state.trials.values()]
    assert len(sizes) == 4 * 16
    assert all(abs(size - 20_000) <= 0.03 * 20_000 for size in sizes)
