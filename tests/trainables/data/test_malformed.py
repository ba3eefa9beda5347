"""Files of any format that are cut off, altered or filled with odd text: refused, never a crash."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import SOUND, broken

from spaces.errors import InputError
from spaces.own_data import SUFFIXES
from spaces.own_task import OwnData
from trainables.data.inspection import source
from trainables.data.inspection.findings import inspect
from trainables.data.inspection.roles import find_roles
from trainables.data.tasks import load

ROLES = {"id": "pump", "time": "stamp", "target": "state"}


def refused_or_read(action: Callable[[], object], name: str) -> None:
    try:
        action()
    except InputError as error:
        for problem in error.problems:
            assert problem.place.startswith(name), problem
            assert problem.rule and problem.remedy


def test_every_format_has_a_sound_file_here(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"own{suffix}").write_bytes(SOUND[suffix])
        load(task(suffix), tmp_path)


def task(suffix: str) -> OwnData:
    table = suffix in (".csv", ".parquet")
    data = {"file": f"own{suffix}", **(ROLES if table else {})}
    return OwnData(kind="next-token" if suffix == ".txt" else "classification", data=data)


@pytest.mark.parametrize("suffix", SUFFIXES)
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


@pytest.mark.parametrize(("suffix", "sound"), [("csv", b"a,b\n1,2\n3,4\n"), ("wav", SOUND[".wav"])])
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
