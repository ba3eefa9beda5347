"""Claims about the packages that the queue keeps for its jobs."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from deploy.errors import ClusterError
from deploy.queue.packages import PackageFolder

OLD = time.time() - 10**6


def kept(packages: PackageFolder, content: bytes) -> str:
    """Put a package; return its name."""
    name = hashlib.sha256(content).hexdigest()
    packages.put(name, content)
    return name


def test_old_packages_that_no_job_needs_go_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    packages = PackageFolder(folder)
    needed, unneeded, sent_now = (kept(packages, content) for content in (b"a", b"b", b"c"))
    for package in (needed, unneeded):
        (folder / f"{package}.draft").write_bytes(b"half")
    (folder / "notes.txt").write_text("a person's own")
    (folder / "folder").mkdir()
    (folder / ("f" * 64)).symlink_to("/nonexistent")
    for path in folder.iterdir():
        if path.name != sent_now:
            os.utime(path, (OLD, OLD), follow_symlinks=False)
    packages.prune({needed})
    left = {path.name for path in folder.iterdir()}
    assert left == {needed, sent_now, "notes.txt", "folder", "f" * 64}
    assert packages.read(needed) == b"a"


def test_a_package_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    packages = PackageFolder(tmp_path / "packages")
    name = hashlib.sha256(b"sent").hexdigest()
    with pytest.raises(ClusterError, match="changed on the way"):
        packages.put(name, b"received")
    assert not packages.has(name)
