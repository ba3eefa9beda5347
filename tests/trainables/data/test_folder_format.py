"""Own data from a folder with one file for each sequence: tables, or sounds by class."""

import csv
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refused

from deploy.client.package import pack
from search.cli.data import init
from search.run import session
from spaces.own_task import OwnData
from trainables.data.formats import wav
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

PUMPS = Path(__file__).resolve().parents[2] / "data" / "own" / "pumps.csv"


def load_folder(folder: Path, kind: Any = "classification", **columns: Any) -> Data:
    return load(OwnData(kind=kind, data={"file": "own", **columns}), folder)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder whose folder `own` has a table for each pump, by state."""
    rows = list(csv.DictReader(PUMPS.read_text().splitlines()))
    for row in rows:
        file = tmp_path / "own" / row["state"] / f"{row['pump']}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text("stamp,pressure,flow\n")
        with file.open("a") as table:
            table.write(f"{row['stamp']},{row['pressure']},{row['flow']}\n")
    return tmp_path


def test_a_folder_of_tables_gives_the_same_sequences_as_one_table(tables: Path) -> None:
    ours = load_folder(tables, time="stamp")
    roles = {"id": "pump", "time": "stamp", "target": "state"}
    theirs = load(OwnData(kind="classification", data={"file": str(PUMPS), **roles}), tables)
    assert ours.info.labels == theirs.info.labels == ("leaking", "new", "worn")
    assert contents(ours) == contents(theirs)


def contents(data: Data) -> list[tuple[bytes, int]]:
    """The sequences of all parts and their classes, in an order of their own."""
    found = []
    for part in data.parts:
        assert part.y is not None
        for start, length, y in zip(part.starts, part.lengths, part.y, strict=True):
            found.append((part.x[start : start + length].tobytes(), int(y)))
    return sorted(found)


def test_a_place_in_a_folder_is_told_by_file_and_row(tables: Path) -> None:
    file = tables / "own" / "new" / "p03.csv"
    lines = file.read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ","
    file.write_text("\n".join(lines) + "\n")
    refused(lambda: load_folder(tables), "own/new/p03.csv: row 2: flow", "missing")
    file.write_text("stamp,pressure\n")
    refused(lambda: load_folder(tables), "own/new/p03.csv", "column flow; it has stamp, pressure")
    file.write_text("stamp,pressure,flow\n")
    refused(lambda: load_folder(tables), "own/new/p03.csv", "no rows")


def test_new_tables_of_a_folder_are_called_by_their_files(tables: Path) -> None:
    info = load_folder(tables, time="stamp").info
    (tables / "new").mkdir()
    (tables / "own" / "worn" / "p01.csv").rename(tables / "new" / "p01.csv")
    sequences, ragged = read_new(tables / "new", info)
    assert len(sequences) == 1
    assert ragged.ids is not None and ragged.ids.tolist() == ["p01.csv"]


def test_all_files_of_a_folder_go_to_a_cluster(tables: Path) -> None:
    (tables / "job.yaml").write_text("name: own\n")
    task = OwnData(kind="classification", data="own/")
    package = pack(tables / "job.yaml", task.data.files(tables))
    (tables / "own" / "new" / "p03.csv").write_text("changed")
    assert pack(tables / "job.yaml", task.data.files(tables)).digest != package.digest
    assert len(task.data.files(tables)) == 24


def write_wav(path: Path, samples: Any, rate: int = 8000, width: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.round(np.asarray(samples) * (2 ** (8 * width - 1) - 1)).astype("<i4")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, width, rate, 0, "NONE", ""))
        file.writeframes(
            (numbers + 128).astype(np.uint8).tobytes()
            if width == 1
            else numbers.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        )


def tone(hertz: float, seconds: float = 0.3, rate: int = 8000) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_sounds_become_bands_in_which_a_tone_is_found(tmp_path: Path) -> None:
    write_wav(tmp_path / "low.wav", tone(300))
    write_wav(tmp_path / "high.wav", tone(3000))
    (low, rate), (high, _) = (wav.read(tmp_path / f"{name}.wav", "a") for name in ("low", "high"))
    assert rate == 8000 and low.shape == (17, wav.BANDS) and low.dtype == np.float32
    # Edges of bands on the mel scale: 300 Hz are 402 of the 2146 mel of 4 kHz, 3 kHz are 1876.
    assert set(low.argmax(axis=1)) <= {3, 4} and set(high.argmax(axis=1)) <= {20, 21}


@pytest.mark.parametrize("width", [1, 3, 4])
def test_sounds_of_all_widths_say_the_same(width: int, tmp_path: Path) -> None:
    write_wav(tmp_path / "two.wav", tone(300))
    write_wav(tmp_path / "other.wav", tone(300), width=width)
    two, _ = wav.read(tmp_path / "two.wav", "a")
    other, _ = wav.read(tmp_path / "other.wav", "a")
    np.testing.assert_allclose(two[:, 3], other[:, 3], atol=0.05)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for number in range(12):
        name, hertz = (("low", 300), ("high", 2000))[number % 2]
        write_wav(tmp_path / "own" / name / f"{number:02}.wav", tone(hertz, 0.1 + number / 50))
    return tmp_path


def test_folders_of_sounds_are_classes(sounds: Path) -> None:
    data = load_folder(sounds)
    assert (data.info.inputs, data.info.labels) == (wav.BANDS, ("high", "low"))
    assert sum(map(len, data.parts)) == 12
    found, ragged = read_new(sounds / "own", data.info)
    assert len(found) == 12 and ragged.ids is not None and ragged.ids[0] == "high/01.wav"


def test_sounds_that_cannot_be_compared_are_refused(sounds: Path) -> None:
    refused(lambda: load_folder(sounds, target="x"), "own", "sounds, which have none")
    refused(lambda: load_folder(sounds, "regression"), "own", "classification by folder")
    write_wav(sounds / "own" / "low" / "x.wav", tone(300), rate=16000)
    refused(lambda: load_folder(sounds), "own/low/x.wav", "16000 Hz here, 8000 Hz before")
    (sounds / "own" / "low" / "x.wav").write_bytes(b"RIFF")
    refused(lambda: load_folder(sounds), "own/low/x.wav", "16-bit PCM")
    (sounds / "own" / "low" / "x.wav").rename(sounds / "own" / "low" / "x.mp3")
    refused(lambda: load_folder(sounds), "own/low/x.mp3", "of one ending")


def test_a_folder_without_files_or_none_at_all_is_refused(tmp_path: Path) -> None:
    refused(lambda: load_folder(tmp_path), "own", "or a folder")
    (tmp_path / "own").mkdir()
    refused(lambda: load_folder(tmp_path), "own", "holds none")


@pytest.mark.parametrize("fixture", ["tables", "sounds"])
def test_a_job_file_is_written_for_a_folder(fixture: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(fixture)
    init(folder / "own", folder / "job.yaml")
    job, data = session.load(folder / "job.yaml")
    assert job.name == "own" and data.info.kind == "classification"
    assert data.info.inputs == (2 if fixture == "tables" else wav.BANDS)
