"""Files and folders that are on disk whole or not at all, whenever the process is killed.

What is new is written to a draft beside its place and renamed. A writer holds a lock on its draft.
So the drafts of writers that were killed are known. `replacing` removes those of its place; who
writes folders calls remove_stale_drafts:

    .report.html.<32 hex digits>        a draft
    .best.<32 hex digits>.old           the folder that a new one takes the place of
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spaces.errors import InputError

_DRAFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}(?P<old>\.old)?")
_OLD = ".old"


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; a new file can be lost without that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an OSError of the block the name of the file that was to be written.

    A write that fails for lack of space has none, and one of a draft's would tell nobody anything.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet and wait until its content is on disk."""
    with named(path), path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader or a crash meets the former content or the new one."""
    with replacing(path) as draft:
        draft.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft beside `path` to write to; at the end it takes the file's place.

    After an error the draft is removed and `path` is as it was. The file has the permissions that
    the user's umask leaves.
    """
    remove_stale_drafts(path)
    with named(path), draft_file(path) as (draft, handle):
        yield draft
        os.fsync(handle)
        draft.replace(path)
        sync_folder(path.parent)  # or the name may be lost where the content is not


@contextmanager
def draft_file(path: Path) -> Iterator[tuple[Path, int]]:
    """Give an empty draft of a file and a descriptor of it; it is gone when the block ends."""
    while True:
        draft = beside(path)
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _hold(handle, draft):
            break
        os.close(handle)
    try:
        yield draft, handle
    finally:
        draft.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty draft beside `folder`; at the end it takes the folder's place.

    The files in it must be on disk by then. A reader meets the former folder, none, or all of the
    new one. After an error the draft is removed and `folder` is as it was.
    """
    with draft_folder(folder) as draft:
        yield draft
        _replace_folder(draft, folder)


@contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """Give an empty draft of a folder; it is gone when the block ends."""
    while True:
        draft = beside(folder)
        draft.mkdir()
        with suppress(FileNotFoundError):
            handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if _hold(handle, draft):
                break
            os.close(handle)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(handle)


def open_own(path: Path, flags: int, *, dir_fd: int | None = None) -> int:
    """Open a plain file, with the permissions that the umask leaves where the flags make one.

    Nothing is followed: the target of a link, a device or the like would be written to or waited
    for. Raises InputError for these, and OSError.

    dir_fd: the path's folder as it was opened before, whatever is in its place now.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path if dir_fd is None else path.name, flags, 0o666, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
    else:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
    rule = "must be a plain file here, not a link or a device"
    raise InputError.of(str(path), rule, "put the file itself here, or remove what is here")


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path is a plain file in a folder, and no link leads it out of there."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def beside(path: Path) -> Path:
    """Return a hidden name beside a path that nobody else uses, for a draft of it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def drafted(name: str) -> str | None:
    """Return the name of the file or folder that a name is a draft's of; None if it is none's."""
    found = _DRAFT.fullmatch(name)
    return found and found["name"]


def remove_stale_drafts(path: Path) -> None:
    """Remove drafts of a path that killed writers have left; what cannot be judged stays.

    A folder whose writer was killed between two renames comes back to its place first.
    """
    with suppress(OSError):
        for draft in list(path.parent.iterdir()):
            if drafted(draft.name) == path.name:
                if draft.suffix == _OLD and not os.path.lexists(path):
                    # A writer between its two renames holds it.
                    with suppress(OSError), locked_if_free(draft):
                        draft.rename(path)
                else:
                    remove_if_unheld(draft)


def remove_if_unheld(path: Path) -> bool:
    """Remove a file or folder of this user's unless somebody holds its lock; return whether.

    Nothing is followed and nothing raised: what cannot be looked at, or locked, stays.
    """
    with suppress(OSError), locked_if_free(path) as mode:
        if stat.S_ISDIR(mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
        return not os.path.lexists(path)
    return False


def lock_taken(handle: int, path: Path, *, wait: bool = False) -> bool:
    """Take the lock of an open file or folder and return True; False if somebody else holds it.

    wait: until it is free. Raises InputError where the file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        rule = f"the folder's file system must have locks (flock), and has none: {why}"
        remedy = "put --root on another disk, or mount this one with locks"
        raise InputError.of(str(path.parent), rule, remedy) from error
    return True


@contextmanager
def locked_if_free(path: Path) -> Iterator[int]:
    """Hold the lock of a file or folder of this user's and give its mode. Raises OSError if not."""
    about = path.lstat()
    is_folder, is_file = stat.S_ISDIR(about.st_mode), stat.S_ISREG(about.st_mode)
    if about.st_uid != os.geteuid() or not (is_folder or is_file):
        raise PermissionError(path)
    flags = os.O_RDONLY if is_folder else os.O_RDWR
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield about.st_mode
    finally:
        os.close(handle)


def _hold(handle: int, path: Path) -> bool:
    """Lock what was just made; return False where somebody has removed it as a stale one."""
    with suppress(OSError):  # a file system without locks: nobody takes it for a stale one either
        fcntl.flock(handle, fcntl.LOCK_EX)
    return is_at(path, handle)


def is_at(path: Path, handle: int) -> bool:
    """Return whether a path still leads to what a descriptor has open."""
    try:
        there, opened = path.lstat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)


def _replace_folder(draft: Path, folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()  # an empty one
    if not folder.exists():
        draft.rename(folder)
    else:
        aside = Path(f"{beside(folder)}{_OLD}")
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _hold(handle, folder)
            folder.rename(aside)
            try:
                draft.rename(folder)
            except BaseException:
                aside.rename(folder)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            os.close(handle)
    sync_folder(folder.parent)
