"""Files and folders are replaced whole, or they are as they were."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trainables.files import (
    beside,
    draft_file,
    draft_folder,
    remove_stale_drafts,
    replace_file,
    replacing,
    replacing_folder,
    write_new,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for content in (b"one", b"another", b""):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["report.html"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_has_the_permissions_that_the_umask_leaves(
    mask: int, mode: int, tmp_path: Path
) -> None:
    with umask(mask):
        replace_file(tmp_path / "report.html", b"one")
        write_new(tmp_path / "weights", b"two")
        with replacing_folder(tmp_path / "best"):
            pass
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"report.html": mode, "weights": mode, "best": mode | (mode >> 2 & 0o111)}


def test_a_file_is_as_it_was_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    replace_file(path, b"one")
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_bytes(b"half of ano")
        raise ZeroDivisionError
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["report.html"]


def test_a_new_file_never_overwrites_another(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    write_new(path, b"one")
    with pytest.raises(FileExistsError):
        write_new(path, b"another")
    assert path.read_bytes() == b"one"


def test_drafts_are_hidden_and_have_names_of_their_own(tmp_path: Path) -> None:
    drafts = {beside(tmp_path / "best") for _ in range(3)}
    assert len(drafts) == 3
    assert all(draft.parent == tmp_path and draft.name.startswith(".best.") for draft in drafts)


@pytest.mark.parametrize("before", [None, [], ["old", "config.yaml"]])
def test_a_folder_takes_the_place_of_none_an_empty_one_or_another(
    before: list[str] | None, tmp_path: Path
) -> None:
    folder = tmp_path / "best"
    if before is not None:
        folder.mkdir()
        for name in before:
            (folder / name).touch()
    with replacing_folder(folder) as draft:
        (draft / "config.yaml").write_text("new")
    assert names(tmp_path) == ["best"]
    assert names(folder) == ["config.yaml"]
    assert (folder / "config.yaml").read_text() == "new"


def test_a_folder_is_as_it_was_where_the_draft_cannot_be_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "config.yaml").write_text("old")
    with pytest.raises(FileNotFoundError), replacing_folder(folder) as draft:
        draft.rmdir()
    assert names(tmp_path) == ["best"]
    assert (folder / "config.yaml").read_text() == "old"


_KILLED = """
import os, signal, sys
from pathlib import Path
from trainables import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as draft:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("writer", ["replacing", "replacing_folder"])
def test_the_draft_of_a_killed_writer_is_stale_and_a_living_one_s_is_not(
    writer: str, tmp_path: Path
) -> None:
    path = tmp_path / "best"
    killed = subprocess.run([sys.executable, "-c", _KILLED, writer, str(path)], check=False)
    assert killed.returncode == -9
    assert len(names(tmp_path)) == 1
    with draft_file(path) as (used, _), draft_folder(path) as used_folder:
        remove_stale_drafts(path)
        assert names(tmp_path) == sorted([used.name, used_folder.name])
    assert names(tmp_path) == []


_WRITING = """
import sys
from pathlib import Path
from trainables.files import replacing
with replacing(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half of ano")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_next_writer_of_a_file_removes_a_killed_one_s_draft_and_no_living_one_s(
    tmp_path: Path,
) -> None:
    path = tmp_path / "report.html"
    command = [sys.executable, "-c", _WRITING, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        replace_file(path, b"one")
        assert len(names(tmp_path)) == 2
        writer.kill()
        writer.wait()
        assert len(names(tmp_path)) == 2
        with replacing(path) as draft:
            assert names(tmp_path) == sorted([draft.name, path.name])
            draft.write_bytes(b"two")
    assert names(tmp_path) == ["report.html"]
    assert path.read_bytes() == b"two"


def test_a_folder_whose_writer_was_killed_between_two_renames_comes_back(tmp_path: Path) -> None:
    folder, aside = tmp_path / "best", Path(f"{beside(tmp_path / 'best')}.old")
    aside.mkdir()
    (aside / "notes.txt").write_text("mine")
    remove_stale_drafts(folder)
    assert names(tmp_path) == ["best"]
    assert (folder / "notes.txt").read_text() == "mine"
    folder.rename(aside)
    folder.mkdir()
    remove_stale_drafts(folder)
    assert names(tmp_path) == ["best"]
