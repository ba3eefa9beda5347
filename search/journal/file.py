"""The job journal in a file: one line a group, locked by a second file beside it."""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from search.journal.base import (
    BaseJournal,
    BaseReader,
    Group,
    JournalBusyError,
    JournalError,
    JournalFencedError,
    JournalFullError,
    decode,
)
from spaces.errors import InputError
from trainables.files import lock_taken, open_own, sync_folder

#: What a writer that died in the first group leaves: its beginning, without an end.
_TORN_FIRST = re.compile(rb"\0*|[0-9a-f]{0,8}|[0-9a-f]{8} (\[.*)?")
_LOOK = 0.3  # seconds that `is_locked` holds a lock, at most
_HOLDER = b"process "  # with which a lock's text begins


class FileReader(BaseReader):
    """Reads a journal in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self.offset = 0  #: bytes of whole groups read so far

    def exists(self) -> bool:
        """Return whether the file is there; something else of its name counts as one."""
        return os.path.lexists(self._path)

    def groups(self) -> Iterator[Group]:
        """Yield the groups that are new since the last call, up to the first unfinished line.

        Raises JournalError where a damaged line has whole lines behind it, and where the file is no
        journal; InputError where it is no plain file.
        """
        if not self.exists():
            return
        with os.fdopen(open_own(self._path, os.O_RDONLY), "rb") as file:
            file.seek(self.offset)
            for line in file:
                group = decode(line)
                if group is None:
                    if self.offset == 0 and not _TORN_FIRST.fullmatch(line):
                        raise JournalError(
                            f"{self._path}:1: a journal must begin with a whole group, and this "
                            "file does not: it is something else, or was damaged. It is left as it "
                            "is; move it away, or restore the journal from a copy."
                        )
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


class FileJournal(BaseJournal):
    """A journal in a file, locked by a second one beside it."""

    def __init__(self, path: Path) -> None:
        """Open for writing, made if need be. Raises JournalBusyError or JournalError.

        InputError where the file system has no locks.
        """
        self.path = path
        self._lock = _lock(_lock_of(path))
        try:
            reader = FileReader(path)
            created = not reader.exists()
            super().__init__(str(path.parent), reader.read())
            self._file = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            if created:
                sync_folder(path.parent)
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


def is_locked(path: Path) -> bool | None:
    """Return whether a driver holds a journal's lock; None where that cannot be seen."""
    try:
        lock = open_own(_lock_of(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except (OSError, InputError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None  # a file system without locks
    finally:
        os.close(lock)
    return False


def _taken(descriptor: int, path: Path) -> bool:
    """Take a lock; return False where somebody holds it for longer than a look at it takes."""
    until = time.monotonic() + _LOOK
    while not lock_taken(descriptor, path):
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> int:
    """Return an open descriptor that holds the lock; the kernel frees it when the driver dies.

    Raises JournalBusyError, and InputError where the file system has no locks.
    """
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        free = _taken(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    if not free:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise JournalBusyError(
            f"The job in {path.parent} is being run by {holder}. Wait for it or stop it first; "
            "`gatesearch results` and `gatesearch compare` may be used meanwhile."
        )
    if os.pread(descriptor, len(_HOLDER), 0) not in (b"", _HOLDER):
        os.close(descriptor)
        raise JournalError(
            f"{path} must be the lock of the job's journal, not something else. It is left as it "
            "is; move it away."
        )
    os.ftruncate(descriptor, 0)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = f"process {os.getpid()} on {socket.gethostname()} since {started}"
    os.pwrite(descriptor, holder.encode(), 0)
    return descriptor
