"""What was sent with the jobs: packages, named by the SHA-256 of their bytes; here a file each.

A head keeps packages in memory: one that comes back after a crash needs them again.
"""

import hashlib
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from deploy.errors import ClusterError, PackageGoneError
from deploy.files import write_whole

_NAME = re.compile(r"[0-9a-f]{64}")
UNUSED_SECONDS = 3600.0  #: for which a package may wait for the job that it belongs to


class Packages(Protocol):
    """The packages of a queue, by the SHA-256 of their bytes."""

    def has(self, sha256: str) -> bool:
        """Return whether a package is there."""

    def put(self, sha256: str, content: bytes) -> None:
        """Keep a package, whole or not at all. Raises ClusterError where it is another one."""

    def read(self, sha256: str) -> bytes:
        """Return a package's bytes. Raises PackageGoneError where it is gone."""

    def prune(self, needed: Collection[str]) -> None:
        """Remove the packages that no job needs; none that was sent just now."""


class PackageFolder:
    """Packages in a folder, a file each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder

    def has(self, sha256: str) -> bool:
        return self._path(sha256).is_file()

    def put(self, sha256: str, content: bytes) -> None:
        check_content(sha256, content)
        write_whole(self._path(sha256), content)

    def read(self, sha256: str) -> bytes:
        try:
            return self._path(sha256).read_bytes()
        except OSError as error:
            raise gone(sha256, error.strerror) from error

    def prune(self, needed: Collection[str]) -> None:
        """Remove the packages that no job needs, and all drafts; nothing that was sent just now."""
        for path in self._folder.iterdir():
            draft = path.suffix == ".draft"
            ours = _NAME.fullmatch(path.stem) and (draft or not path.suffix)
            if not ours or (path.stem in needed and not draft) or not path.is_file():
                continue
            if path.lstat().st_mtime < time.time() - UNUSED_SECONDS:
                path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        check_package_name(sha256)
        return self._folder / sha256


def check_package_name(sha256: str) -> None:
    """Raise ClusterError for what is no package's name."""
    if not _NAME.fullmatch(sha256):
        raise ClusterError.refused("package", "must be a SHA-256", "submit the job again")


def check_content(sha256: str, content: bytes) -> None:
    """Raise ClusterError where a package is not the one that its name says."""
    check_package_name(sha256)
    if hashlib.sha256(content).hexdigest() != sha256:
        rule = "the package must be the one that its name says; it was changed on the way"
        raise ClusterError.refused(sha256, rule, "submit the job again")


def gone(sha256: str, why: str | None) -> PackageGoneError:
    """Return the error for a package that is no more."""
    rule = f"the job's package must be readable ({why})"
    return PackageGoneError(sha256, rule, "submit the job again")
