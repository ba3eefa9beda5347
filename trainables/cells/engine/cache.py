"""Compiled code on disk, so that a process does not compile what an earlier one has compiled.

    $GATESEARCH_CACHE, or $XDG_CACHE_HOME/gatesearch, or ~/.cache/gatesearch
        kernels/<key>    a checksum, then an object file

Trust: what is read here is run, so that whoever may write here may run code as this user. Folder
and files therefore have to belong to this user, and the folder has to be closed to everybody else;
any other is neither read nor written, for instance one that somebody laid out first in a shared
place. The checksum finds files that are cut off, damaged, or of another key. It is no defence
against this user's own processes, which need no cache to do harm.

The cache only saves time: where it cannot be used, code is compiled as if it were empty.
"""

import functools
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Entries that are kept, at most; the oldest go first. All variants together are about eighty.
KEPT = 512

_CHECKSUM = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


def folder() -> Path:
    """Return where entries are; RuntimeError where the user has no home."""
    if chosen := os.environ.get("GATESEARCH_CACHE"):
        return Path(chosen) / "kernels"
    standard = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification has relative paths ignored.
    caches = standard if standard.is_absolute() else Path.home() / ".cache"
    return caches / "gatesearch" / "kernels"


def load(key: str) -> bytes | None:
    """Return what was stored under a key; None where there is nothing, or nothing whole."""
    try:
        with _opened() as where, os.fdopen(_open(where, key, os.O_RDONLY), "rb") as file:
            _check(file.fileno(), others=0o022)
            entry = file.read()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        _unused(str(error))
        return None
    code = entry[_CHECKSUM:]
    return code if entry[:_CHECKSUM] == _checksum(key, code) else None


def store(key: str, code: bytes) -> None:
    """Keep code under a key. Where that is impossible, nothing is kept."""
    # Written aside and renamed: other processes see a whole entry or none.
    part = f".{secrets.token_hex(8)}"
    try:
        with _opened() as where:
            try:
                to = _open(where, part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                with os.fdopen(to, "wb") as file:
                    file.write(_checksum(key, code) + code)
                os.replace(part, key, src_dir_fd=where, dst_dir_fd=where)
            except OSError:
                with suppress(OSError):
                    os.unlink(part, dir_fd=where)
                raise
            _forget(where)
    except (OSError, RuntimeError) as error:
        _unused(str(error))


def _checksum(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + code).digest()


@contextmanager
def _opened() -> Iterator[int]:
    """Open the folder, made where it is missing; OSError where it is not this user's alone.

    Files are opened relative to it, so that they are in the very folder that was looked at.
    """
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check(where, others=0o077)
        yield where
    finally:
        os.close(where)


def _open(where: int, name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=where)


def _check(opened: int, others: int) -> None:
    """Raise PermissionError unless a file is this user's and gives others none of these rights."""
    about = os.fstat(opened)
    if about.st_uid != os.geteuid() or about.st_mode & others:
        raise PermissionError(f"{folder()} is not this user's alone (mode 0700)")


def _forget(where: int) -> None:
    """Remove the oldest entries beyond KEPT, and what writers that were killed have left."""
    with os.scandir(where) as files, suppress(FileNotFoundError):  # others tidy up as well
        ages = sorted((file.stat().st_mtime_ns, file.name) for file in files)
        for _, name in ages[:-KEPT]:
            os.unlink(name, dir_fd=where)


@functools.cache
def _unused(reason: str) -> None:
    """Say once why the cache is not used."""
    logger.debug("compiled code is not cached: %s", reason)
