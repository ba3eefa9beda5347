"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader or a crash meets the former content or the new one."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        _sync(path.parent)  # or the name may be lost where the content is not
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
