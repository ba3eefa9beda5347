"""Own text from .txt files: its characters in their order, in windows."""

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from search.cli.data import init
from search.run import session
from spaces.own_task import OwnData
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

TEXT = "Über allen Gipfeln ist Ruh.\n" * 60


def load_text(folder: Path, text: str = TEXT, window: int = 20) -> Data:
    (folder / "own.txt").write_text(text, "utf-8")
    data = {"file": "own.txt", "window": window}
    return load(OwnData(kind="next-token", data=data), folder)


def test_windows_say_the_text_and_parts_follow_one_another(tmp_path: Path) -> None:
    data = load_text(tmp_path)
    labels = data.info.labels
    assert labels is not None and labels == tuple(sorted(set(TEXT)))
    said = TEXT[0]
    for part in data.parts:
        for start, length in zip(part.starts, part.lengths, strict=True):
            said += "".join(str(labels[code]) for code in part.x[start + 1 : start + length])
    assert said == TEXT
    assert data.info.longest == 21 and len(data.train) > len(data.test) > 0


def test_a_new_text_is_read_with_the_characters_of_training(tmp_path: Path) -> None:
    info = load_text(tmp_path).info
    (tmp_path / "new.txt").write_text("ist Über", "utf-8")
    found, _ = read_new(tmp_path / "new.txt", info)
    assert info.labels is not None
    assert "".join(str(info.labels[code]) for code in found.x.tolist()) == "ist Über"
    (tmp_path / "new.txt").write_text("ist Q", "utf-8")
    refused(lambda: read_new(tmp_path / "new.txt", info), "new.txt: character 5", "'Q' is none")


def test_what_is_no_text_for_training_is_refused(tmp_path: Path) -> None:
    refused(lambda: load_text(tmp_path, "short"), "own.txt", "windows for all parts; it has 1")
    refused(lambda: load_text(tmp_path, "a" * 200), "two different symbols; all")
    (tmp_path / "own.txt").write_bytes(b"ab\xff")
    refused(
        lambda: load(OwnData(kind="next-token", data="own.txt"), tmp_path), "UTF-8; byte 3 is none"
    )
    spec = OwnData(kind="next-step", data="own.txt")
    refused(lambda: load(spec, tmp_path), "a .txt is for next-token")
    with pytest.raises(ValueError, match=r"a \.txt alone"):
        OwnData(kind="next-token", data={"file": "own.npz", "window": 3})


def test_a_job_file_is_written_for_a_text(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text(TEXT * 3, "utf-8")
    init(tmp_path / "own.txt", tmp_path / "job.yaml")
    data = session.load(tmp_path / "job.yaml")[1]
    assert data.info.kind == "next-token"
    assert np.array_equal(np.unique(data.train.x), np.arange(data.info.inputs))
