"""A job's folder: what is stored there is the job that was started."""

from pathlib import Path

import pytest

from search.job.folder import (
    check_same_job,
    checkpoint_place,
    differences,
    has_job,
    store_job,
    stored_job,
)
from search.job.spec import JobSpec
from spaces.errors import InputError

TEXT = "name: a\ntask: {kind: regression, data: x.npz}\narms: [lstm]\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    file = tmp_path / "jobs" / "mine.yaml"
    file.write_text(TEXT)
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_stored_job_is_the_job_of_its_file(source: Path, tmp_path: Path, encoding: str) -> None:
    source.write_text(TEXT, encoding=encoding)
    folder = tmp_path / "runs" / "a"
    assert not has_job(folder)
    store_job(folder, source)
    assert has_job(folder)
    assert stored_job(folder) == JobSpec.load(source)
    assert stored_job(folder).base == source.parent.resolve()


def test_a_job_file_that_somebody_put_there_starts_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(TEXT)
    assert stored_job(tmp_path).base == tmp_path


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold a job"):
        stored_job(tmp_path)


def test_another_job_in_the_folder_is_refused_with_the_differences(
    source: Path, tmp_path: Path
) -> None:
    store_job(tmp_path, source)
    check_same_job(tmp_path, JobSpec.load(source))
    other = JobSpec.loads(TEXT + "training: {max_epochs: 20}\n", base=source.parent)
    with pytest.raises(InputError, match=r"training\.max_epochs was 27 and is 20") as refused:
        check_same_job(tmp_path, other)
    assert f"`gatesearch extend {tmp_path.name}" in str(refused.value)


def test_what_differs_between_two_jobs_is_named() -> None:
    before = {"training": {"max_epochs": 27}, "arms": ["a"], "name": "x"}
    now = {"training": {"max_epochs": 20}, "arms": ["a", "b"], "name": "x"}
    assert differences(before, now) == [
        "training.max_epochs was 27 and is 20",
        'arms was ["a"] and is ["a", "b"]',
    ]


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("", "/runs/a/checkpoints"),
        ("storage: {checkpoints: 's3://bucket'}\n", "s3://bucket/a-4f1c"),
        ("storage: {checkpoints: 's3://bucket/some/'}\n", "s3://bucket/some/a-4f1c"),
    ],
)
def test_checkpoints_are_in_the_folder_or_where_the_job_says(storage: str, expected: str) -> None:
    job = JobSpec.loads(TEXT + storage)
    assert checkpoint_place(job, Path("/runs/a"), "4f1c") == expected
