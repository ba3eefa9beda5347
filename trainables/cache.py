"""What costs time to make and is the same every time, kept on disk for later processes.

    $GATESEARCH_CACHE, or $XDG_CACHE_HOME/gatesearch, or ~/.cache/gatesearch
        <kind>/<key>    a checksum, then the content

Trust: some of what is read here is run, so that whoever may write here may run code as this user.
Folder and files therefore have to belong to this user, and the folder has to be closed to everybody
else; any other is neither read nor written, for instance one that somebody laid out first in a
shared place. The checksum finds files that are cut off, damaged, or of another key. It is no
defence against this user's own processes, which need no cache to do harm.

The cache only saves time: where it cannot be used, everything goes on as if it were empty.
"""

import functools
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHECKSUM = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


class Cache:
    """Entries of one kind, found by their keys, which must say all that an entry depends on."""

    def __init__(self, kind: str, kept: int) -> None:
        """Name the folder; of more than `kept` entries the oldest go."""
        self._kind, self._kept = kind, kept

    @property
    def folder(self) -> Path:
        """Where entries are. Raises RuntimeError where the user has no home."""
        if chosen := os.environ.get("GATESEARCH_CACHE"):
            return Path(chosen) / self._kind
        standard = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG Base Directory Specification has relative paths ignored.
        caches = standard if standard.is_absolute() else Path.home() / ".cache"
        return caches / "gatesearch" / self._kind

    def load(self, key: str) -> bytes | None:
        """Return what was stored under a key; None where there is nothing, or nothing whole."""
        try:
            with self._opened() as where, os.fdopen(_open(where, key, os.O_RDONLY), "rb") as file:
                _check(file.fileno(), others=0o022)
                entry = file.read()
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError) as error:
            _unused(str(error))
            return None
        content = entry[_CHECKSUM:]
        return content if entry[:_CHECKSUM] == _checksum(key, content) else None

    def store(self, key: str, content: bytes) -> None:
        """Keep content under a key. Where that is impossible, nothing is kept."""
        # Written aside and renamed: other processes see a whole entry or none.
        part = f".{secrets.token_hex(8)}"
        try:
            with self._opened() as where:
                try:
                    to = _open(where, part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                    with os.fdopen(to, "wb") as file:
                        file.write(_checksum(key, content) + content)
                    os.replace(part, key, src_dir_fd=where, dst_dir_fd=where)
                except OSError:
                    with suppress(OSError):
                        os.unlink(part, dir_fd=where)
                    raise
                self._forget(where)
        except (OSError, RuntimeError) as error:
            _unused(str(error))

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the folder, made where it is missing; OSError where it is not this user's alone.

        Files are opened relative to it, so that they are in the very folder that was looked at.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check(where, others=0o077)
            yield where
        finally:
            os.close(where)

    def _forget(self, where: int) -> None:
        """Remove the oldest entries beyond `kept`, and what writers that were killed have left."""
        with os.scandir(where) as files, suppress(FileNotFoundError):  # others tidy up as well
            ages = sorted((file.stat().st_mtime_ns, file.name) for file in files)
            for _, name in ages[: -self._kept]:
                os.unlink(name, dir_fd=where)


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
def _unused(reason: str) -> None:
    """Say once why the cache is not used."""
    logger.debug("nothing is cached: %s", reason)
