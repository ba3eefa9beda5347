"""A job folder comes home whole or not at all, and never over other results."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import tracemalloc
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.client import archive, send
from deploy.errors import ClusterError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cluster" / "vowels"
    for name, content in {
        "job.yaml": b"name: vowels\n",
        "job.journal": b'{"record":"driver"}\n',
        "best/weights.safetensors": os.urandom(50_000),
        "best/empty": b"",
        "checkpoints/7/model.safetensors": b"large",
        ".hidden": b"x",
        "report.html.tmp": b"half",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def receive(lines: Iterable[str], into: Path, name: str = "vowels") -> Path:
    with tempfile.TemporaryFile() as spool:
        head = archive.read((line + "\n" for line in lines), "cluster", spool)
        return archive.unpack(spool, head, into, name)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def made(entries: dict[str, bytes | None], **changes: object) -> list[str]:
    """Return the lines of an archive as a hostile cluster might write them; None: a symlink."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            entry.size = len(content or b"")
            tar.addfile(entry, io.BytesIO(content or b""))
    unpacked = sum(len(content or b"") for content in entries.values())
    return lines_with(buffer.getvalue(), **{"unpacked": unpacked, "files": len(entries)} | changes)


def lines_with(packed: bytes, **changes: object) -> list[str]:
    """Return the lines that carry something packed, with a head that says what is wanted."""
    head = {
        "version": 1,
        "name": "vowels",
        "bytes": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "unpacked": 1_000_000,
        "files": 10,
    }
    return [
        f"{archive.HEAD} {json.dumps(head | changes)}",
        f"{archive.DATA} {b64encode(packed).decode()}",
        archive.END,
    ]


def test_everything_but_checkpoints_and_half_written_files_comes(
    folder: Path, tmp_path: Path
) -> None:
    arrived = receive(send.lines_of(folder), tmp_path / "laptop")
    assert arrived == tmp_path / "laptop" / "vowels"
    expected = files(folder)
    for left in ("checkpoints/7/model.safetensors", ".hidden", "report.html.tmp", "link"):
        expected.pop(left)
    assert files(arrived) == expected
    assert [path.name for path in (tmp_path / "laptop").iterdir()] == ["vowels"]


def test_checkpoints_come_if_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    arrived = receive(send.lines_of(folder, checkpoints=True), tmp_path / "laptop")
    assert (arrived / "checkpoints/7/model.safetensors").read_bytes() == b"large"


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 20_000), max_size=30), noise=st.sampled_from(["", "a warning"]))
def test_it_does_not_matter_how_the_log_is_cut_into_pieces(cuts: list[int], noise: str) -> None:
    lines = made({"job.yaml": os.urandom(20_000)})
    text = "\n".join([noise, lines[0], noise, *lines[1:], noise]) + "\n"
    pieces = []
    for cut in cuts:
        pieces.append(text[:cut])
        text = text[cut:]
    with tempfile.TemporaryFile() as spool:
        assert archive.read([*pieces, text], "cluster", spool)["files"] == 1


def test_a_missing_folder_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="vowels: the job's folder must exist"):
        receive(send.lines_of(tmp_path / "vowels"), tmp_path)


def test_too_much_for_a_log_is_refused_on_the_cluster(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="at most 0 MB"):
        receive(send.lines_of(folder, max_bytes=1000), tmp_path / "laptop")


@pytest.mark.parametrize(
    "damage", ["a line less", "another byte", "no end", "no head", "not base64"]
)
def test_damage_on_the_way_is_noticed_and_leaves_nothing(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    lines = list(send.lines_of(folder))
    match damage:
        case "a line less":
            del lines[2]
        case "another byte":
            lines[2] = lines[2][:-4] + ("AAAA" if lines[2][-4:] != "AAAA" else "BBBB")
        case "no end":
            lines.pop()
        case "no head":
            del lines[0]
        case "not base64":
            lines[2] += "*"
    with pytest.raises(ClusterError, match="did not arrive whole"):
        receive(lines, tmp_path / "laptop")
    assert not (tmp_path / "laptop").exists()


@pytest.mark.parametrize(
    "entries",
    [
        {"../escaped": b"x"},
        {"best/../../escaped": b"x"},
        {"link": None},
        {"link": None, "link/escaped": b"x"},
    ],
)
def test_an_archive_that_reaches_outside_is_refused(
    tmp_path: Path, entries: dict[str, bytes | None]
) -> None:
    with pytest.raises(ClusterError, match="plain files"):
        receive(made(entries), tmp_path / "laptop")
    assert list(tmp_path.rglob("*")) == [tmp_path / "laptop"]


def test_an_absolute_path_in_an_archive_stays_inside_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "escaped"
    arrived = receive(made({str(outside): b"x"}), tmp_path / "laptop")
    assert files(arrived) == {str(outside).lstrip("/"): b"x"}
    assert not outside.exists()


def test_an_archive_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="plain files"):
        receive(made({"job.journal": bytes(1_000_000)}, unpacked=1000), tmp_path)


def long_name(size: int, kind: bytes, content: bytes = b"") -> bytes:
    """A tar that begins with a header which says it has so many bytes of a file's name."""
    entry = tarfile.TarInfo("name")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT) + content


HOSTILE_TARS = {
    "a pax header of 8 GB": long_name(2**33, tarfile.XHDTYPE),
    "a name of 8 GB": long_name(2**33, tarfile.GNUTYPE_LONGNAME),
    "a pax header of 300 MB": long_name(3 * 10**8, tarfile.XHDTYPE, bytes(3 * 10**8)),
    "many headers of one file": long_name(0, tarfile.XHDTYPE) * 5_000,
    "a negative size": long_name(-1, tarfile.REGTYPE),
    "noise": b"x" * 5_000,
}


@pytest.mark.parametrize("content", HOSTILE_TARS.values(), ids=HOSTILE_TARS)
def test_headers_are_bounded_before_they_are_read(content: bytes, tmp_path: Path) -> None:
    packed = gzip.compress(content, 1)
    tracemalloc.start()
    try:
        with pytest.raises(ClusterError, match="plain files"):
            receive(lines_with(packed, unpacked=2**32, files=100_000), tmp_path / "laptop")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert list((tmp_path / "laptop").iterdir()) == []


def test_damage_inside_the_packing_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(os.urandom(5_000)))
    packed[2_000:2_100] = bytes(100)
    with pytest.raises(ClusterError, match="plain files"):
        receive(lines_with(bytes(packed)), tmp_path / "laptop")


@pytest.mark.parametrize(
    "changes",
    [{"bytes": 2**40}, {"unpacked": 2**40}, {"files": 10**9}, {"files": "many"}, {"bytes": True}],
)
def test_more_than_comes_through_a_log_is_refused_before_it_is_read(
    changes: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match=f"at most .* {next(iter(changes))}"):
        receive(made({"job.yaml": b""}, **changes), tmp_path)


def test_more_files_than_were_announced_are_refused(tmp_path: Path) -> None:
    entries: dict[str, bytes | None] = {f"best/{number}": b"" for number in range(11)}
    with pytest.raises(ClusterError, match="plain files"):
        receive(made(entries, files=10), tmp_path / "laptop")


@pytest.mark.parametrize(
    "head", ["[]", "3", '{"version": 1}', "[" * 100_000, '{"version":', "null"]
)
def test_a_head_that_is_none_is_damage(head: str, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="did not arrive whole"):
        receive([f"{archive.HEAD} {head}"], tmp_path)


def test_a_line_without_an_end_is_not_kept(tmp_path: Path) -> None:
    def endless() -> Iterator[str]:
        for _ in range(10**6):
            yield "x" * 100_000
        raise AssertionError("all of it was read")

    with tempfile.TemporaryFile() as spool, pytest.raises(ClusterError, match="did not arrive"):
        archive.read(endless(), "cluster", spool)


def test_long_names_come_through(tmp_path: Path) -> None:
    folder = tmp_path / "cluster" / "vowels"
    for name in ("ü" * 100, "x" * 200, "a" * 120 + "/" + "b" * 120 + "/c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    assert files(receive(send.lines_of(folder), tmp_path / "laptop")) == files(folder)


def test_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="form 1, not 2"):
        receive(made({"job.yaml": b""}, version=2), tmp_path)


def test_a_later_state_of_the_job_replaces_an_earlier_one(folder: Path, tmp_path: Path) -> None:
    receive(send.lines_of(folder), tmp_path / "laptop")
    with (folder / "job.journal").open("ab") as journal:
        journal.write(b'{"record":"end"}\n')
    (tmp_path / "laptop" / "vowels" / "best" / "notes.txt").write_text("of the user")
    arrived = receive(send.lines_of(folder), tmp_path / "laptop")
    assert (arrived / "job.journal").read_bytes() == (folder / "job.journal").read_bytes()
    assert (arrived / "best" / "notes.txt").read_text() == "of the user"
    assert [path.name for path in (tmp_path / "laptop").iterdir()] == ["vowels"]


@pytest.mark.parametrize("journal", [b"another job\n", b'{"record":"driver"}\nmore\n', None])
def test_other_results_are_never_replaced(
    folder: Path, tmp_path: Path, journal: bytes | None
) -> None:
    own = tmp_path / "laptop" / "vowels"
    own.mkdir(parents=True)
    (own / "notes.txt").write_text("mine")
    if journal is not None:
        (own / "job.journal").write_bytes(journal)
    before = files(own)
    with pytest.raises(ClusterError, match="must be an earlier state") as refusal:
        receive(send.lines_of(folder), tmp_path / "laptop")
    assert refusal.value.exit_code == 2
    assert files(own) == before
    assert [path.name for path in (tmp_path / "laptop").iterdir()] == ["vowels"]
