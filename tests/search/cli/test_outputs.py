"""Claims about a terminal, pipe or file that does not take what a command prints."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from written_jobs import WrittenJob

GATESEARCH = Path(sys.executable).parent / "gatesearch"
PRINTING = ("cells", "tasks", "schema", "cells --json", "--help")
FULL = os.strerror(errno.ENOSPC)


def shell(line: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line.replace("gatesearch", str(GATESEARCH))],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="latin-1",
        check=False,
    )


@pytest.mark.parametrize("command", PRINTING)
def test_an_output_that_is_full_is_told_in_a_line(tmp_path: Path, command: str) -> None:
    done = shell(f"gatesearch {command} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"standard output: {FULL}\n")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-15"])
@pytest.mark.parametrize("command", ["cells", "schema"])
def test_a_character_that_an_encoding_lacks_becomes_a_question_mark(
    tmp_path: Path, command: str, encoding: str
) -> None:
    done = shell(f"gatesearch {command}", tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    if command == "cells":
        assert "?" in done.stdout  # σ


def test_a_message_takes_any_encoding_too(tmp_path: Path) -> None:
    done = shell("gatesearch validate größe-σ.yaml", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "gr??e-?.yaml" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing_else(tmp_path: Path, closed: str) -> None:
    done = shell(f"gatesearch cells {closed}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path: Path) -> None:
    assert shell("gatesearch validate missing.yaml 2> /dev/full", tmp_path).returncode == 2


def test_a_report_without_room_is_told_with_place_and_remedy(tmp_path: Path) -> None:
    WrittenJob(tmp_path / "runs" / "vowels")
    done = shell(
        "ulimit -f 100; trap '' XFSZ; gatesearch report vowels", tmp_path
    )  # 100 KiB: the table of trials has room, the page has none
    place = tmp_path / "runs" / "vowels" / "report.html"
    room = "remedy: make room there; nothing that was there is lost"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{place}: {os.strerror(errno.EFBIG)}\n  {room}\n"
