"""What takes long to make and is always the same, stored on disk for later processes.

    $GATESEARCH_CACHE, or $XDG_CACHE_HOME/gatesearch, or ~/.cache/gatesearch
        <kind>/<key>    a checksum, then the content
        jobs/           which jobs run on this machine: see search/run/local_jobs.py

Trust: some of what is read here is run. Whoever may write here may run code as this user. So folder
and files must belong to this user, and the folder must be closed to everybody else; any other is
neither read nor written, for instance one that somebody made first in a shared place. The checksum
finds files that are cut off, damaged, or of another key. It is no defence against this user's own
processes, which need no cache to do harm.

The cache only saves time: where it cannot be used, everything goes on as if it were empty.
"""

import functools
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spaces.paths import in_home

_CHECKSUM = hashlib.sha256().digest_size
_DRAFT = re.compile(r"\.[0-9a-f]{16}")
_DRAFT_SECONDS = 3600  # after which nobody writes to a draft any more

logger = logging.getLogger(__name__)


class Cache:
    """Entries of one kind, found by their keys, which must say all that an entry depends on."""

    def __init__(self, kind: str, max_entries: int) -> None:
        """Name the folder; of more than max_entries the oldest are removed."""
        self._kind, self._max_entries = kind, max_entries

    @property
    def folder(self) -> Path:
        """Where entries are. Raises RuntimeError where the user has no home."""
        if chosen := os.environ.get("GATESEARCH_CACHE"):
            return in_home(chosen) / self._kind
        standard = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG Base Directory Specification has relative paths ignored.
        caches = standard if standard.is_absolute() else Path.home() / ".cache"
        return caches / "gatesearch" / self._kind

    def load(self, key: str) -> bytes | None:
        """Return what was stored under a key; None where there is nothing whole."""
        try:
            with (
                self._folder_open() as where,
                os.fdopen(_open(where, key, os.O_RDONLY), "rb") as file,
            ):
                _check(file.fileno(), others=0o022)
                entry = file.read()
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError) as error:
            _log_once(str(error))
            return None
        content = entry[_CHECKSUM:]
        return content if entry[:_CHECKSUM] == _checksum(key, content) else None

    def store(self, key: str, content: bytes) -> None:
        """Store content under a key, or nothing where that is impossible."""
        # Written to a draft and renamed: other processes see a whole entry or none.
        draft = f".{secrets.token_hex(8)}"
        try:
            with self._folder_open() as where:
                try:
                    to = _open(where, draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                    with os.fdopen(to, "wb") as file:
                        file.write(_checksum(key, content) + content)
                    os.replace(draft, key, src_dir_fd=where, dst_dir_fd=where)
                except OSError:
                    with suppress(OSError):
                        os.unlink(draft, dir_fd=where)
                    raise
                self._remove_oldest(where)
        except (OSError, RuntimeError) as error:
            _log_once(str(error))

    def own_folder(self) -> Path:
        """Return the folder, made and checked: for files that are no entries, but only this user's.

        Raises OSError where it is not this user's alone, RuntimeError where there is no home.
        """
        with self._folder_open():
            return self.folder

    @contextmanager
    def _folder_open(self) -> Iterator[int]:
        """Open the folder, made where it is missing; OSError where it is not this user's alone.

        Files are opened relative to it: they are in the very folder that was checked.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check(where, others=0o077)
            yield where
        finally:
            os.close(where)

    def _remove_oldest(self, where: int) -> None:
        """Remove the oldest entries beyond max_entries, and drafts of writers that were killed.

        Somebody may have chosen a folder in which other things are: these stay.
        """
        now = time.time_ns()
        entries: list[tuple[int, str]] = []
        with os.scandir(where) as files, suppress(FileNotFoundError):  # others tidy up as well
            for file in files:
                age = file.stat(follow_symlinks=False).st_mtime_ns
                if _DRAFT.fullmatch(file.name):
                    if now - age > _DRAFT_SECONDS * 10**9:
                        os.unlink(file.name, dir_fd=where)
                elif file.is_file(follow_symlinks=False):
                    entries.append((age, file.name))
            for _, name in sorted(entries)[: -self._max_entries]:
                if _is_entry(where, name):
                    os.unlink(name, dir_fd=where)


def _is_entry(where: int, name: str) -> bool:
    """Return whether a file is an entry: no other begins with the checksum of its name and rest."""
    with suppress(OSError), os.fdopen(_open(where, name, os.O_RDONLY), "rb") as file:
        return file.read(_CHECKSUM) == _checksum(name, file.read())
    return False


def _checksum(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _open(where: int, name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=where)


def _check(opened: int, others: int) -> None:
    """Raise PermissionError unless a file is this user's and gives others none of these rights."""
    about = os.fstat(opened)
    if about.st_uid != os.geteuid() or about.st_mode & others:
        raise PermissionError("cache folder or file is not this user's alone (mode 0700)")


@functools.cache
def _log_once(reason: str) -> None:
    """Log once why the cache is not used."""
    logger.debug("nothing is cached: %s", reason)
