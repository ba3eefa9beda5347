"""Folders for what a process needs as long as it lives, removed after it even if it is killed.

    $TMPDIR/gatesearch-<user id>/       this user's alone
        4f1c09ab.lock                   held by the process that uses the folder beside it
        4f1c09ab/

A folder is stale when its lock can be taken: the kernel frees it with the process that held it, of
whatever machine or container. Where there can be no such parent folder, because somebody else has
made it or its file system has no locks, a folder is made that nobody but its own process removes.
"""

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from spaces.errors import InputError
from trainables.files import is_at, locked_if_free

_SHORT = (Path("/tmp"), Path("/dev/shm"))  #: where $TMPDIR is too long for sockets
_LOCK = re.compile(r"[0-9a-f]{8}\.lock")


#: What Ray adds to the path of its folder, at most, in the names of its sockets.
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 107  # bytes, in Linux


class ScratchFolder:
    """An empty folder."""

    def __init__(self, *, for_sockets: bool = False) -> None:
        """Make a folder. for_sockets: outside of a $TMPDIR too long for the names of Ray's sockets.

        Raises InputError where there is no such folder.
        """
        self.path, self._lock = _make(_temporary(for_sockets=for_sockets))

    def remove(self) -> None:
        """Remove the folder; what cannot be removed yet is stale from now on."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            _unlink_lock(self.path)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def remove_stale_folders() -> None:
    """Remove the folders of processes that were killed; what cannot be judged stays."""
    for place in {Path(tempfile.gettempdir()), *_SHORT}:
        with suppress(OSError):
            _remove_stale(_owned(place))


def _remove_stale(parent: Path) -> None:
    for lock in list(parent.iterdir()):
        if _LOCK.fullmatch(lock.name):
            with suppress(OSError), locked_if_free(lock):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                _unlink_lock(lock.with_suffix(""))


def _temporary(*, for_sockets: bool) -> Path:
    """Return the folder for temporary files; for sockets, one whose path is short enough."""
    chosen = Path(tempfile.gettempdir())
    if not for_sockets:
        return chosen
    names = f"/gatesearch-{os.geteuid()}/ffffffff/ray{_SOCKET}"
    for place in (chosen, *_SHORT):
        short = len(os.fsencode(place)) + len(names) <= _LONGEST_SOCKET
        if short and os.access(place, os.W_OK | os.X_OK):
            return place
    longest = _LONGEST_SOCKET - len(names)
    rule = f"its path must have at most {longest} bytes, or {_SHORT[0]} be writable"
    raise InputError.of("TMPDIR", f"{rule}; it is {chosen}", "set it to a folder of a shorter path")


def _make(place: Path) -> tuple[Path, int | None]:
    with suppress(OSError):
        with suppress(FileExistsError):
            _named(place).mkdir(mode=0o700)
        parent = _owned(place)
        while True:
            path = parent / secrets.token_hex(4)
            lock = path.with_suffix(".lock")
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if is_at(lock, handle):  # nobody has taken it for a stale one meanwhile
                    path.mkdir(mode=0o700)
                    return path, handle
            except BaseException:
                lock.unlink(missing_ok=True)
                os.close(handle)
                raise
            os.close(handle)
    return Path(tempfile.mkdtemp(prefix="gatesearch-", dir=place)), None


def _named(place: Path) -> Path:
    return place / f"gatesearch-{os.geteuid()}"


def _owned(place: Path) -> Path:
    """Return the parent folder. Raises OSError unless it is there and this user's alone."""
    parent = _named(place)
    about = parent.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise PermissionError(parent)
    return parent


def _unlink_lock(folder: Path) -> None:
    """Remove a folder's lock, unless something of the folder is still there."""
    if not os.path.lexists(folder):
        folder.with_suffix(".lock").unlink(missing_ok=True)
