"""Claims about the job journal: what a crash, a full disk or a second driver can do to it.

The first part holds for every journal there is (journals.py), the second for the file.
"""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import InFile, InPostgres, Kept

from search.journal.base import (
    JournalBusyError,
    JournalError,
    JournalFencedError,
    JournalFullError,
    decode,
    encode,
)
from search.journal.file import FileJournal, FileReader, is_locked
from search.tracking.database import prepare
from search.tracking.follower import main as follow
from spaces.errors import InputError

GROUPS = [[{"record": "a", "n": 1}, {"op_code": 4}], [{"record": "b"}], [{"record": "ü\n"}]]


@pytest.fixture(params=["file", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """A journal that is not there yet."""
    if request.param == "file":
        return InFile(tmp_path / "job.journal")
    server = request.getfixturevalue("postgres")
    return InPostgres(server, server.database())


def write(kept: Kept, groups: list[list[dict[str, Any]]] = GROUPS) -> None:
    with kept.open() as journal:
        for group in groups:
            journal.append(*group)
            journal.commit()


def test_groups_are_read_back_as_written(kept: Kept) -> None:
    assert not kept.reader().exists()
    assert kept.reader().read() == []
    write(kept)
    assert kept.reader().exists()
    assert kept.reader().read() == GROUPS
    with kept.open() as journal:
        assert journal.take_history() == GROUPS
        assert journal.take_history() == []


def test_a_reader_goes_on_where_it_was(kept: Kept) -> None:
    reader = kept.reader()
    with kept.open() as journal:
        for group in GROUPS:
            assert reader.read() == []
            journal.append(*group)
            journal.commit()
            assert reader.read() == [group]


def test_every_driver_goes_on_behind_the_one_before(kept: Kept) -> None:
    for group in GROUPS:
        write(kept, [group])
    assert kept.reader().read() == GROUPS


def test_uncommitted_records_are_not_there(kept: Kept) -> None:
    with kept.open() as journal:
        journal.append({"record": "lost"})
    assert kept.reader().read() == []


def test_nothing_to_commit_is_no_group(kept: Kept) -> None:
    with kept.open() as journal:
        journal.commit()
    assert kept.reader().read() == []


def test_damage_in_the_middle_is_refused_with_its_place(kept: Kept) -> None:
    write(kept)
    kept.damage(1)
    with pytest.raises(JournalError, match=r"journal:2: this line is dam|group 2 of .* changed"):
        kept.open()
    with pytest.raises(JournalError):
        kept.reader().read()
    with pytest.raises(JournalError, match=r"damaged|changed"):  # the lock was let go of
        kept.open()


def test_a_second_driver_is_refused_and_told_who_holds_the_job(kept: Kept) -> None:
    with kept.open(), pytest.raises(JournalBusyError, match=f"process {os.getpid()} on "):
        kept.open()
    kept.open().close()


def test_the_lock_of_a_killed_driver_is_free_at_once(kept: Kept) -> None:
    program = f"import time\n{kept.opening}print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JournalBusyError, match=f"process {holder.pid} on "):
            kept.open()
        holder.kill()
        holder.wait()
    kept.open().close()


def test_a_driver_that_was_superseded_stops_before_it_writes(kept: Kept) -> None:
    write(kept, GROUPS[:1])
    with kept.open() as journal:
        kept.intrude([{"record": "driver", "generation": 2}])
        journal.append({"record": "late"})
        with pytest.raises(JournalFencedError, match="the other one goes on with the job"):
            journal.commit()
    assert kept.reader().read() == [GROUPS[0], [{"record": "driver", "generation": 2}]]


def test_a_full_disk_leaves_no_half_group(kept: Kept) -> None:
    write(kept)
    with kept.open() as journal:
        journal.append({"record": "too much"})
        with kept.full(), pytest.raises(JournalFullError, match="make room"):
            journal.commit()
        assert kept.reader().read() == GROUPS
        journal.commit()
    assert kept.reader().read() == [*GROUPS, [{"record": "too much"}]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_never_reach_the_journal(kept: Kept, value: float) -> None:
    with kept.open() as journal:
        journal.append({"value": value})
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.commit()
    assert kept.reader().read() == []


def test_numbers_and_texts_survive_to_the_last_bit(kept: Kept) -> None:
    values = [0.1, 1.0, 1, -0.0, 1e308, 5e-324, 2**70, "\x00 \u2028 '\\ é 🜁", None, True]
    write(kept, [[{"values": values}]])
    ((record,),) = kept.reader().read()
    assert list(map(repr, record["values"])) == list(map(repr, values))


# In a file


def test_every_torn_ending_leaves_the_groups_before_it(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(InFile(path))
    whole = path.read_bytes()
    two = len(encode(GROUPS[0])) + len(encode(GROUPS[1]))
    for cut in range(two, len(whole)):
        path.write_bytes(whole[:cut])
        assert FileReader(path).read() == GROUPS[:2]
        with FileJournal(path) as journal:
            assert journal.take_history() == GROUPS[:2]
            journal.append({"record": "after"})
            journal.commit()
        assert FileReader(path).read() == [*GROUPS[:2], [{"record": "after"}]]


def test_a_driver_that_died_in_its_first_group_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    line = encode(GROUPS[0])
    for torn in (*(line[:cut] for cut in range(len(line))), bytes(100)):
        path.write_bytes(torn)
        assert FileReader(path).read() == []
        with FileJournal(path) as journal:
            assert journal.take_history() == []


@pytest.mark.parametrize("content", [b"export PATH=/bin\n", b"x", b"12345678 {}", b"\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "job.journal"
    path.write_bytes(content)
    for attempt in (FileReader(path).read, lambda: FileJournal(path)):
        with pytest.raises(JournalError, match=r"must begin with a whole group.*left as it is"):
            attempt()
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["job.journal", "job.journal.lock"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder"])
def test_nothing_but_a_plain_file_is_opened_as_a_journal_or_its_lock(
    name: str, kind: str, tmp_path: Path
) -> None:
    folder, other = tmp_path / "job", tmp_path / "other"
    folder.mkdir()
    other.write_bytes(b"of the user\n")
    match kind:
        case "link":
            (folder / name).symlink_to(other)
        case "dangling link":
            (folder / name).symlink_to(tmp_path / "none")
        case "hard link":
            (folder / name).hardlink_to(other)
        case "pipe":
            os.mkfifo(folder / name)
        case _:
            (folder / name).mkdir()
    with pytest.raises((InputError, JournalError, IsADirectoryError)):
        FileJournal(folder / "job.journal")
    assert other.read_bytes() == b"of the user\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job", "other"]


def test_zeros_at_the_end_after_a_power_cut_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(InFile(path))
    with path.open("ab") as file:
        file.write(bytes(4096))
    with FileJournal(path) as journal:
        assert journal.take_history() == GROUPS


def test_a_reader_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    line = encode(GROUPS[0])
    path.write_bytes(line + encode(GROUPS[1])[:15])
    reader = FileReader(path)
    assert reader.read() == GROUPS[:1]
    path.write_bytes(line + encode(GROUPS[1]))
    assert reader.read() == GROUPS[1:2]
    assert reader.read() == []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=4))
def test_any_group_survives_encoding(group: list[dict[str, Any]]) -> None:
    line = encode(group)
    assert line.count(b"\n") == 1
    assert decode(line) == json.loads(json.dumps(group))


@given(
    st.lists(st.dictionaries(st.text(), json_values, max_size=2), min_size=1, max_size=2), st.data()
)
def test_any_flipped_bit_is_noticed(group: list[dict[str, Any]], data: st.DataObject) -> None:
    line = bytearray(encode(group))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = decode(bytes(line))
    assert changed is None or changed == group  # the case of a hex digit carries no information


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As NFS without its lock daemon answers; no file system here does."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "nice", lambda by: 0)
    monkeypatch.setattr(fcntl, "flock", refuse)
    journal = tmp_path / "job.journal"
    for attempt in (
        lambda: FileJournal(journal),
        lambda: prepare(tmp_path),
        lambda: follow([str(tmp_path)]),
    ):
        with pytest.raises(InputError, match=r"must have locks \(flock\).*\n?.*another disk") as no:
            attempt()
        assert str(tmp_path) in str(no.value) and "being run" not in str(no.value)
    assert is_locked(journal) is None
    assert not journal.exists()
