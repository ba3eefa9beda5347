"""Whether a job's driver is at work, as far as this machine can see."""

import socket
from pathlib import Path

from search.job.folder import JOURNAL
from search.journal.file import is_locked
from search.journal.replay import JobState
from search.process import watch


def is_driver_at_work(job_state: JobState, folder: Path) -> bool:
    """Return False where a job's latest driver was a process of this machine and has gone.

    A driver of another machine counts as at work. It cannot be watched from here, and not every
    file system shows its lock.
    """
    locked = is_locked(folder / JOURNAL) if (folder / JOURNAL).exists() else None
    if locked or job_state.driver is None:
        return True
    pid, host = job_state.driver
    if host != socket.gethostname():
        return True
    return watch(pid)() if locked is None else False
