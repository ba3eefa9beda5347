"""How much memory something takes at most: on a card as torch counts it, on a CPU as Linux does."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

_STATUS = Path("/proc/self/status")
_REFERENCES = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  #: see proc_pid_clear_refs(5)


#: Parameters of glibc's mallopt(3), and what they are unless somebody sets them.
_MMAP_THRESHOLD, _DEFAULT = -3, 128 * 1024
_EXACT = 32 * 1024


@contextmanager
def exact_memory() -> Iterator[None]:
    """Have memory that is freed go back to the system at once: what is used anew is then seen."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        yield
        return
    mallopt(_MMAP_THRESHOLD, _EXACT)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _DEFAULT)


class PeakMemory:
    """Watches the memory in use while the with statement runs.

    On a CPU it is that of the whole process: nothing else of it should take memory meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self.bytes: int | None = None  #: most that was added to what was in use; None: not known
        self._on_card = device.type == "cuda"
        self._device = device
        self._before: int | None = None

    def __enter__(self) -> Self:
        if self._on_card:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = _reset()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        if self._on_card:
            torch.cuda.synchronize(self._device)
            peak: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _status("VmHWM")
        if peak is not None and peak > self._before:  # else other memory was freed meanwhile
            self.bytes = peak - self._before


def _reset() -> int | None:
    """Forget the highest use so far; return the bytes in use, or None where Linux does not tell.

    What was freed and kept is given back first: it would be taken again unseen.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _REFERENCES.write_text(_RESET_PEAK)
    except (AttributeError, OSError):  # another C library, another system, or a closed /proc
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    """Return a size that Linux tells of this process, in bytes."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
