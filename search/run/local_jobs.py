"""Jobs that run on one machine at once: they know of each other by locks and divide the cores.

    <cache>/jobs/.job.<32 hex digits>    what a job asks for; held while its trials train

Trials are dealt in turn, to the earliest job first, until the cores are used up. Each job has room
for one trial at least; where there is none for a job that is new, it waits until an earlier one has
ended. Jobs that may use other cores (another machine, a container, a batch system) are others'.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from search.job.spec import JobSpec
from trainables.cache import Cache
from trainables.files import draft_file, drafted, locked_if_free, remove_stale_drafts
from trainables.machine import read_cores
from trainables.patience import show_wait

_ENTRY = "job"
_LOOK_SECONDS = 1.0
_MOST = 1_000  # trials at once of a job that names no limit


@dataclass(frozen=True, order=True)
class Asking:
    """What a job asks of the machine."""

    since: int  #: of the clock that all processes of the machine share; who came first
    name: str
    cpus: float  #: of one trial, or of one worker that packs several
    most: int  #: trials at once, at most
    cores: str  #: which ones it may use; jobs that may use others are no neighbours

    @classmethod
    def of(cls, job: JobSpec) -> Self:
        """Return what a job asks for that begins now."""
        need = job.resources
        most = _MOST if need.packed or need.max_concurrent is None else need.max_concurrent
        return cls(time.monotonic_ns(), job.name, need.cpus_per_trial, most, _own_cores())


def deal(cores: float, asking: Sequence[Asking]) -> list[int]:
    """Return how many trials each job may train at once; 0 for one that waits, and who follows it.

    asking: the earliest first, which has room whatever it asks for.
    """
    parts = [0] * len(asking)
    left = cores
    for number, job in enumerate(asking):
        if number and job.cpus > left:
            break
        parts[number], left = 1, left - job.cpus
    while True:
        before = list(parts)
        for number, job in enumerate(asking):
            if 0 < parts[number] < job.most and job.cpus <= left:
                parts[number] += 1
                left -= job.cpus
        if parts == before:
            return parts


class Place:
    """A job's place among those of its machine."""

    def __init__(self, own: Asking, entry: Path | None) -> None:
        """entry: the job's file; None where jobs cannot know of each other."""
        self._own, self._entry = own, entry
        self._cores = read_cores().usable

    def most(self) -> int | None:
        """Return how many trials the job may train at once; None where it is alone, 0 to wait.

        What it shares or waits for is shown beside its progress.
        """
        others = self._others()
        if not others:
            show_wait(id(self), None)
            return None
        asking = sorted([self._own, *others])
        part = deal(self._cores, asking)[asking.index(self._own)]
        names = ", ".join(sorted({job.name for job in others}))
        beside = f"{self._cores} cores are shared with other jobs of this machine ({names})"
        waiting = f"waiting until one of this machine's other jobs has ended ({names})"
        show_wait(id(self), beside if part else waiting)
        return part

    def wait(self) -> bool:
        """Wait until there is room for a trial; return whether there was none."""
        waited = False
        while self.most() == 0:
            waited = True
            time.sleep(_LOOK_SECONDS)
        return waited

    def leave(self) -> None:
        """Show nothing more."""
        show_wait(id(self), None)

    def _others(self) -> list[Asking]:
        if self._entry is None:
            return []
        found = []
        with suppress(OSError):
            remove_stale_drafts(self._entry.parent / _ENTRY)
            for path in self._entry.parent.iterdir():
                if drafted(path.name) == _ENTRY and path != self._entry and _is_held(path):
                    job = _read(path)
                    if job is not None and job.cores == self._own.cores:
                        found.append(job)
        return found


@contextmanager
def place_on_machine(job: JobSpec) -> Iterator[Place]:
    """Take a place among the jobs of this machine for the length of the block."""
    own = Asking.of(job)
    with _entry(own) as entry:
        place = Place(own, entry)
        try:
            yield place
        finally:
            place.leave()


@contextmanager
def _entry(own: Asking) -> Iterator[Path | None]:
    """Give the job's file among those of other jobs; None where there can be none."""
    with ExitStack() as stack:
        path = None
        with suppress(OSError, RuntimeError):  # no home, a full disk: the job goes on by itself
            folder = Cache("jobs", 0).own_folder()
            path, handle = stack.enter_context(draft_file(folder / _ENTRY))
            os.write(handle, json.dumps(asdict(own)).encode())
        yield path


def _is_held(path: Path) -> bool:
    try:
        with locked_if_free(path):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _read(path: Path) -> Asking | None:
    """Return what another job asks for; None where that is not written yet, or in another form."""
    with suppress(OSError, ValueError, TypeError):
        return Asking(**json.loads(path.read_text()))
    return None


def _own_cores() -> str:
    """Return which cores this process may use, in words that are equal where they are the same."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    allowed = sorted(os.sched_getaffinity(0))
    quota = read_cores().quota
    group = "" if quota is None else Path("/proc/self/cgroup").read_text()
    return f"{boot} {allowed} {group}"
