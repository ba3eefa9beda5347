"""The job at equal size is the same job, but that every model of every arm has one size."""

import random
from pathlib import Path
from typing import Any

import pytest
from made_results import STRINGS, VOWELS, job_text, made

from search.job.spec import JobSpec
from search.results.equal_size import equal_size_job
from search.results.summarise import compare
from spaces.domains import Choices, Domain, Range
from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.sizes import parameters

ARMS = "[lstm, {name: wide, cell: gru, space: {hidden_size: 96, depth: 1}}]"


def drawn(name: str, domain: Domain) -> Any:
    draw = random.Random(name)
    if isinstance(domain, Choices):
        return draw.choice(domain.values)
    assert isinstance(domain, Range)
    if domain.integer:
        return draw.randint(int(domain.low), int(domain.high))
    return draw.uniform(domain.low, domain.high)


def test_all_models_have_the_size_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    results = made(tmp_path, job_text(arms=ARMS))
    text = equal_size_job(results, 12_000)
    job = JobSpec.loads(text).check(VOWELS)
    for arm in job.arms:
        config = arm.configure(drawn)
        size = parameters(config, VOWELS.inputs, VOWELS.outputs)
        assert size == pytest.approx(12_000, rel=0.2)
    before, now = results.job.dump(), job.dump()
    assert now["name"] == "vowels-equal"
    assert {"search", "confirm", "training", "task"} <= before.keys()
    for key in ("search", "confirm", "training", "task"):
        assert now[key] == before[key]
    assert job.arms[1].space["depth"] == results.job.arms[1].space["depth"]


def test_data_of_ones_own_is_found_from_wherever_the_new_file_lies(tmp_path: Path) -> None:
    for data in ("own.npz", "{file: own.csv, id: who, target: what}"):
        text = job_text(task=f"{{kind: classification, data: {data}}}")
        results = made(tmp_path, text)
        task = JobSpec.loads(equal_size_job(results, 12_000)).task
        assert isinstance(task, OwnData) and isinstance(results.job.task, OwnData)
        assert Path(task.data.file) == results.job.base / results.job.task.data.file
        assert task.data.id == results.job.task.data.id


def test_what_was_known_of_other_sizes_is_left_out(tmp_path: Path) -> None:
    start = "start_from: [{hidden_size: 64, depth: 1}], warm_start: before"
    text = job_text(trials=4).replace("seed: 0}", f"seed: 0, {start}}}")
    search = JobSpec.loads(equal_size_job(made(tmp_path, text), 12_000)).search
    assert search.warm_start is None and not search.start_from


def test_the_size_is_the_mean_of_the_leaders(tmp_path: Path) -> None:
    results = made(tmp_path)
    sizes = [arm.leader.parameters for arm in compare(results).arms if arm.leader]
    target = JobSpec.loads(equal_size_job(results)).arms[0].budget
    assert target is not None
    assert min(size for size in sizes if size) <= target.target <= max(s for s in sizes if s)


def test_a_size_that_an_arm_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parameters"):
        equal_size_job(made(tmp_path), 10)


def test_without_leaders_a_size_must_be_named(tmp_path: Path) -> None:
    empty = made(tmp_path, trials=0, phase="search")
    with pytest.raises(InputError, match="--parameters"):
        equal_size_job(empty)
    assert "target: 9000" in equal_size_job(empty, 9000)


def test_arms_of_different_sizes_are_told_how_to_be_compared_at_equal_size(
    tmp_path: Path,
) -> None:
    task = "{name: symbolic, complexity: 30}"
    figures = compare(made(tmp_path, job_text(task=task), STRINGS))
    told = [each for each in figures.cautions if "not compared at equal size" in each]
    assert told and all("`gatesearch equal-size vowels`" in each for each in told)
