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

from trainables.files import is_at, locked_if_free

_LOCK = re.compile(r"[0-9a-f]{8}\.lock")


class ScratchFolder:
    """An empty folder. Its path is short: Ray has sockets in it, with at most 107 bytes."""

    def __init__(self) -> None:
        self.path, self._lock = _make()

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
    with suppress(OSError):
        parent = _parent()
        for lock in list(parent.iterdir()):
            if _LOCK.fullmatch(lock.name):
                with suppress(OSError), locked_if_free(lock):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    _unlink_lock(lock.with_suffix(""))


def _make() -> tuple[Path, int | None]:
    with suppress(OSError):
        parent = _parent()
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
    return Path(tempfile.mkdtemp(prefix="gatesearch-")), None


def _parent() -> Path:
    """Return the parent folder, made if need be. Raises OSError unless it is this user's alone."""
    parent = Path(tempfile.gettempdir()) / f"gatesearch-{os.geteuid()}"
    with suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    about = parent.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise PermissionError(parent)
    return parent


def _unlink_lock(folder: Path) -> None:
    """Remove a folder's lock, unless something of the folder is still there."""
    if not os.path.lexists(folder):
        folder.with_suffix(".lock").unlink(missing_ok=True)
