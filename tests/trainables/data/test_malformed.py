"""Files of any format that are cut off, altered or filled with odd text: refused, never a crash."""

import io
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from spaces.errors import InputError
from spaces.own_data import SUFFIXES
from spaces.own_task import OwnData
from trainables.data.inspection import source
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles
from trainables.data.tasks import load

CSV = (Path(__file__).resolve().parents[2] / "data" / "own" / "pumps.csv").read_bytes()
ROLES = {"id": "pump", "time": "stamp", "target": "state"}


def as_parquet() -> bytes:
    n, stream = 60, io.BytesIO()
    columns = {"pump": np.repeat(np.arange(12), 5), "stamp": np.tile(np.arange(5), 12)}
    columns |= {"flow": np.arange(n) * 0.5}
    table = pa.table({**columns, "state": np.repeat(["a", "b", "c"] * 4, 5)})
    parquet.write_table(table, stream)
    return stream.getvalue()


def as_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(
        stream, x=np.ones((24, 2)), lengths=np.full(12, 2), y=np.array(["a", "b"] * 6)
    )
    return stream.getvalue()


#: A sound file of each format.
SOUND: dict[str, bytes] = {
    ".csv": CSV[:2000],
    ".parquet": as_parquet(),
    ".npz": as_npz(),
    ".ts": b"@classLabel true a b\n@data\n" + b"1,2.5,3:4,5,6:a\n0,1:2,1:b\n" * 6,
    ".txt": "Über allen Gipfeln\nist Ruh.\n".encode() * 40,
}
TOKENS = [b",", b"\n", b'"', b":", b"@", b"?", b"nan", b"1e999", b"-", b"\xff\xfe", b"\0", b"'"]


@st.composite
def broken(draw: st.DrawFn, sound: bytes) -> bytes:
    """A sound file with a few of its bytes cut off, altered, doubled, or odd ones put in."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.sampled_from(["cut", "alter", "put in", "double", "leave out"])):
            case "cut":
                del content[at:]
            case "alter" if content:
                content[at] ^= draw(st.integers(1, 255))
            case "double":
                content[at:at] = content[at : at + 40]
            case "leave out":
                del content[at : at + draw(st.integers(1, 20))]
            case _:
                content[at:at] = draw(st.sampled_from(TOKENS) | st.binary(max_size=6))
    return bytes(content)


def refused_or_read(action: Callable[[], object], name: str) -> None:
    try:
        action()
    except InputError as error:
        for problem in error.problems:
            assert problem.place.startswith(name), problem
            assert problem.rule and problem.remedy


def test_every_format_has_a_sound_file_here(tmp_path: Path) -> None:
    assert set(SOUND) == set(SUFFIXES)
    for suffix, content in SOUND.items():
        (tmp_path / f"own{suffix}").write_bytes(content)
        load(task(suffix), tmp_path)


def task(suffix: str) -> OwnData:
    table = suffix in (".csv", ".parquet")
    data = {"file": f"own{suffix}", **(ROLES if table else {})}
    return OwnData(kind="next-token" if suffix == ".txt" else "classification", data=data)


@pytest.mark.parametrize("suffix", SOUND)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_broken_file_is_refused_with_its_place_or_read_and_nothing_is_made(
    suffix: str, data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_bytes(data.draw(broken(SOUND[suffix])))
    refused_or_read(lambda: load(task(suffix), tmp_path), path.name)

    def look() -> None:
        table, given_parts = source.read(path)
        inspect(path, path.name, table, find_roles(table, given_parts)).as_dict()

    refused_or_read(look, path.name)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def as_wav() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(600, dtype="<i2").tobytes())
    return stream.getvalue()


@pytest.mark.parametrize(("suffix", "sound"), [("csv", b"a,b\n1,2\n3,4\n"), ("wav", as_wav())])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_folder_with_a_broken_file_is_refused_or_read(
    suffix: str, sound: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    for number in range(8):
        file = tmp_path / "own" / "ab"[number % 2] / f"{number}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(sound)
    file.write_bytes(data.draw(broken(sound)))
    refused_or_read(lambda: load(OwnData(kind="classification", data="own"), tmp_path), "own")
