"""Claims about the job journal: what a crash, a full disk or a second driver can do to it."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.journal import (
    Journal,
    JournalBusyError,
    JournalError,
    JournalFencedError,
    JournalFullError,
    JournalReader,
    decode,
    encode,
)

GROUPS = [[{"record": "a", "n": 1}, {"op_code": 4}], [{"record": "b"}], [{"record": "ü\n"}]]


def write(path: Path, groups: list[list[dict[str, Any]]] = GROUPS) -> None:
    with Journal(path) as journal:
        for group in groups:
            journal.append(*group)
            journal.commit()


def test_groups_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(path)
    assert JournalReader(path).read() == GROUPS


def test_every_torn_ending_leaves_the_groups_before_it(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(path)
    whole = path.read_bytes()
    two = len(encode(GROUPS[0])) + len(encode(GROUPS[1]))
    for cut in range(two, len(whole)):
        path.write_bytes(whole[:cut])
        assert JournalReader(path).read() == GROUPS[:2]
        with Journal(path) as journal:
            assert journal.take_history() == GROUPS[:2]
            journal.append({"record": "after"})
            journal.commit()
        assert JournalReader(path).read() == [*GROUPS[:2], [{"record": "after"}]]


def test_zeros_at_the_end_after_a_power_cut_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(path)
    with path.open("ab") as file:
        file.write(bytes(4096))
    with Journal(path) as journal:
        assert journal.take_history() == GROUPS


def test_damage_in_the_middle_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(path)
    whole = bytearray(path.read_bytes())
    whole[len(encode(GROUPS[0])) + 20] ^= 1
    path.write_bytes(whole)
    with pytest.raises(JournalError, match=r"job\.journal:2: this line is damaged"):
        Journal(path)
    Path(path).write_bytes(b"".join(map(encode, GROUPS)))
    Journal(path).close()  # the failed opening has let go of the lock


def test_a_reader_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    line = encode(GROUPS[0])
    path.write_bytes(line + encode(GROUPS[1])[:15])
    reader = JournalReader(path)
    assert reader.read() == GROUPS[:1]
    path.write_bytes(line + encode(GROUPS[1]))
    assert reader.read() == GROUPS[1:2]
    assert reader.read() == []


def test_uncommitted_records_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    with Journal(path) as journal:
        journal.append({"record": "lost"})
    assert path.read_bytes() == b""


def test_a_second_driver_is_refused_and_told_who_holds_the_job(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    with Journal(path), pytest.raises(JournalBusyError, match=f"process {os.getpid()} on "):
        Journal(path)
    Journal(path).close()


def test_the_lock_of_a_killed_driver_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    program = (
        "import sys, time; from pathlib import Path; from search.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JournalBusyError):
            Journal(path)
        holder.kill()
        holder.wait()
    Journal(path).close()


def test_a_driver_that_was_superseded_stops_before_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    with Journal(path) as journal:
        with path.open("ab") as other:  # as on a file system without locks
            other.write(encode([{"record": "driver", "generation": 2}]))
        journal.append({"record": "late"})
        with pytest.raises(JournalFencedError):
            journal.commit()
    assert JournalReader(path).read() == [[{"record": "driver", "generation": 2}]]


def test_a_full_disk_leaves_no_half_group(tmp_path: Path) -> None:
    path = tmp_path / "job.journal"
    write(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append({"record": "too much"})
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
        try:
            with pytest.raises(JournalFullError, match="make room, then resume"):
                journal.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert JournalReader(path).read() == GROUPS
        journal.commit()
    assert JournalReader(path).read()[-1] == [{"record": "too much"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_never_reach_the_file(tmp_path: Path, value: float) -> None:
    with Journal(tmp_path / "job.journal") as journal:
        journal.append({"value": value})
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.commit()


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
