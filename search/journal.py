"""The job journal: the one truth of a job. One writer, the driver; any number of readers.

BaseJournal and BaseReader are what a journal promises; Journal and JournalReader keep it in a file,
search/sql_journal.py in PostgreSQL. A line is one atomic group of records:

    8 hex digits (CRC-32 of the rest) SPACE JSON array of objects NEWLINE

A group is whole or it is not there: a writer that dies, or a disk that fills up, leaves at most one
torn last line, which readers wait for and the next writer cuts off. A damaged line anywhere else is
an error, since what follows it would be told on top of a gap.

Errors:
    JournalError            the journal cannot be used; names file, line and remedy
        JournalBusyError         another driver holds it
        JournalFencedError       somebody else has written to it: this driver must stop
        JournalFullError         the file system took no more; nothing was half-written
"""

import errno
import fcntl
import json
import os
import socket
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

Group = list[dict[str, Any]]


class JournalError(Exception):
    """The journal cannot be read or written."""


class JournalBusyError(JournalError):
    """Another driver runs this job."""


class JournalFencedError(JournalError):
    """The journal has grown by somebody else's hand: this driver was superseded."""


class JournalFullError(JournalError):
    """The storage refused an append for want of room; the journal ends with the group before."""


class JournalAwayError(JournalError):
    """The storage cannot be reached: what was committed is kept, the job resumes once it can."""


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
    except ValueError:
        return None
    return group if isinstance(group, list) else None


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


class JournalReader(BaseReader):
    """Reads a journal in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self.offset = 0  #: bytes of whole groups read so far

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self._path.is_file()

    def groups(self) -> Iterator[Group]:
        """Yield the groups that are new since the last call, up to the first unfinished line.

        Raises JournalError where a damaged line has whole lines behind it.
        """
        if not self.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                group = decode(line)
                if group is None:
                    if any(decode(later) is not None for later in file):
                        raise JournalError(
                            f"{self._path}:{self._line + 1}: this line is damaged and whole lines "
                            "follow it, so the disk or an editor has changed the journal. "
                            "Restore the file from a copy, or start the job under another name."
                        )
                    return
                self._line += 1
                self.offset += len(line)
                yield group


class Journal(BaseJournal):
    """A journal in a file, locked by a second one beside it."""

    def __init__(self, path: Path) -> None:
        """Open for writing, made if need be. Raises JournalBusyError or JournalError."""
        self.path = path
        self._lock = _lock(path.with_name(path.name + ".lock"))
        try:
            reader = JournalReader(path)
            created = not reader.exists()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if created:
                _sync_folder(path.parent)
            super().__init__(str(path.parent), reader.read())
            self._size = reader.offset
            os.ftruncate(self._file, self._size)  # a torn last line would swallow the next group
        except BaseException:
            os.close(self._lock)
            raise

    def _store(self, line: bytes, *, flush: bool) -> None:
        if os.fstat(self._file).st_size != self._size:
            raise JournalFencedError(
                f"{self.path} was written to by another driver. This one stops; "
                "the other one goes on with the job."
            )
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            if flush:
                os.fdatasync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise
            raise JournalFullError(
                f"{self.path} could not grow ({error.strerror}). Everything before is kept: "
                "make room, then resume the job."
            ) from error
        self._size += len(line)

    def close(self) -> None:
        """Release the job. What was not committed is dropped."""
        os.close(self._file)
        os.close(self._lock)


def _lock(path: Path) -> int:
    """Return an open descriptor that holds the lock; the kernel frees it when the driver dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise JournalBusyError(
            f"The job in {path.parent} is being run by {holder}. Wait for it or stop it first; "
            "`gatesearch results` and `gatesearch compare` may be used meanwhile."
        ) from error
    os.ftruncate(descriptor, 0)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = f"process {os.getpid()} on {socket.gethostname()} since {started}"
    os.pwrite(descriptor, holder.encode(), 0)
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
