"""What this machine has: cores, memory, cards, versions of libraries. Starts nothing.

read() imports torch and asks NVIDIA's driver; importing this module does neither.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import warnings
from dataclasses import dataclass, field
from pathlib import Path

LIBRARIES = ("torch", "triton", "ray", "optuna", "mlflow")
DRIVER_SECONDS = 20.0  #: after which a driver that does not answer counts as broken
#: The end of a sentence; the full stop of "e.g." is none.
_SENTENCE = re.compile(r"(?<!e\.g)(?<!i\.e)[.!]\s+(?=[A-Z(])")
_LONGEST = 240


@dataclass(frozen=True)
class Cores:
    """Cores of a machine, and what of them this process may use."""

    machine: int
    affinity: int  #: those that it may be scheduled on
    quota: float | None = None  #: cores' worth of time that its cgroup gets; None: no limit

    @property
    def usable(self) -> int:
        """Cores that can be busy all the time: at least one."""
        return max(1, min(self.affinity, self.affinity if self.quota is None else int(self.quota)))


@dataclass(frozen=True)
class Card:
    """A GPU."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]  #: compute capability, as in (9, 0)

    def runs(self, architecture: str) -> bool:
        """Return whether code for an architecture runs here.

        architecture: as torch.cuda.get_arch_list names it: machine code ("sm_80") runs on a card of
        the same major version that is as new, an intermediate one ("compute_80") on all newer ones,
        and code with a letter ("sm_90a") on that card alone.
        """
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
        if match is None:
            return False
        kind, major, minor, exact = match.groups()
        oldest = (int(major), int(minor))
        if exact:
            return self.capability == oldest
        same_major = kind == "compute" or self.capability[0] == oldest[0]
        return same_major and self.capability >= oldest


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says, asked without torch."""

    version: str | None = None
    cards: tuple[Card, ...] = ()
    problem: str | None = None  #: one sentence, if the driver is there and does not answer


@dataclass(frozen=True)
class Torch:
    """What torch says of itself and of the cards that it sees; nothing if it cannot be imported."""

    cuda: str | None = None  #: the version of CUDA that it was built with
    architectures: tuple[str, ...] = ()  #: that it has machine code for
    cards: tuple[Card, ...] = ()
    problem: str | None = None  #: one sentence, if CUDA cannot be started

    @property
    def usable_cards(self) -> tuple[Card, ...]:
        """The cards that torch has code for."""
        return tuple(card for card in self.cards if any(map(card.runs, self.architectures)))


@dataclass(frozen=True)
class Machine:
    """A machine, as far as a job depends on it."""

    cores: Cores
    memory_bytes: int  #: that this process may use
    driver: Driver = field(default_factory=Driver)
    torch: Torch = field(default_factory=Torch)
    #: of Python and LIBRARIES; None if a library is not installed
    versions: dict[str, str | None] = field(default_factory=dict, hash=False)
    compiler: bool = True  #: whether triton finds a C compiler and Python's headers

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that torch sees, or else those that the driver has."""
        return self.torch.cards or self.driver.cards


def read() -> Machine:
    """Return this machine. Takes a second or two: torch is imported."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {name: version(name) for name in LIBRARIES}
    return Machine(
        read_cores(),
        memory_bytes(),
        read_driver(),
        read_torch(),
        versions,
        finds_compiler(),
    )


def read_cores() -> Cores:
    """Return the cores of this machine and what of them this process may use."""
    quota, _ = cgroup_limits()
    return Cores(os.cpu_count() or 1, len(os.sched_getaffinity(0)), quota)


def memory_bytes() -> int:
    """Return the bytes of memory of this machine, or of its part that this process may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _, limit = cgroup_limits()
    return memory if limit is None else min(memory, limit)


def is_in_memory(file: int, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether an open file takes memory and no disk. file: its descriptor."""
    device = os.fstat(file).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _text(mounts).splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split()[2] == number:
            return system.split()[0] in ("tmpfs", "ramfs")
    return False


def version(distribution: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def finds_compiler() -> bool:
    """Return whether triton can build the launchers of its kernels, as triton/runtime/build.py."""
    compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("gcc")
    return compiler is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()


def cgroup_limits(
    own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")
) -> tuple[float | None, int | None]:
    """Return the cores' worth of time and the bytes of memory that this process's cgroup gets.

    None where there is no limit. A limit of a cgroup around it counts as well. Of version 1 and 2.
    """
    quotas: list[float] = []
    sizes: list[int] = []
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        for folder in _up(path):
            if not controllers:
                quota, _, period = _text(mounts / folder / "cpu.max").partition(" ")
                size = _text(mounts / folder / "memory.max")
            else:
                cpu, memory = mounts / "cpu" / folder, mounts / "memory" / folder
                quota = _text(cpu / "cpu.cfs_quota_us") if "cpu" in controllers.split(",") else ""
                period = _text(cpu / "cpu.cfs_period_us")
                in_memory = "memory" in controllers.split(",")
                size = _text(memory / "memory.limit_in_bytes") if in_memory else ""
            if quota.isdecimal() and period.isdecimal():  # not "max", "-1" or nothing
                quotas.append(int(quota) / int(period))
            if size.isdecimal():
                sizes.append(int(size))
    return min(quotas, default=None), min(sizes, default=None)


def _up(path: str) -> list[str]:
    """Return a cgroup's path and those around it, relative to the mount; the last is the mount."""
    parts = path.strip("/").split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _text(path: Path) -> str:
    """Return what a file of the kernel's says, or nothing where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def read_driver() -> Driver:
    """Return what nvidia-smi says; no version and no cards where there is no driver."""
    program = shutil.which("nvidia-smi")
    loaded = re.search(r"\s(\d+\.\d+[\d.]*)\s", _text(Path("/proc/driver/nvidia/version")))
    known = None if loaded is None else loaded[1]
    if program is None:
        return Driver(known)
    columns = "driver_version,name,memory.total,compute_cap"
    command = [program, f"--query-gpu={columns}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_SECONDS)
    except subprocess.TimeoutExpired:
        return Driver(known, problem=f"nvidia-smi does not answer within {DRIVER_SECONDS:.0f} s")
    except OSError as error:
        return Driver(known, problem=f"nvidia-smi cannot be started: {error.strerror}")
    if done.returncode != 0:
        return Driver(known, problem=sentence(done.stderr or done.stdout) or "nvidia-smi fails")
    return parse_driver(done.stdout, known)


def parse_driver(table: str, known: str | None = None) -> Driver:
    """Return what the rows "driver version, name, MiB, compute capability" of nvidia-smi say."""
    cards = []
    for line in table.strip().splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 4:
            return Driver(known, problem=f"nvidia-smi answers {sentence(line)!r}")
        known, name, mebibytes, capability = cells
        major, _, minor = capability.partition(".")
        memory = int(mebibytes) * 2**20 if mebibytes.isdecimal() else 0  # "[N/A]" of shared memory
        numbers = (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
        cards.append(Card(name, memory, numbers))
    return Driver(known, tuple(cards))


def read_torch() -> Torch:
    """Return what torch says of CUDA. What it raises or warns of becomes one sentence."""
    try:
        import torch
    except (ImportError, OSError):  # OSError: a shared library that it needs is absent
        return Torch()
    cuda: str | None = torch.version.cuda
    if cuda is None:
        return Torch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            cards = _torch_cards() if torch.cuda.is_available() else ()
            architectures = tuple(torch.cuda.get_arch_list()) if cards else ()
        except Exception as error:  # a broken driver raises whatever it likes
            return Torch(cuda, problem=sentence(str(error)) or type(error).__name__)
    said = [] if cards else [sentence(str(warning.message)) for warning in caught]
    return Torch(cuda, architectures, cards, said[0] if said else None)


def _torch_cards() -> tuple[Card, ...]:
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return tuple(Card(one.name, one.total_memory, (one.major, one.minor)) for one in found)


def sentence(text: str) -> str:
    """Return the first sentence of a library's message, on one line, without its full stop."""
    first = _SENTENCE.split(" ".join(text.split()), maxsplit=1)[0].rstrip(".")
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"
