"""Files and folders are replaced whole, or they are as they were."""

from pathlib import Path

import pytest

from trainables.files import beside, replace_file, replace_folder, replacing, write_new


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for content in (b"one", b"another", b""):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["report.html"]
    assert path.stat().st_mode & 0o777 == 0o644


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
    folder, draft = tmp_path / "best", tmp_path / "draft"
    if before is not None:
        folder.mkdir()
        for name in before:
            (folder / name).touch()
    draft.mkdir()
    (draft / "config.yaml").write_text("new")
    replace_folder(draft, folder)
    assert names(tmp_path) == ["best"]
    assert names(folder) == ["config.yaml"]
    assert (folder / "config.yaml").read_text() == "new"


def test_a_folder_is_as_it_was_where_the_draft_cannot_be_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "config.yaml").write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "no draft", folder)
    assert names(tmp_path) == ["best"]
    assert (folder / "config.yaml").read_text() == "old"
