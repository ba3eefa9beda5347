"""Any journal and any job folder: a sentence and an exit code, no trace, nothing outside changed.

A case is a sound job that something was done to: values, keys and groups of its journal changed,
with checksums that are right; bytes changed; files replaced by links, folders, pipes and noise.
"""

import copy
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, drive, job
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from search.cli.app import run_command
from search.job.folder import stored_job
from search.journal.base import decode, encode
from search.journal.open import open_journal, open_reader
from search.run.driver import Driver
from search.tracking.runs import JobRuns
from spaces.errors import GatesearchError

SECRET = b"of the user\n"
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


def cases(fast: int, all_in_all: int) -> pytest.MarkDecorator:
    """Run a test over so many cases: some with every test run, all of them with the slow ones."""
    slow = pytest.param(all_in_all, marks=pytest.mark.slow)
    return pytest.mark.parametrize("examples", [fast, slow])


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**31, 2**63, 2**70, -(2**70), 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, -1e308, 5e-324, 1e-400]),
    st.sampled_from(["", "..", "../../../x", "/etc/passwd", "\x1b[31m", "x" * 5_000]),
    st.sampled_from(["<script>", "complete", "confirm", "lstm", "search-lstm-0-g1-e1", "\ud800"]),
    st.text(max_size=10),
    st.sampled_from([[], {}, [[]], [None], {"": None}, {"record": "driver"}, {"low": 0}]),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job; read it only."""
    folder = tmp_path_factory.mktemp("sound") / "driven"
    folder.mkdir()
    spec = job(
        folder,
        arms=["rnn", "lstm"],
        search={"trials": 2, "sampler": "random"},
        training={"max_epochs": 3},
        confirm={"finalists": 1, "seeds": 1},
    )
    drive(spec, folder)
    (folder / "job.yaml").write_text(json.dumps(spec.dump()))
    return folder


@contextmanager
def case(sound: Path) -> Iterator[Path]:
    """A copy of the job beside things that nothing may change."""
    with tempfile.TemporaryDirectory() as place:
        outside = Path(place) / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(SECRET)
        folder = Path(place) / "runs" / "driven"
        shutil.copytree(sound, folder)
        yield folder
        assert sorted(path.name for path in Path(place).iterdir()) == ["outside", "runs"]
        assert [path.name for path in outside.iterdir()] == ["file"]
        assert (outside / "file").read_bytes() == SECRET
        assert [path.name for path in folder.parent.iterdir()] == ["driven"]


def command(*words: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["gatesearch", *words]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run_command()
    finally:
        sys.argv = before
    return code, out.getvalue(), err.getvalue()


def check(folder: Path, *commands: str) -> None:
    """Try the commands, a driver's start and a mirror's reading on a folder."""
    for name in commands:
        more = ["--json"] if name in ("results", "compare") else []
        code, out, err = command(name, folder.name, "--root", str(folder.parent), *more)
        assert "Traceback" not in err and SECRET.decode().strip() not in out + err
        assert code == 0 or (code in (1, 2) and err.strip()), (code, err)
        if code == 0 and more:
            json.loads(out)
    for attempt in (open_driver, mirror):
        try:
            attempt(folder)
        except GatesearchError as error:
            assert str(error)
        except OSError as error:
            assert error.strerror


def open_driver(folder: Path) -> None:
    spec = stored_job(folder)
    with open_journal(spec, folder) as journal:
        Driver(spec, INFO, journal)


def mirror(folder: Path) -> None:
    runs = JobRuns()
    for group in open_reader(folder).groups():
        runs.apply(group)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of everything inside a value."""
    children: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def change(groups: list[Any], data: st.DataObject) -> None:
    """Change one value, key or group."""
    paths = list(places(groups))
    path = data.draw(st.sampled_from(paths))
    parent: Any = groups
    for key in path[:-1]:
        parent = parent[key]
    match data.draw(st.sampled_from(["replace", "remove", "repeat", "swap"])):
        case "remove":
            del parent[path[-1]]
        case "repeat" if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        case "swap" if isinstance(parent, list):
            parent[0], parent[path[-1]] = parent[path[-1]], parent[0]
        case _:
            parent[path[-1]] = data.draw(values)


@cases(60, 500)
def test_any_record_with_a_checksum_that_is_right(sound: Path, examples: int) -> None:
    lines = (sound / "job.journal").read_bytes().splitlines(keepends=True)

    @settings(QUICK, max_examples=examples)
    @given(data=st.data())
    def is_read_or_refused(data: st.DataObject) -> None:
        groups: list[Any] = [decode(line) for line in lines]
        for _ in range(data.draw(st.integers(1, 2))):
            change(groups, data)
        with case(sound) as folder:
            content = b"".join(encode(group) for group in groups)
            (folder / "job.journal").write_bytes(content)
            check(folder, "results", "compare", "clean")

    is_read_or_refused()


@cases(40, 300)
def test_any_bytes_in_a_journal(sound: Path, examples: int) -> None:
    @settings(QUICK, max_examples=examples)
    @given(
        cut=st.integers(0, 30_000),
        noise=st.binary(max_size=50)
        | st.sampled_from([b"[" * 60_000, bytes(10_000), b"\n" * 50, b"12345678 []\n"]),
        keep=st.booleans(),
    )
    def are_read_or_refused(cut: int, noise: bytes, keep: bool) -> None:
        with case(sound) as folder:
            whole = (folder / "job.journal").read_bytes()
            rest = whole[cut + len(noise) :] if keep else b""
            (folder / "job.journal").write_bytes(whole[:cut] + noise + rest)
            check(folder, "results", "clean")

    are_read_or_refused()


def _link(path: Path) -> None:
    path.symlink_to("../../outside/file")


def _link_to_folder(path: Path) -> None:
    path.symlink_to("../../outside")


def _noise(path: Path) -> None:
    path.write_bytes(b"\xff\x00{]\n" * 10)


KINDS: dict[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "a link to a file": _link,
    "a link to a folder": _link_to_folder,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "noise": _noise,
    "an empty file": lambda path: path.touch(),
}
FILES = (
    "job.yaml",
    "job.journal",
    "job.journal.lock",
    "checkpoints",
    "results.parquet",
    "report.html",
    "best",
    "tracking.jsonl",
    "tracking.lock",
)


@cases(40, 200)
def test_any_file_of_a_folder_may_be_something_else(sound: Path, examples: int) -> None:
    @settings(QUICK, max_examples=examples)
    @given(
        wrong=st.dictionaries(st.sampled_from(FILES), st.sampled_from(sorted(KINDS)), min_size=1),
        with_report=st.integers(0, 29).map(lambda number: number == 0),
    )
    def is_read_or_refused(wrong: dict[str, str], with_report: bool) -> None:
        with case(sound) as folder:
            for name, kind in wrong.items():
                if (folder / name).exists():
                    (folder / name).unlink()
                KINDS[kind](folder / name)
            check(folder, "results", "compare", "clean", *(["report"] if with_report else []))

    is_read_or_refused()
