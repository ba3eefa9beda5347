"""Any .npz file and any URL: read, or refused in a sentence; no trace, no command to a terminal.

A header is drawn from what numpy reads as Python's source: numbers that are none, shapes that no
array has, brackets without an end. An archive is drawn from what zipfile takes for granted.
"""

import io
import json
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deploy.client.connection import find_address
from deploy.errors import ClusterError
from search.job.spec import JobSpec
from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data.tasks import load

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
SOUND: dict[str, Any] = {
    "x": np.arange(48.0).reshape(24, 2), "lengths": np.full(8, 3), "y": np.arange(8) % 2
}  # fmt: skip
SECRET = "s3cret"

numbers = st.sampled_from(
    ["0", "1", "8", "24", "True", "-1", "2**62", "1e3", "None", "'8'", "10**400", "9" * 5_000, "[]"]
)
shapes = st.one_of(
    st.lists(numbers, max_size=3).map(lambda sizes: f"({', '.join(sizes)},)" if sizes else "()"),
    st.sampled_from(["(24, 2)", "(24, 2", "24", "((24, 2),)", "(" * 300 + ")" * 300, "(1,) * 70"]),
    st.just(f"({'0,' * 33})"),
    st.just(f"({'1,' * 70})"),
    st.just(f"(0, {2**63})"),
    st.just(f"(0, {2**64}, {2**64})"),
    st.just(f"({2**33}, {2**33})"),
)
types = st.one_of(
    st.sampled_from(
        ["'<f8'", "'<i8'", "'|b1'", "'<U0'", "'<U99999999'", "'|O'", "'<M8[s]'", "'V8'"]
    ),
    st.sampled_from(
        ["[('a', '<f8')]", "('<f8', (2,))", "'<f8, <i4'", "{}", "None", "3", "'\\x1b[31m'"]
    ),
    st.sampled_from(
        ["''", "'f16'", "'<c16'", "'" + "(2,)" * 50 + "f8'", "[" * 150, "'S'", "'>f2'"]
    ),
)
texts = st.one_of(
    st.builds(
        "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format,
        types,
        st.sampled_from(["False", "True", "1", "None", "'x'"]),
        shapes,
    ),
    st.sampled_from(
        ["", "{", "{" * 50, "-" * 9_000, "(" * 9_000, "lambda: 1", "'''", "{'a':", "\\"]
    ),
    st.sampled_from(["\x1b]0;x\x07", "1\n2", "\t1\n  2", "__import__('os').abort()", "{'descr'}"]),
    st.text(max_size=30),
)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """An array's file: its header, whose size may be a lie, and some content."""
    text = draw(texts).encode("latin-1", "replace")
    version = draw(st.sampled_from([(1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (255, 255)]))
    form = "<H" if version == (1, 0) else "<I"
    most = 2 ** (8 * struct.calcsize(form)) - 1
    said = draw(st.sampled_from([len(text), len(text), len(text), 0, len(text) - 1, most, 10_001]))
    content = bytes(draw(st.sampled_from([384, 0, 64, 383, 20_000])))
    return (
        b"\x93NUMPY" + bytes(version) + struct.pack(form, max(0, min(said, most))) + text + content
    )


names = st.one_of(
    st.sampled_from(["x", "lengths", "y", "split"]),
    st.sampled_from(
        ["\x1b[31m", "../../x", "X", "x.npy", "", "n" * 5_000, "\u202egpj", "\ud800"[:0]]
    ),
    st.text(max_size=8).filter(lambda text: text.isprintable()),
)


def write(path: Path, arrays: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def sound_members() -> dict[str, bytes]:
    found = {}
    for name, array in SOUND.items():
        file = io.BytesIO()
        np.save(file, array)
        found[name] = file.getvalue()
    return found


def read(path: Path) -> InputError | None:
    """Read a file as a user's own data; return why it was refused, as a sentence can be shown."""
    try:
        load(OwnData(kind="classification", data=path.name), path.parent)
    except InputError as error:
        assert len(str(error)) < 2_000
        assert str(error).replace("\n", "").isprintable()
        assert all(problem.rule and problem.remedy for problem in error.problems)
        assert all(problem.place.startswith(path.name) for problem in error.problems)
        return error
    return None


@settings(QUICK, max_examples=300)
@given(
    arrays=st.dictionaries(names, members(), min_size=1, max_size=3),
    packing=st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
)
def test_any_header_in_any_member(arrays: dict[str, bytes], packing: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        write(path, sound_members() | arrays, packing)
        read(path)


@settings(QUICK, max_examples=100)
@given(data=st.data())
def test_any_bytes_of_an_archive(data: st.DataObject) -> None:
    """Most of all those of its directory, where sizes and places stand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        write(path, sound_members(), data.draw(st.sampled_from([0, 8])))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(
                st.integers(0, len(content) - 1) | st.integers(len(content) - 250, len(content) - 1)
            )
            noise = data.draw(
                st.sampled_from([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"])
                | st.binary(max_size=4)
            )
            content[at : at + len(noise)] = noise
        path.write_bytes(content)
        read(path)


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


CASES = {
    "a truth value in the shape": header(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2), }"
    ) + bytes(16),
    "unbalanced brackets": header("{'descr': '<f8', 'fortran_order': False, 'shape': ((24, 2), }"),
    "no brackets' end": header("{'descr': [[["),
    "nested beyond Python's parser": header("-" * 9_000),
    "a header of 4 GB": b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b" " * 1_000,
    "an array of nothing": header("{'descr': '<U0', 'fortran_order': False, 'shape': (24, 2), }"),
    "sizes beyond an address": header(
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': (0, {2**70}), }}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", CASES.values(), ids=CASES)
def test_a_header_that_is_none_is_refused_with_its_array(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "data.npz", sound_members() | {"x": content})
    error = read(tmp_path / "data.npz")
    assert error is not None
    assert error.problems[0].place == "data.npz: x"


def test_a_member_s_name_commands_no_terminal(tmp_path: Path) -> None:
    write(tmp_path / "data.npz", sound_members() | {"\x1b[31mx\x1b]0;title\x07": b""})
    assert r"unknown '\x1b[31mx\x1b]0;title\x07'" in str(read(tmp_path / "data.npz"))


def bomb(path: Path, packing: int) -> None:
    """A header that says it has 3 GB, of which some come after 1 MB of packed zeros."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in sound_members().items():
            if name != "x":
                archive.writestr(f"{name}.npy", content)
        with archive.open("x.npy", "w", force_zip64=True) as file:
            file.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 3 * 10**9))
            for _ in range(100):
                file.write(bytes(2_000_000))


def many(path: Path, packing: int) -> None:
    """20,000 members without content."""
    write(path, {f"x{number}": b"" for number in range(20_000)}, packing)


@pytest.mark.parametrize(
    ("make", "packing", "bound"),
    [
        (bomb, zipfile.ZIP_DEFLATED, "a header of more than 10000 bytes"),
        (bomb, zipfile.ZIP_BZIP2, "packed in way 12"),
        (many, zipfile.ZIP_DEFLATED, "more than 256 KiB of names and sizes"),
        (many, zipfile.ZIP_BZIP2, "more than 256 KiB of names and sizes"),
    ],
)
def test_what_is_unpacked_is_bounded_before_it_is_read(
    make: Any, packing: int, bound: str, tmp_path: Path
) -> None:
    make(tmp_path / "data.npz", packing)
    tracemalloc.start()
    try:
        assert bound in str(read(tmp_path / "data.npz"))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


# URLs

schemes = st.sampled_from(
    ["postgresql", "s3", "http", "https", "sqlite", "mysql", "HTTP", "", "ray"]
)
hosts = st.sampled_from(
    [
        "host",
        "[::1]",
        "[::1",
        "a,b",
        "",
        "host:",
        "host:99999",
        "ho st",
        "\x1b[31m",
        "ü",
        "%00",
        "...",
    ]
)
users = st.sampled_from(
    ["", "", "me@", "me:{}@", "me%3A{}@", ":{}@", "m:e/{}@x@", "{}:@", "me:my {}@"]
)
keys = st.sampled_from(
    ["password", "sslpassword", "passwd", "pwd", "token", "access_key", "apiKey", "client-secret"]
)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query that carries the secret under a name of which any character may be encoded."""
    name = "".join(
        f"%{ord(letter):02x}" if draw(st.integers(0, 5)) == 0 else letter for letter in draw(keys)
    )
    before = draw(st.sampled_from(["?", "?a=b&", "#", "?a;", "?a=b%26", "?x=#"]))
    return f"{before}{name}={{}}"


@st.composite
def urls(draw: st.DrawFn) -> str:
    """A URL that carries the secret, or does not."""
    path = draw(st.sampled_from(["", "/", "/a/b", "/%2e"]))
    url = f"{draw(schemes)}://{draw(users)}{draw(hosts)}{path}{draw(st.just('') | queries())}"
    return url.replace("{}", draw(st.sampled_from([SECRET, quote(SECRET), f"{SECRET}/@:"])))


def job(key: str, url: str) -> str:
    return (
        "name: a\ntask: {name: japanese-vowels}\narms: [lstm]\n"
        f"{key.split('.')[0]}: {{{key.split('.')[1]}: {json.dumps(url)}}}\n"
    )


@settings(QUICK, max_examples=400)
@given(
    key=st.sampled_from(["storage.study", "storage.checkpoints", "tracking.uri"]),
    url=urls() | st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"http://{text}"),
)
def test_any_url_is_taken_without_a_secret_or_refused_without_repeating_it(
    key: str, url: str
) -> None:
    try:
        JobSpec.loads(job(key, url), "job.yaml")
    except InputError as error:
        assert SECRET not in str(error)
        assert str(error).replace("\n", "").isprintable() and len(str(error)) < 2_000
        assert all(problem.rule and problem.remedy for problem in error.problems)
    else:
        assert SECRET not in url and url.isprintable()


@settings(QUICK, max_examples=200)
@given(url=urls() | st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"http://{text}"))
def test_any_address_of_a_cluster_is_taken_or_refused_in_a_sentence(url: str) -> None:
    try:
        assert find_address(url, {}).startswith(("http", "HTTP"))
    except ClusterError as error:
        assert error.exit_code == 2
        assert str(error).replace("\n", "").isprintable()
        assert SECRET not in str(error)
