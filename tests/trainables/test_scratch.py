"""Scratch folders: a killed process's goes, everybody else's stays."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spaces.errors import InputError
from trainables import scratch as scratch_module
from trainables.scratch import ScratchFolder, remove_stale_folders

_USER = """
import sys
from trainables.scratch import ScratchFolder
folder = ScratchFolder().path
(folder / "ray").mkdir()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def short() -> Iterator[Path]:
    """The folder of a short path, in the place of the machine's own, which no test looks into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch_module, "_SHORT", (Path(folder),))
        yield Path(folder)


@pytest.fixture(autouse=True)
def temporary(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of this process and of those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def user() -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process with a scratch folder."""
    command = [sys.executable, "-c", _USER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_folder_and_its_lock_go_with_the_block(temporary: Path) -> None:
    with ScratchFolder() as scratch:
        (scratch.path / "some").mkdir()
        assert scratch.path.stat().st_mode & 0o777 == 0o700
    parent = scratch.path.parent
    assert parent == temporary / f"gatesearch-{os.geteuid()}"
    assert parent.stat().st_mode & 0o777 == 0o700
    assert list(parent.iterdir()) == []


def test_a_living_process_keeps_its_folder_and_a_killed_one_s_goes() -> None:
    with user() as (process, folder):
        remove_stale_folders()
        assert (folder / "ray").is_dir()
        process.kill()
        process.wait()
        assert (folder / "ray").is_dir()
        remove_stale_folders()
        assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("taken", ["a file", "a link", "open to others"])
def test_where_somebody_else_has_the_parent_s_name_another_folder_is_made(
    taken: str, temporary: Path
) -> None:
    parent, other = temporary / f"gatesearch-{os.geteuid()}", temporary / "other"
    other.mkdir(mode=0o700)
    match taken:
        case "a file":
            parent.touch()
        case "a link":
            parent.symlink_to(other)
        case _:
            parent.mkdir()
            parent.chmod(0o777)
    with ScratchFolder() as scratch:
        remove_stale_folders()
        assert scratch.path.parent == temporary
        assert scratch.path.stat().st_mode & 0o777 == 0o700
    assert sorted(temporary.iterdir()) == [parent, other]
    assert list(other.iterdir()) == []


def test_sockets_get_a_short_path_where_the_temporary_directory_has_a_long_one(
    temporary: Path, short: Path
) -> None:
    (deep := temporary / ("x" * 60)).mkdir()
    tempfile.tempdir = str(deep)
    with ScratchFolder(for_sockets=True) as scratch:
        assert scratch.path.is_relative_to(short)
        sockets = scratch.path / "ray/session_2026-01-01_00-00-00_000000_4194304/sockets"
        assert len(os.fsencode(sockets / "plasma_store")) <= 107
    assert not scratch.path.exists()
    with ScratchFolder() as scratch:
        assert scratch.path.is_relative_to(deep)


def test_no_short_path_at_all_is_refused_with_the_variable_s_name(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (deep := temporary / ("x" * 60)).mkdir()
    tempfile.tempdir = str(deep)
    monkeypatch.setattr(scratch_module, "_SHORT", (temporary / "nowhere",))
    with pytest.raises(InputError, match=f"TMPDIR: its path must have at most .*{deep}"):
        ScratchFolder(for_sockets=True)
