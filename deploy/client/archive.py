"""A job's folder on its way from the cluster: the lines that carry it, read and unpacked here.

The Jobs API has no download, but it streams a job's log. So `python -m deploy.client.send FOLDER`
runs as a job of its own and prints the folder as a gzipped tar in base64:

    GATESEARCH-ARCHIVE {"version": 1, "name": …, "bytes": …, "sha256": …, "unpacked": …, "files": …}
    GATESEARCH-DATA <base64 of 9,000 bytes>         one line a piece; other lines are ignored
    GATESEARCH-END

or one line `GATESEARCH-NONE {"folder": …, "rule": …, "remedy": …}` if there is nothing to send.
Neither side holds the archive in memory.
"""

import base64
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from deploy.errors import ClusterError

HEAD, DATA, END, NONE = (f"GATESEARCH-{word}" for word in ("ARCHIVE", "DATA", "END", "NONE"))
VERSION = 1
#: Beginning of the id of a submission that prints a folder.
FETCH_PREFIX = "gatesearch-fetch-"
#: Bytes that an archive may have, and those that it may unpack to.
MAX_BYTES = 256 * 1024**2
MAX_UNPACKED = 4 * 1024**3
MAX_FILES = 100_000
MAX_LINE = 1024**2  #: characters of a log's line
#: Bytes that the headers of one file may have: tar's own, and one for a long name.
MAX_HEADERS = 64 * 1024
JOURNAL = "job.journal"


def read(pieces: Iterable[str], place: str, spool: IO[bytes]) -> dict[str, Any]:
    """Write the archive that a log carries to `spool` and return its head.

    `pieces` are the log's text in parts of any length. Raises ClusterError if the cluster had
    nothing to send, or if anything is missing or was changed on the way.
    """
    try:
        return _read(pieces, place, spool)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(place) from error


def _read(pieces: Iterable[str], place: str, spool: IO[bytes]) -> dict[str, Any]:
    """Do what `read` does; raise several exceptions for what is damaged."""
    head: dict[str, Any] | None = None
    digest = hashlib.sha256()
    received = 0
    for line in _lines(pieces):
        word, _, rest = line.partition(" ")
        if word == NONE:
            problem = json.loads(rest)
            raise ClusterError(f"{place}: {problem['folder']}", problem["rule"], problem["remedy"])
        if word == HEAD:
            head = json.loads(rest)
            _check_head(head, place)
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
    raise ValueError("the archive is not whole")


def _check_head(head: dict[str, Any], place: str) -> None:
    """Raise ClusterError where an archive is of another form, or larger than one can be."""
    if head["version"] != VERSION:
        raise ClusterError(
            place,
            f"the cluster must send results in form {VERSION}, not {head['version']}",
            "install the gatesearch version of the cluster here",
        )
    for key, most in (("bytes", MAX_BYTES), ("unpacked", MAX_UNPACKED), ("files", MAX_FILES)):
        if type(head[key]) is not int or not 0 <= head[key] <= most:
            raise ClusterError(
                place,
                f"the results must have at most {most} {key} to come through a log, "
                f"not {head[key]!r:.40}",
                "copy the folder from the cluster's volume (kubectl cp, rsync)",
            )


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a log. Raises ValueError for one that is too long to be kept."""
    rest: list[str] = []
    length = 0
    for piece in pieces:
        first, *others = piece.split("\n")
        rest.append(first)
        length += len(first)
        for other in others:
            yield "".join(rest)
            rest, length = [other], len(other)
        if length > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} characters")


def _damaged(place: str) -> ClusterError:
    return ClusterError(
        place,
        "the results did not arrive whole",
        "fetch again; if that fails too, check that cluster and laptop have the same gatesearch, "
        "and read the log of this fetch on the cluster",
    )


def unpack(spool: IO[bytes], head: dict[str, Any], into: Path, name: str) -> Path:
    """Unpack a received archive as `into/name`, whole or not at all, and return that folder.

    An existing folder is replaced only if it is an earlier state of the same job: its journal is
    the beginning of the one that arrived. What did not arrive and is in it stays. Raises
    ClusterError otherwise, and for an archive with anything but plain files inside it.
    """
    into.mkdir(parents=True, exist_ok=True)
    target = into / name
    _tidy(target)
    work = Path(tempfile.mkdtemp(prefix=f".fetch-{name}-", dir=into))
    lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks, where nobody tidies
            fcntl.flock(lock, fcntl.LOCK_EX)
        fresh = work / "new"
        _extract(spool, head, fresh)
        if target.exists() or target.is_symlink():
            if not _is_earlier(target, fresh):
                raise ClusterError.refused(
                    str(target),
                    "an existing folder must be an earlier state of the fetched job to be replaced",
                    "fetch into another folder with --root, or move this one away",
                )
            _keep_others(target, fresh)
            target.rename(work / "old")
        fresh.rename(target)
    except BaseException:
        if (work / "old").exists() and not target.exists():
            (work / "old").rename(target)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)
    return target


def _keep_others(present: Path, fresh: Path) -> None:
    """Copy what is in a folder and did not arrive: the user's files, checkpoints fetched before.

    Raises ClusterError for what cannot be copied, such as a pipe.
    """
    for path in present.iterdir():
        arrived = fresh / path.name
        if not os.path.lexists(arrived):
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.copytree(path, arrived, symlinks=True)
                else:
                    shutil.copy2(path, arrived, follow_symlinks=False)
            except (shutil.Error, shutil.SpecialFileError) as error:
                raise ClusterError.refused(
                    str(path),
                    "what is in the folder must be files, folders and links",
                    "move it away",
                ) from error
        elif arrived.is_dir() and path.is_dir() and not path.is_symlink():
            _keep_others(path, arrived)


def _tidy(target: Path) -> None:
    """Remove what fetches that were killed have left; a folder they have moved away comes back."""
    pattern = re.compile(rf"\.fetch-{re.escape(target.name)}-[a-z0-9_]{{8}}")
    for work in [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]:
        with contextlib.suppress(OSError):
            lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not {path.name for path in work.iterdir()} <= {"old", "new"}:
                    continue  # not of a fetch
                if (work / "old").is_dir() and not os.path.lexists(target):
                    (work / "old").rename(target)
                shutil.rmtree(work, ignore_errors=True)
            finally:
                os.close(lock)


class _Measured:
    """A stream that raises ValueError where more is read than was allowed, and some headers.

    tarfile reads a header for a long name, or a map of holes, as large as that says it is.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self.allow(0)

    def allow(self, size: int) -> None:
        """Let so many bytes be read, beside headers."""
        self._left = size + MAX_HEADERS

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        self._left -= size
        if self._left < 0:
            raise ValueError("larger headers than files have")
        return self._stream.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _extract(spool: IO[bytes], head: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    left, files = head["unpacked"], head["files"]
    try:
        spool.seek(0)
        with gzip.open(spool) as unpacked:
            stream = _Measured(unpacked)
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                while (entry := tar.next()) is not None:
                    left, files = left - entry.size, files - 1
                    fits = entry.size >= 0 and left >= 0 and files >= 0
                    if not fits or not entry.isreg() or entry.issparse():
                        raise tarfile.TarError(entry.name)
                    stream.allow(entry.size)
                    tar.extract(entry, folder, set_attrs=False, filter="data")
                    stream.allow(0)
    except Exception as error:  # tarfile, gzip and zlib list no classes for what is damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise ClusterError(
                str(folder.parent.parent),
                f"the results must fit into a folder that you may write to ({error.strerror})",
                "make room, or fetch into another folder with --root",
            ) from error
        raise ClusterError(
            str(head.get("name")),
            "the archive from the cluster must hold plain files of the job alone",
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
