"""Compiled code on disk: it saves compiling it again, and is never a reason to fail."""

import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainables import engine
from trainables.cache import Cache
from trainables.cells import find
from trainables.cells.equations import sigmoid
from trainables.engine.cpu.compile import (
    KERNELS,
    CompiledScan,
    key_of,
    plan_of,
    shared_address,
    simd_type,
    sources_digest,
)
from trainables.engine.cpu.plan import Plan

pytestmark = pytest.mark.skipif(
    not engine.available(), reason="the scan engine does not run on this processor"
)

VARIANT = find("rnn", "tanh")

#: Runs two cells; prints what it compiled, the results, and where each cell's values are.
PROGRAM = """
import json, logging, sys
import torch
compiled = []
logger = logging.getLogger("trainables.engine.cpu.compile")
logger.setLevel(logging.DEBUG)
handler = logging.Handler()
handler.emit = lambda record: compiled.append(record.getMessage())
logger.addHandler(handler)
from trainables.cells import VARIANTS, find
from trainables.engine.cpu.compile import plan_of
from trainables.layers.layer import Layer
print("ready", flush=True)
sys.stdin.readline()
found = []
for gates in ("reset-after", "mut3"):
    layer = Layer(find("gru", gates), 3, 5, torch.Generator().manual_seed(1)).double()
    x = torch.linspace(-1, 1, 4 * 2 * 3, dtype=torch.float64).view(4, 2, 3).requires_grad_()
    y = layer(x, torch.tensor([4, 2]))
    y.sum().backward()
    found.append([y.tolist(), x.grad.tolist()])
tapes = {v.name: plan_of(v).tape for v in VARIANTS.values()}
places = {name: [(n.number, place) for n, place in tape.items()] for name, tape in tapes.items()}
print(json.dumps({"compiled": compiled, "found": found, "places": places}))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own; the code that all variants share is loaded already."""
    shared_address("product", False)
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def compiled(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """A function that loads a cell's scan and returns what it had to compile."""

    def load() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="trainables.engine"):
            scan = CompiledScan(VARIANT, double=False)
        assert scan.forward and scan.backward
        return [r.getMessage() for r in caplog.records if r.name.endswith("compile")]

    return load


def start() -> "subprocess.Popen[str]":
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], text=True, **pipes)


def outcomes(count: int) -> list[dict[str, Any]]:
    """Run processes that begin to compile at the same moment."""
    processes = [start() for _ in range(count)]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [json.loads(line) for line in printed]


def test_a_later_process_compiles_nothing_and_gets_the_same_bits(place: Path) -> None:
    both = outcomes(2)
    after = outcomes(1)[0]
    assert after["compiled"] == []
    for one in both:
        assert set(one["compiled"]) <= {
            "compiling gru-reset-after in float64",
            "compiling gru-mut3 in float64",
            "compiling shared in float64",
        }
        assert one["found"] == after["found"]
        assert one["places"] == after["places"]
    assert len(list(place.iterdir())) == 3
    assert place.stat().st_mode & 0o777 == 0o700


def cut_short(entry: Path, _: bytes) -> None:
    entry.write_bytes(entry.read_bytes()[:-100])


def emptied(entry: Path, _: bytes) -> None:
    entry.write_bytes(b"")


def altered(entry: Path, _: bytes) -> None:
    whole = bytearray(entry.read_bytes())
    whole[len(whole) // 2] ^= 1
    entry.write_bytes(whole)


def of_another_key(entry: Path, other: bytes) -> None:
    entry.write_bytes(other)


@pytest.mark.parametrize("damage", [cut_short, emptied, altered, of_another_key])
def test_a_damaged_entry_is_compiled_again_and_replaced(
    damage: Callable[[Path, bytes], None], place: Path, compiled: Callable[[], list[str]]
) -> None:
    CompiledScan(find("mgu", "mgu"), double=False)
    (other,) = place.iterdir()
    assert compiled() == ["compiling rnn-tanh in float32"]
    (entry,) = set(place.iterdir()) - {other}
    whole = entry.read_bytes()
    assert compiled() == []
    damage(entry, other.read_bytes())
    assert compiled() == ["compiling rnn-tanh in float32"]
    assert entry.read_bytes() == whole


def a_file(place: Path) -> None:
    place.parent.write_text("not a folder")


def open_to_others(place: Path) -> None:
    place.mkdir(parents=True)
    place.chmod(0o755)


def of_another_user(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    place.mkdir(parents=True, mode=0o700)
    os.chown(place, 12345, 12345)


def a_link(place: Path) -> None:
    place.parent.mkdir()
    there = place.parent / "elsewhere"
    there.mkdir(mode=0o700)
    place.symlink_to(there)


@pytest.mark.parametrize("obstacle", [a_file, open_to_others, of_another_user, a_link])
def test_a_folder_that_others_may_change_is_neither_read_nor_written(
    obstacle: Callable[[Path], None], place: Path, compiled: Callable[[], list[str]]
) -> None:
    obstacle(place)
    for _ in range(2):
        assert compiled() == ["compiling rnn-tanh in float32"]
    assert not place.is_dir() or not list(place.iterdir())


def test_an_entry_that_others_may_write_is_compiled_again(
    place: Path, compiled: Callable[[], list[str]]
) -> None:
    compiled()
    (entry,) = place.iterdir()
    entry.chmod(0o666)
    assert compiled() == ["compiling rnn-tanh in float32"]
    assert compiled() == []


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_no_part_of_an_entry(
    place: Path, compiled: Callable[[], list[str]]
) -> None:
    with full_disk():
        found = [compiled(), compiled()]
    assert found == [["compiling rnn-tanh in float32"]] * 2
    assert list(place.iterdir()) == []


def test_code_from_another_plan_or_for_other_vectors_has_another_key() -> None:
    single, double = simd_type(False), simd_type(True)
    half = replace(single, lanes=single.lanes // 2)

    def changed(a: Any, s: Any) -> dict[str, Any]:
        return {"h": sigmoid(a("h"))}

    other = Plan(replace(VARIANT, step=changed))
    plans = [Plan(VARIANT), other, Plan(find("rnn", "relu")), None]
    keys = [key_of(simd, plan) for simd in (single, double, half) for plan in plans]
    assert len(set(keys)) == len(keys)
    assert key_of(single, Plan(VARIANT)) == key_of(single, plan_of(VARIANT))


@pytest.mark.parametrize("file", ["graph.py", "trace.py", "adjoint.py", "cpu/plan.py", "cpu/ir.py"])
def test_a_changed_source_file_of_the_engine_changes_the_keys(file: str, tmp_path: Path) -> None:
    copy = tmp_path / "engine"
    shutil.copytree(Path(engine.__file__).parent, copy)
    before = sources_digest(copy)
    (copy / file).write_text((copy / file).read_text() + "\n#")
    assert sources_digest(copy) != before


def test_a_number_in_the_equations_is_part_of_the_key() -> None:
    def scaled(factor: float) -> Plan:
        return Plan(replace(VARIANT, step=lambda a, s: {"h": sigmoid(factor * a("h"))}))

    keys = [key_of(simd_type(False), scaled(factor)) for factor in (0.5, 0.25, 0.5)]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_the_oldest_entries_are_removed(place: Path) -> None:
    three = Cache("kernels", max_entries=3)
    for age, key in enumerate("abcde"):
        three.store(key, b"code")
        os.utime(place / key, (1000 + age, 1000 + age))
    assert sorted(path.name for path in place.iterdir()) == ["c", "d", "e"]
    assert three.load("a") is None
    assert three.load("e") == b"code"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GATESEARCH_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/kernels"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/gatesearch/kernels"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/u/.cache/gatesearch/kernels"),
        ({"GATESEARCH_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/u/.cache/gatesearch/kernels"),
    ],
)
def test_the_environment_chooses_the_folder(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATESEARCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **environment}.items():
        monkeypatch.setenv(name, value)
    assert KERNELS.folder == Path(expected)
