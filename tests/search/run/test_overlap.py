"""Whether a prior job may have trained on what is now for test."""

from pathlib import Path

import numpy as np
import pytest

from search.job.spec import JobSpec
from search.journal.warm_start import WarmStart
from search.results.read import Results
from search.run.overlap import may_have_seen
from trainables.data import tasks
from trainables.data.sequences import Data

JOB = "name: a\ntask: {task}\narms: [lstm]\n"
OWN = "{{kind: classification, data: {name}.npz, seed: {seed}}}"


def loaded(folder: Path, task: str) -> tuple[JobSpec, Data]:
    job = JobSpec.loads(JOB.format(task=task), base=folder)
    return job, tasks.load(job.task, job.base)


def seen(folder: Path, before: str, now: str, start: WarmStart | None = None) -> bool:
    job, data = loaded(folder, before)
    prior = Results(folder, job, data.info, [], "done", warm_start=start)
    return may_have_seen(prior, loaded(folder, now)[1])


def write(folder: Path, name: str, seed: int = 0) -> None:
    draw = np.random.default_rng(seed)
    lengths, y = np.full(40, 3), np.arange(40) % 2
    x = draw.normal(size=(120, 2)).astype(np.float32)
    np.savez(folder / f"{name}.npz", x=x, lengths=lengths, y=y)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("{name: adding, length: 5, examples: 60}", "{name: adding, length: 5, examples: 60}", 0),
        ("{name: adding, length: 5}", "{name: adding, length: 5, seed: 1}", 0),
        ("{name: japanese-vowels}", "{name: japanese-vowels, seed: 1}", 0),
        ("{name: japanese-vowels}", "{name: japanese-vowels, metric: loss}", 0),
        ("{name: characters, limit: 5000}", "{name: characters, limit: 6000}", 1),
        ("{name: japanese-vowels}", "{name: characters, limit: 5000}", 0),
    ],
)
def test_what_a_prior_job_may_have_seen_of_a_built_in_task(
    tmp_path: Path, before: str, now: str, expected: int
) -> None:
    assert seen(tmp_path, before, now) == bool(expected)


def test_own_sequences_are_compared_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, "own")
    write(tmp_path, "copy")
    write(tmp_path, "other", seed=1)
    first = OWN.format(name="own", seed=0)
    assert not seen(tmp_path, first, first)
    assert seen(tmp_path, first, OWN.format(name="own", seed=1))
    assert not seen(tmp_path, first, OWN.format(name="other", seed=0))
    assert seen(tmp_path, OWN.format(name="copy", seed=1), first)


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_own_data_that_is_not_as_it_was_may_have_been_seen(tmp_path: Path, change: str) -> None:
    write(tmp_path, "own")
    write(tmp_path, "other", seed=1)
    job, data = loaded(tmp_path, OWN.format(name="own", seed=0))
    prior = Results(tmp_path, job, data.info, [], "done")
    (tmp_path / "own.npz").unlink()
    if change == "changed":
        write(tmp_path, "own", seed=2)
    assert may_have_seen(prior, loaded(tmp_path, OWN.format(name="other", seed=0))[1])


def test_what_a_job_before_the_prior_one_may_have_seen_counts_too(tmp_path: Path) -> None:
    task = "{name: japanese-vowels}"
    assert seen(tmp_path, task, task, WarmStart("first", {"lstm": 1}, True))
    assert not seen(tmp_path, task, task, WarmStart("first", {"lstm": 1}, False))
