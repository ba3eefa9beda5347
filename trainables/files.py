"""Files and folders that are on disk whole or not at all, whenever the process is killed."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; a new file can be lost without that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet and wait until its content is on disk."""
    with path.open("xb") as file:
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

    After an error the draft is removed and `path` is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        os.fchmod(handle, 0o644)  # mkstemp keeps its files to their owner; a report is to be shared
        yield draft
        os.fsync(handle)
        draft.replace(path)
        sync_folder(path.parent)  # or the name may be lost where the content is not
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def beside(path: Path) -> Path:
    """Return a hidden name beside a path that nobody else uses, for a draft of it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def replace_folder(draft: Path, folder: Path) -> None:
    """Rename a draft, whose files are on disk, to `folder`; what is there already is removed.

    A reader meets the former folder, none, or all of the new one.
    """
    with suppress(OSError):
        folder.rmdir()  # an empty one
    if not folder.exists():
        draft.rename(folder)
    else:
        aside = beside(folder)
        folder.rename(aside)
        try:
            draft.rename(folder)
        except BaseException:
            aside.rename(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(folder.parent)
