"""A job folder's way home: written into a log on the cluster, read out of it on the laptop.

The Jobs API has no download, but it streams a job's log. So `python -m deploy.archive FOLDER` runs
as a job of its own and prints the folder as a gzipped tar in base64:

    GATESEARCH-ARCHIVE {"version": 1, "name": …, "bytes": …, "sha256": …, "unpacked": …, "files": …}
    GATESEARCH-DATA <base64 of 9,000 bytes>         one line a piece; other lines are ignored
    GATESEARCH-END

or one line `GATESEARCH-NONE {"folder": …, "rule": …, "remedy": …}` if there is nothing to send.
Lines are longer than what Ray joins into one message, and nothing is held in memory on either side.
"""

import argparse
import base64
import binascii
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from deploy.errors import ClusterError

HEAD, DATA, END, NONE = (f"GATESEARCH-{word}" for word in ("ARCHIVE", "DATA", "END", "NONE"))
PIECE_BYTES = 9_000  # 12,000 characters
#: Bytes of a compressed archive that go through a log.
MOST_BYTES = 256 * 1024**2
#: Bytes that an archive may unpack to.
MOST_UNPACKED = 4 * 1024**3
JOURNAL = "job.journal"
CHECKPOINTS = "checkpoints"  #: a folder that comes only if it is asked for: it may be large
FETCH_PREFIX = "gatesearch-fetch-"


# On the cluster


def main(arguments: list[str] | None = None) -> int:
    """Print a job folder as an archive; 0 if it was printed whole."""
    parser = argparse.ArgumentParser(prog="python -m deploy.archive", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most-bytes", type=int, default=MOST_BYTES)
    parser.add_argument("--checkpoints", action="store_true")
    options = parser.parse_args(arguments)
    _drop_old_logs()
    for line in lines_of(options.folder, options.most_bytes, checkpoints=options.checkpoints):
        os.write(1, line.encode() + b"\n")  # whole lines: stderr goes to the same log
    return 0


def lines_of(
    folder: Path, most_bytes: int = MOST_BYTES, *, checkpoints: bool = False
) -> Iterator[str]:
    """Yield the lines that carry `folder`: a consistent enough picture even of a running job.

    Journals only grow and all other files are renamed into place, so each file is whole as of the
    moment when it was opened.
    """
    files = list(_files(folder, checkpoints)) if folder.is_dir() else []
    if not files:
        yield _none(
            folder,
            "the job's folder is missing or empty on the cluster",
            "read the job's log; if its root folder was another, name it with --root",
        )
        return
    with tempfile.TemporaryFile() as spool:
        unpacked = _write_tar(spool, folder, files)
        size = spool.tell()
        if size > most_bytes:
            yield _none(
                folder,
                f"the results have {size / 1e6:.0f} MB packed, at most {most_bytes / 1e6:.0f} MB "
                "come through a log",
                "copy the folder from the cluster's volume (kubectl cp, rsync)",
            )
            return
        spool.seek(0)
        head = {
            "version": 1,
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
    unpacked = 0
    with tarfile.open(fileobj=spool, mode="w:gz", compresslevel=6) as tar:
        for path in files:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as content:
                entry = tarfile.TarInfo(str(PurePosixPath(*path.relative_to(folder).parts)))
                status = os.fstat(content.fileno())
                entry.size, entry.mtime, entry.mode = status.st_size, int(status.st_mtime), 0o644
                tar.addfile(entry, content)
                unpacked += entry.size
    return unpacked


def _drop_old_logs(older_than_seconds: float = 900.0) -> None:
    """Remove the logs of earlier fetches, which Ray would keep for ever."""
    with contextlib.suppress(OSError):
        own = Path("/proc/self/fd/1").readlink()
        if not own.name.startswith(f"job-driver-{FETCH_PREFIX}"):
            return
        for log in own.parent.glob(f"job-driver-{FETCH_PREFIX}*.log"):
            if log != own and log.stat().st_mtime < time.time() - older_than_seconds:
                log.unlink(missing_ok=True)


# On the laptop


def read(pieces: Iterable[str], place: str, spool: IO[bytes]) -> dict[str, Any]:
    """Write the archive that a log carries to `spool` and return its head.

    `pieces` are the log's text in parts of any length. Raises ClusterError if the cluster had
    nothing to send, or if anything is missing or was changed on the way.
    """
    head: dict[str, Any] | None = None
    digest = hashlib.sha256()
    received = 0
    for line in _lines(pieces):
        word, _, rest = line.partition(" ")
        try:
            if word == NONE:
                why = json.loads(rest)
                raise ClusterError(f"{place}: {why['folder']}", why["rule"], why["remedy"])
            if word == HEAD:
                head = json.loads(rest)
                if head["version"] != 1:
                    raise ClusterError(
                        place,
                        f"the cluster sends results in form {head['version']}",
                        "install the gatesearch version of the cluster here",
                    )
            elif word == DATA and head is not None:
                piece = base64.b64decode(rest, validate=True)
                received += len(piece)
                if received > head["bytes"]:
                    break
                digest.update(piece)
                spool.write(piece)
            elif word == END and head is not None:
                if received == head["bytes"] and digest.hexdigest() == head["sha256"]:
                    return head
                break
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise _damaged(place) from error
    raise _damaged(place)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest: list[str] = []
    for piece in pieces:
        first, *others = piece.split("\n")
        rest.append(first)
        for other in others:
            yield "".join(rest)
            rest = [other]


def _damaged(place: str) -> ClusterError:
    return ClusterError(
        place,
        "the results did not arrive whole",
        "fetch again; if that fails too, read the log of this fetch on the cluster",
    )


def unpack(spool: IO[bytes], head: dict[str, Any], into: Path, name: str) -> Path:
    """Unpack a received archive as `into/name`, whole or not at all, and return that folder.

    An existing folder is replaced only if it is an earlier state of the same job: its journal is
    the beginning of the one that arrived. Raises ClusterError otherwise, and for an archive with
    anything but plain files inside it.
    """
    into.mkdir(parents=True, exist_ok=True)
    target = into / name
    work = Path(tempfile.mkdtemp(prefix=f".fetch-{name}-", dir=into))
    try:
        fresh = work / "new"
        _extract(spool, head, fresh)
        if target.exists() or target.is_symlink():
            if not _is_earlier(target, fresh):
                raise ClusterError.refused(
                    str(target),
                    "this folder is not an earlier state of the fetched job, and is not replaced",
                    "fetch into another folder with --root, or move this one away",
                )
            target.rename(work / "old")
        fresh.rename(target)
    except BaseException:
        if (work / "old").exists() and not target.exists():
            (work / "old").rename(target)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _extract(spool: IO[bytes], head: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    left = min(int(head["unpacked"]), MOST_UNPACKED)
    try:
        spool.seek(0)
        with tarfile.open(fileobj=spool, mode="r:gz") as tar:
            for entry in tar:
                left -= entry.size
                if left < 0 or not entry.isreg():
                    raise tarfile.TarError(entry.name)
                tar.extract(entry, folder, set_attrs=False, filter="data")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ClusterError(
                str(folder.parent.parent),
                f"the results cannot be written here ({error.strerror})",
                "make room, or fetch into another folder with --root",
            ) from error
        raise ClusterError(
            f"{head.get('name')}",
            "the archive from the cluster holds something that is not a plain file of the job",
            "do not trust this cluster's folder; look at it there",
        ) from error


def _is_earlier(present: Path, arrived: Path) -> bool:
    if present.is_symlink() or not present.is_dir():
        return False
    if not any(present.iterdir()):
        return True
    old, new = present / JOURNAL, arrived / JOURNAL
    if not (old.is_file() and new.is_file()) or old.stat().st_size > new.stat().st_size:
        return False
    with old.open("rb") as past, new.open("rb") as now:
        while block := past.read(1 << 20):
            if now.read(len(block)) != block:
                return False
    return True


if __name__ == "__main__":
    sys.exit(main())
