"""A job file is read once, and one rule says where its relative paths start."""

import os
from pathlib import Path

import pytest

from deploy.client.package import pack
from search.job.folder import check_same_job, store_job, stored_job
from search.job.spec import JobSpec

TEXT = "name: a\ntask: {kind: regression, data: x.npz}\narms: [lstm]\n"


def piped(text: str) -> Path:
    """The path of a pipe with a text, as a shell's <(…) gives one; it can be read once."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return Path(f"/dev/fd/{reading}")


def test_a_job_file_from_a_pipe_is_kept_as_it_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = piped(TEXT)
    job = JobSpec.load(pipe)
    store_job(tmp_path / "runs" / "a", job, pipe.name)
    kept = stored_job(tmp_path / "runs" / "a")
    assert kept == job
    assert kept.base == tmp_path, "relative paths of what is no file start from the current folder"


def test_a_job_file_from_a_pipe_is_sent_as_it_was_checked(tmp_path: Path) -> None:
    pipe = piped(TEXT)
    job = JobSpec.load(pipe)
    (tmp_path / "job.yaml").write_text(TEXT)
    sent = pack(tmp_path / pipe.name, [], content=job.text.encode())
    assert sent.content.count(b"regression") == pack(tmp_path / "job.yaml", []).content.count(
        b"regression"
    )


def test_a_file_that_changes_after_it_was_checked_is_kept_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TEXT)
    job = JobSpec.load(file)
    file.write_text("{")
    store_job(tmp_path / "runs" / "a", job, file.name)
    assert stored_job(tmp_path / "runs" / "a") == job


def test_paths_of_a_job_file_behind_a_link_start_from_the_link_s_target(tmp_path: Path) -> None:
    for name in ("templates", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates" / "job.yaml").write_text(TEXT)
    (tmp_path / "templates" / "x.npz").write_bytes(b"data")
    link = tmp_path / "mine" / "job.yaml"
    link.symlink_to("../templates/job.yaml")
    job = JobSpec.load(link)
    assert job.base == tmp_path / "templates"
    package = pack(job.base / link.name, [Path("x.npz")], content=job.text.encode())
    assert package == pack(tmp_path / "templates" / "job.yaml", [Path("x.npz")])


def test_the_copy_in_a_job_s_folder_is_the_same_job_and_starts_where_the_file_did(
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "job.yaml").write_text(TEXT)
    job = JobSpec.load(tmp_path / "jobs" / "job.yaml")
    first, second = (tmp_path / "runs" / name for name in "ab")
    store_job(first, job, "job.yaml")
    copy = JobSpec.load(first / "job.yaml")
    assert (copy, copy.base, copy.text) == (job, job.base, TEXT)
    check_same_job(first, copy)
    store_job(second, copy, "job.yaml")
    assert (second / "job.yaml").read_bytes() == (first / "job.yaml").read_bytes()
