"""Sound files of each format of own data, and how bytes of them are broken."""

import io
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet

CSV = (Path(__file__).resolve().parents[1] / "data" / "own" / "pumps.csv").read_bytes()


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


def as_wav() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(600, dtype="<i2").tobytes())
    return stream.getvalue()


def as_series() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.sin(np.arange(60.0))[:, None], lengths=[60])
    return stream.getvalue()


#: A sound file of each format, and a series in an .npz.
SOUND: dict[str, bytes] = {
    ".csv": CSV[:2000],
    ".parquet": as_parquet(),
    ".npz": as_npz(),
    ".ts": b"@classLabel true a b\n@data\n" + b"1,2.5,3:4,5,6:a\n0,1:2,1:b\n" * 6,
    ".txt": "Über allen Gipfeln\nist Ruh.\n".encode() * 40,
    ".wav": as_wav(),
    "series": as_series(),
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
