"""Command lines that messages offer can be copied and work."""

from pathlib import Path

import pytest

from search.job.commands import command


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("runs/vowels", "gatesearch resume vowels"),
        ("other/vowels", "gatesearch resume vowels --root other"),
        ("my runs/vowels", "gatesearch resume vowels --root 'my runs'"),
        ("/data/runs/vowels", "gatesearch resume vowels --root /data/runs"),
    ],
)
def test_a_command_names_the_root_where_it_is_not_the_default(
    folder: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("resume", Path(folder)) == line
    assert command("resume", tmp_path / folder) == line
