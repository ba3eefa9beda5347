"""Claims about the command line that need no Ray: usage errors, names, pipes, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from search.run.session import differences

GATESEARCH = Path(sys.executable).parent / "gatesearch"


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GATESEARCH, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["foo"],
        ["run"],
        ["run", "a", "b"],
        ["validate", "--bogus", "x"],
        ["results", "q", "--phase", "nope"],
        ["dashboard", "--port", "abc"],
        ["extend", "q", "--trials", "-1"],
        ["export", "q"],
        ["run", "missing.yaml"],
        ["resume", "nothing"],
        ["compare", "nothing"],
        ["extend", "nothing"],
        ["predict", "nowhere", "nothing.npz"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_refused_in_words(arguments: list[str], tmp_path: Path) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert not list(tmp_path.iterdir())


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    listed = call("--help", cwd=tmp_path)
    assert listed.returncode == 0
    on_jobs = ("run", "resume", "extend", "validate", "schema", "results", "compare", "report")
    on_models = ("export", "predict", "dashboard", "mirror", "tasks", "cells")
    on_clusters = ("submit", "jobs", "status", "logs", "stop", "fetch")
    for name in (*on_jobs, *on_models, *on_clusters):
        assert name in listed.stdout
        assert "Example: gatesearch " in call(name, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(("reader", "read"), [("head -1", "[\n"), ("exec <&-", "")])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, reader: str, read: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {GATESEARCH} cells --json | {{ {reader}; }}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, read, "")


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    (tmp_path / "job.yaml").write_text("{name: a, task: {name: japanese-vowels}, arms: [rnn]}")
    done = call("run", "job.yaml", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "runs" in done.stderr


def test_what_differs_between_two_jobs_is_named() -> None:
    before = {"training": {"max_epochs": 27}, "arms": ["a"], "name": "x"}
    now = {"training": {"max_epochs": 20}, "arms": ["a", "b"], "name": "x"}
    assert differences(before, now) == [
        "training.max_epochs was 27 and is 20",
        'arms was ["a"] and is ["a", "b"]',
    ]
