"""Files that are written whole or not at all, whatever ends the process meanwhile."""

import os
from pathlib import Path

#: In a service's folder the file of its head's token; in a queue's, that of whoever started it.
TOKEN = "token"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read; it is on the disk on return."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
