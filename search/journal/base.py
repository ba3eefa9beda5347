"""The job journal: the one truth of a job. One writer, the driver; any number of readers.

BaseJournal and BaseReader are what a journal promises. file.py keeps it in a file, postgres.py in
PostgreSQL. A line is one atomic group of records:

    8 hex digits (CRC-32 of the rest) SPACE JSON array of objects NEWLINE

A group is whole or it is not there: a writer that dies, or a disk that fills up, leaves at most one
torn last line, which readers wait for and the next writer cuts off. A damaged line anywhere else is
an error, since what follows it would be read on top of a gap.

Errors:
    JournalError            the journal cannot be used; names file, line and remedy
        JournalBusyError         another driver holds it
        JournalFencedError       somebody else has written to it: this driver must stop
        JournalFullError         there is no room for the group; nothing was half-written
        JournalAwayError         the storage cannot be reached; what was committed is stored
"""

import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

from spaces.errors import GatesearchError

Group = list[dict[str, Any]]


class JournalError(GatesearchError):
    """The journal cannot be read or written."""


class JournalBusyError(JournalError):
    """Another driver runs this job."""


class JournalFencedError(JournalError):
    """Another process has written to the journal: this driver was superseded."""


class JournalFullError(JournalError):
    """The storage refused an append for want of room; the journal ends with the group before."""


class JournalAwayError(JournalError):
    """The storage cannot be reached: what was committed is stored, the job resumes later."""


def encode(group: Group) -> bytes:
    """Return a group as one line. Raises ValueError for NaN and infinity, which JSON lacks."""
    body = json.dumps(group, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Group | None:
    """Return the group of a line, or None if the line is torn or damaged."""
    if len(line) < 12 or not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    body = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(body):
            return None
        group = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_group = isinstance(group, list) and all(isinstance(record, dict) for record in group)
    return group if is_group else None


class BaseReader(ABC):
    """Reads a journal that may still be growing."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether the job has a journal at all."""

    @abstractmethod
    def groups(self) -> Iterator[Group]:
        """Yield the groups that are new since the last call; none where there is no journal yet.

        Raises JournalError where groups are damaged or missing, so that what follows is on top of a
        gap, and JournalAwayError where the storage is out of reach.
        """

    def read(self) -> list[Group]:
        """Return the new groups as a list."""
        return list(self.groups())


class BaseJournal(ABC):
    """The driver's end of a journal. Holds the job's lock for as long as it is open.

    Records are collected by `append` and stored as one group with `commit`.
    """

    def __init__(self, place: str, history: list[Group]) -> None:
        self.place = place  #: for messages: the folder, or the database
        self._history: list[Group] | None = history
        self._pending: Group = []

    def take_history(self) -> list[Group]:
        """Return the groups found on opening, once: they are not kept after that."""
        history, self._history = self._history or [], None
        return history

    def append(self, *records: dict[str, Any]) -> None:
        """Add records to the group that the next commit stores."""
        self._pending.extend(records)

    def commit(self, *, flush: bool = True) -> None:
        """Store the collected records as one group and wait until it is on disk.

        With flush=False a file's group is written but not waited for: it outlives this process,
        and the machine once a later commit has flushed it. The order of groups is kept either way.

        Raises JournalFencedError when somebody else has written to the journal, JournalFullError
        when there is no room for the group, JournalAwayError when the storage is out of reach. But
        for the last, where it may be stored, nothing of the group is.
        """
        if self._pending:
            self._store(encode(self._pending), flush=flush)
            self._pending = []

    @abstractmethod
    def _store(self, line: bytes, *, flush: bool) -> None:
        """Store one encoded group, whole or not at all; flush: see commit."""

    @abstractmethod
    def close(self) -> None:
        """Release the job. What was not committed is dropped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
