"""Print a job's folder into the log of a job on the cluster: `python -m deploy.client.send FOLDER`.

archive.py says what the lines are, and reads them on the user's machine.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from deploy.client.archive import DATA, END, FETCH_PREFIX, HEAD, MAX_BYTES, NONE, VERSION

#: Bytes of the archive in one line, 12,000 characters: longer than what Ray joins into one message.
PIECE_BYTES = 9_000
CHECKPOINTS = "checkpoints"  #: a folder that is sent only if it is asked for: it may be large


def main(arguments: list[str] | None = None) -> int:
    """Print a job's folder as an archive; 0 if it was printed whole."""
    parser = argparse.ArgumentParser(prog="python -m deploy.client.send", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoints", action="store_true")
    options = parser.parse_args(arguments)
    _remove_old_logs()
    for line in lines_of(options.folder, checkpoints=options.checkpoints):
        os.write(1, line.encode() + b"\n")  # whole lines: stderr goes to the same log
    return 0


def lines_of(
    folder: Path, max_bytes: int = MAX_BYTES, *, checkpoints: bool = False
) -> Iterator[str]:
    """Yield the lines that carry `folder`: a consistent enough picture even of a running job.

    Journals only grow and all other files are renamed into place, so each file is whole as of the
    moment when it is opened.
    """
    files = list(_files(folder, checkpoints)) if folder.is_dir() else []
    if not files:
        yield _none(
            folder,
            "the job's folder must exist on the cluster and must not be empty",
            "read the job's log; if its root folder was another, name it with --root",
        )
        return
    with tempfile.TemporaryFile() as spool:
        unpacked = _write_tar(spool, folder, files)
        size = spool.tell()
        if size > max_bytes:
            yield _none(
                folder,
                f"the results must have at most {max_bytes / 1e6:.0f} MB packed to come through "
                f"a log, not {size / 1e6:.0f} MB",
                "copy the folder from the cluster's volume (kubectl cp, rsync)",
            )
            return
        spool.seek(0)
        head = {
            "version": VERSION,
            "name": folder.name,
            "bytes": size,
            "sha256": hashlib.file_digest(spool, "sha256").hexdigest(),
            "unpacked": unpacked,
            "files": len(files),
        }
        yield f"{HEAD} {json.dumps(head)}"
        spool.seek(0)
        while piece := spool.read(PIECE_BYTES):
            yield f"{DATA} {base64.b64encode(piece).decode()}"
        yield END


def _none(folder: Path, rule: str, remedy: str) -> str:
    return f"{NONE} {json.dumps({'folder': str(folder), 'rule': rule, 'remedy': remedy})}"


def _files(folder: Path, checkpoints: bool) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part.endswith((".tmp", ".lock")) for part in parts)
        if hidden or (parts[0] == CHECKPOINTS and not checkpoints):
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _write_tar(spool: IO[bytes], folder: Path, files: Iterable[Path]) -> int:
    """Write the files as a compressed tar and return how many bytes they unpack to."""
    unpacked = 0
    with tarfile.open(fileobj=spool, mode="w:gz", compresslevel=6) as tar:
        for path in files:
            # A file of a running job may go at any time.
            with contextlib.suppress(FileNotFoundError), path.open("rb") as content:
                entry = tarfile.TarInfo(str(PurePosixPath(*path.relative_to(folder).parts)))
                status = os.fstat(content.fileno())
                entry.size, entry.mtime, entry.mode = status.st_size, int(status.st_mtime), 0o644
                tar.addfile(entry, content)
                unpacked += entry.size
    return unpacked


def _remove_old_logs(older_than_seconds: float = 900.0) -> None:
    """Remove the logs of earlier fetches, which Ray never removes itself."""
    with contextlib.suppress(OSError):
        own = Path("/proc/self/fd/1").readlink()
        if not own.name.startswith(f"job-driver-{FETCH_PREFIX}"):
            return
        name = re.compile(rf"job-driver-{FETCH_PREFIX}[0-9a-f]{{12}}\.log")
        for log in [path for path in own.parent.iterdir() if name.fullmatch(path.name)]:
            about = log.lstat()
            old = about.st_mtime < time.time() - older_than_seconds
            if log != own and old and stat.S_ISREG(about.st_mode):
                log.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
