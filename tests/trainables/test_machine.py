"""What a machine has is read from the kernel, the driver and torch, whatever they answer."""

import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from warnings import warn

import pytest

from trainables import machine
from trainables.machine import Card, Cores, Driver, Torch

GIB = 2**30
V2, OUTER = "0::/outer/pod\n", "outer"
V1 = "4:memory:/pod\n3:cpu,cpuacct:/pod\n2:cpuset:/\n"


def test_a_file_of_a_tmpfs_is_in_memory_and_one_of_a_disk_is_not(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        assert machine.is_in_memory(file.fileno())
        device = os.fstat(file.fileno()).st_dev
        disk = f"25 24 {os.major(device)}:{os.minor(device)} / /data rw - ext4 /dev/vda rw\n"
        memory = "26 24 253:7 / /tmp rw shared:1 - tmpfs tmpfs rw\n"
        for mounts, expected in ((memory + disk, False), (memory, False), ("", False)):
            (tmp_path / "mountinfo").write_text(mounts)
            assert machine.is_in_memory(file.fileno(), tmp_path / "mountinfo") is expected
        assert not machine.is_in_memory(file.fileno(), tmp_path / "none")


@pytest.mark.parametrize(
    ("own", "files", "limits"),
    [
        (V2, {}, (None, None)),
        (V2, {"outer/pod/cpu.max": "max 100000", "outer/pod/memory.max": "max"}, (None, None)),
        (V2, {"outer/pod/cpu.max": "150000 100000", "memory.max": "1000"}, (1.5, 1000)),
        (V2, {"outer/pod/cpu.max": "800000 100000", "outer/cpu.max": "200000 100000"}, (2, None)),
        (V2, {"cpu.max": "300000 100000"}, (3, None)),  # a container's own view: it is the root
        (V1, {"cpu/pod/cpu.cfs_quota_us": "-1", "cpu/pod/cpu.cfs_period_us": "1"}, (None, None)),
        (V1, {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, (0.5, None)),
        (V1, {"memory/pod/memory.limit_in_bytes": "4096"}, (None, 4096)),
        ("2:cpuset:/\n", {"cpu.max": "100000 100000"}, (None, None)),
        ("", {}, (None, None)),
    ],
)
def test_the_least_limit_of_the_cgroups_around_a_process_counts(
    own: str, files: dict[str, str], limits: tuple[float | None, int | None], tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        place = tmp_path / "mounts" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")
    assert machine.cgroup_limits(tmp_path / "own", tmp_path / "mounts") == limits


@pytest.mark.parametrize(
    ("cores", "usable"),
    [
        (Cores(64, 64), 64),
        (Cores(64, 1), 1),
        (Cores(64, 64, 2.5), 2),
        (Cores(64, 4, 16.0), 4),
        (Cores(64, 64, 0.5), 1),
    ],
)
def test_cores_are_those_that_can_be_busy_all_the_time(cores: Cores, usable: int) -> None:
    assert cores.usable == usable


@pytest.mark.parametrize(
    ("capability", "architecture", "runs"),
    [
        ((8, 0), "sm_80", True),
        ((8, 9), "sm_80", True),
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80", False),
        ((9, 0), "compute_80", True),
        ((12, 0), "sm_120", True),
        ((9, 0), "sm_90a", True),
        ((10, 0), "sm_90a", False),
        ((6, 0), "sm_75", False),
        ((9, 0), "gfx942", False),
    ],
)
def test_a_card_runs_code_of_its_major_version_or_intermediate_code(
    capability: tuple[int, int], architecture: str, runs: bool
) -> None:
    assert Card("a card", GIB, capability).runs(architecture) is runs


H100 = Card("NVIDIA H100", 81559 * 2**20, (9, 0))
SMI = {
    "prints rows": (
        "echo '580.95.05, NVIDIA H100, 81559, 9.0'; echo '580.95.05, NVIDIA H100, 81559, 9.0'",
        Driver("580.95.05", (H100, H100)),
    ),
    "has no figures": (
        "echo '580.1, NVIDIA GB10, [N/A], [N/A]'",
        Driver("580.1", (Card("NVIDIA GB10", 0, (0, 0)),)),
    ),
    "has no cards": ("true", Driver()),
    "fails": (
        "echo \"NVIDIA-SMI has failed because it couldn't reach the driver. Make sure that "
        'it runs." >&2; exit 9',
        Driver(problem="NVIDIA-SMI has failed because it couldn't reach the driver"),
    ),
    "fails without a word": ("exit 1", Driver(problem="nvidia-smi fails")),
    "prints something else": (
        "echo 'No devices were found'",
        Driver(problem="nvidia-smi answers 'No devices were found'"),
    ),
    "never answers": (
        "exec sleep 60",
        Driver(problem="nvidia-smi does not answer within 1 s"),
    ),
}


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="the driver's version is known")
@pytest.mark.parametrize(("does", "found"), SMI.values(), ids=SMI)
def test_the_driver_is_asked_through_its_own_program(
    does: str, found: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(machine, "DRIVER_SECONDS", 1.0)
    assert machine.read_driver() == found


def stand_in(cuda: str | None, **of_cuda: Any) -> ModuleType:
    """Return a torch as it is on another machine, whose CUDA answers in this way."""
    module = ModuleType("torch")
    vars(module).update(version=SimpleNamespace(cuda=cuda), cuda=SimpleNamespace(**of_cuda))
    return module


def warns() -> bool:
    warn(
        "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). "
        "Please update it, e.g. from NVIDIA.",
        stacklevel=1,
    )
    return False


def raises() -> bool:
    raise RuntimeError("CUDA unknown error - e.g. a changed variable.\nSetting devices to 0")


PROPERTIES = SimpleNamespace(name="NVIDIA H100", total_memory=H100.memory_bytes, major=9, minor=0)
TORCHES = {
    "without CUDA": (stand_in(None), Torch()),
    "without a card": (stand_in("13.0", is_available=lambda: False), Torch("13.0")),
    "a driver that warns": (
        stand_in("13.0", is_available=warns),
        Torch(
            "13.0",
            problem="CUDA initialization: The NVIDIA driver on your system is too old "
            "(found version 11040)",
        ),
    ),
    "a driver that raises": (
        stand_in("13.0", is_available=raises),
        Torch("13.0", problem="CUDA unknown error - e.g. a changed variable"),
    ),
    "a card": (
        stand_in(
            "13.0",
            is_available=lambda: True,
            device_count=lambda: 1,
            get_device_properties=lambda number: PROPERTIES,
            get_arch_list=lambda: ["sm_80", "sm_90"],
        ),
        Torch("13.0", ("sm_80", "sm_90"), (H100,)),
    ),
    "a package that cannot be imported": (None, Torch()),
}


@pytest.mark.parametrize(("module", "found"), TORCHES.values(), ids=TORCHES)
def test_whatever_torch_s_cuda_does_becomes_one_sentence(
    module: ModuleType | None, found: Torch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", module)
    assert machine.read_torch() == found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One.\n  Two.", "One"),
        ("A driver, e.g. This one, i.e. That.", "A driver, e.g. This one, i.e. That"),
        ("Version 13.0 is needed. Not 12.", "Version 13.0 is needed"),
        ("", ""),
        ("x" * 500, "x" * 239 + "…"),
    ],
)
def test_a_library_s_message_is_cut_to_its_first_sentence(text: str, first: str) -> None:
    assert machine.sentence(text) == first


def test_this_machine_is_read() -> None:
    found = machine.read()
    assert 1 <= found.cores.usable <= found.cores.affinity <= found.cores.machine
    assert found.memory_bytes > GIB
    assert found.versions["torch"] and found.versions["ray"]
