"""A job's folder: what is stored there is the job that was started."""

from pathlib import Path

import pytest

from search.job.folder import (
    check_same_job,
    check_unused,
    checkpoint_place,
    claim_checkpoints,
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
    store_job(folder, JobSpec.load(source), source.name)
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
    store_job(tmp_path, JobSpec.load(source), source.name)
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


NAME = "search-lstm-0-g1-e1"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A job's folder whose checkpoints are a link to a bigger disk."""
    (tmp_path / "big").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "checkpoints").symlink_to(tmp_path / "big")
    return tmp_path / "a"


def test_checkpoints_may_be_a_link_to_a_folder_of_the_job_s_own(linked: Path) -> None:
    big = linked.parent / "big"
    (big / "notes.txt").write_text("of the user")
    claim_checkpoints(linked, "4f1c", begun=False)
    (big / NAME).mkdir()
    claim_checkpoints(linked, "4f1c", begun=True)
    with pytest.raises(InputError, match="is another job's"):
        claim_checkpoints(linked, "other", begun=False)
    with pytest.raises(InputError, match="is another job's"):
        claim_checkpoints(linked, "other", begun=True)


def test_a_job_of_before_goes_on_in_a_linked_folder(linked: Path) -> None:
    (linked.parent / "big" / NAME).mkdir()
    with pytest.raises(InputError, match="is another job's"):
        claim_checkpoints(linked, "4f1c", begun=False)
    claim_checkpoints(linked, "4f1c", begun=True)
    claim_checkpoints(linked, "4f1c", begun=False)


@pytest.mark.parametrize("what", ["a file", "a dangling link"])
def test_checkpoints_that_cannot_be_a_folder_are_refused(what: str, tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    place.touch() if what == "a file" else place.symlink_to(tmp_path / "none")
    with pytest.raises(InputError, match="must be a folder, or a link to one"):
        claim_checkpoints(tmp_path, "4f1c", begun=False)


@pytest.mark.parametrize("name", ["report.html", "results.parquet", "verdict.json"])
def test_a_folder_whose_files_a_new_job_would_replace_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    check_unused(tmp_path)
    check_unused(tmp_path / "none")
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"must not hold a {name}"):
        check_unused(tmp_path)


def test_a_job_file_that_a_link_leads_out_of_the_folder_to_is_none(
    source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "job.yaml").symlink_to(source)
    assert not has_job(folder)
    with pytest.raises(InputError, match="must hold a job"):
        stored_job(folder)


def test_a_stored_job_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"name: a\n# \xff\n")
    with pytest.raises(InputError, match="must be UTF-8"):
        stored_job(tmp_path)
