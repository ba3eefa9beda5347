"""A file is written whole or not at all, for its owner alone."""

import os
from pathlib import Path

import pytest

from deploy.files import write_whole


def test_a_write_that_is_cut_off_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    write_whole(file, b"first")
    for name in ("fsync", "replace", "open"):

        def cut(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as during, pytest.raises(KeyboardInterrupt):
            during.setattr(Path if name == "replace" else os, name, cut)
            write_whole(file, b"second")
        assert file.read_bytes() == b"first"
    write_whole(file, b"third")
    assert file.read_bytes() == b"third" and file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [file]
