"""A journal that is read as it grows, and what it adds up to so far."""

import os
from collections import deque
from itertools import islice
from pathlib import Path

from search.job.folder import JOURNAL
from search.job.spec import JobSpec
from search.journal.base import JournalAwayError, JournalError
from search.journal.file import FileReader
from search.journal.open import open_reader
from search.journal.replay import JobState
from spaces.errors import InputError
from spaces.text import first_line
from trainables.files import open_own

AT_ONCE = 1_000  #: groups that one call reads, at most
LATEST = 12  #: trials that ended last, which are remembered
_CHECKSUM = 8  # characters with which a group begins


class Followed:
    """The journal of the job in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun = 0  #: how many journals were begun to read here, one after the other
        self._identity: tuple[int, int, bytes] | None = None
        self._begin()

    def _begin(self) -> None:
        self.begun += 1
        self.job: JobSpec | None = None  #: None until the job has begun its first trial
        self.job_state = JobState()
        self.groups = 0  #: read so far
        self.ended: deque[str] = deque(maxlen=LATEST)  #: keys of trials, the latest last
        self.driver_time = 0  #: when the latest driver took the job over, Unix time in ms
        self.problem: str | None = None  #: why nothing more can be read now
        self._spec: object = None
        self._reader = open_reader(self.folder)

    def read(self) -> int:
        """Read what is new, a part of it where it is much; return the number of groups read.

        Raises InputError where the journal cannot be read, now or ever.
        """
        if self._was_replaced():
            self._begin()
        found = 0
        try:
            for group in islice(self._reader.groups(), AT_ONCE):
                found += 1
                self.job_state.apply_all([group])
                for record in group:
                    self._note(record)
            if self._spec is not self.job_state.spec and self.job_state.info is not None:
                assert self.job_state.spec is not None
                self.job = JobSpec.recorded(self.job_state.spec, Path(self.job_state.base))
                self._spec = self.job_state.spec
            if found and self.job is not None:
                self.job_state.check_arms(self.job)
            self.problem = None
        except JournalAwayError as error:
            self.problem = f"the journal's database is away: {first_line(error)}"
        except (JournalError, InputError) as error:
            raise InputError.of(str(self.folder), first_line(error), "see the message") from error
        finally:
            self.groups += found
        return found

    def share(self) -> float | None:
        """Return which part of a journal in a file is read; None where that is not known."""
        if not isinstance(self._reader, FileReader):
            return None
        size = _size(self.folder / JOURNAL)
        return min(1.0, self._reader.offset / size) if size else None

    def _note(self, record: dict[str, object]) -> None:
        match record.get("record"):
            case "end":
                self.ended.append(str(record["key"]))
            case "driver":
                self.driver_time = int(str(record["time"]))

    def _was_replaced(self) -> bool:
        """Return whether another journal has taken the place of the one that was read."""
        if not isinstance(self._reader, FileReader):
            return False
        path = self.folder / JOURNAL
        size, identity = _size(path), _identity(path)
        if size is None or identity is None:
            return False  # away, as it may be for a moment
        before, self._identity = self._identity, identity
        if before is None or not self._reader.offset:
            return False
        same = before[:2] == identity[:2] and identity[2].startswith(before[2])
        return not same or size < self._reader.offset


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int, bytes] | None:
    """Return what tells a journal from another: its file, and its first group's checksum.

    The number of a file that was removed may be that of the next one.
    """
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            about = os.fstat(file.fileno())
            return about.st_dev, about.st_ino, file.read(_CHECKSUM)
    except (OSError, InputError):
        return None
