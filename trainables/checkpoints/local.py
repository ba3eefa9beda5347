"""Checkpoints in a folder that all nodes share."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.checkpoints.base import (
    CheckpointError,
    Cleaned,
    Store,
    StoreError,
    check_name,
    is_checkpoint_name,
)
from trainables.files import (
    beside,
    drafted,
    locked_if_free,
    remove_if_unheld,
    replacing_folder,
)


class LocalStore(Store):
    """A folder of folders. The driver makes it; a node without it has another disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a folder beside the checkpoint's place, which is renamed at the end."""
        if not self._folder.is_dir():
            raise StoreError(
                f"{self._folder} is not on this node: the job's folder must be on a volume that "
                "all nodes share, or the job file say `storage: {checkpoints: s3://…}`"
            )
        with replacing_folder(self._path(name)) as draft:
            yield draft

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give the checkpoint itself."""
        path = self._path(name)
        if path.is_symlink() or not path.is_dir():
            raise CheckpointError(f"there is no checkpoint {name} in {self._folder}")
        yield path

    def names(self) -> list[str]:
        """Return the names of the folders."""
        return [path.name for path in self._folders() if drafted(path.name) is None]

    def delete(self, name: str) -> None:
        """Rename the folder out of the way, then remove it: half of one is never found."""
        path = self._path(name)
        if path.is_symlink():
            return
        aside = beside(path)
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)

    def clean(self, keep: Collection[str], *, dry_run: bool = False) -> Cleaned:
        """Remove the folders of other checkpoints, and drafts that nobody writes to any more."""
        removed = kept = removed_bytes = kept_bytes = 0
        for path in self._folders():
            size, whole = _size(path), drafted(path.name) is None
            if not whole:
                gone = _unheld(path) if dry_run else remove_if_unheld(path)
            elif (gone := path.name not in keep) and not dry_run:
                shutil.rmtree(path, ignore_errors=True)
                gone = not os.path.lexists(path)
            if gone:
                removed, removed_bytes = removed + whole, removed_bytes + size
            else:
                kept, kept_bytes = kept + whole, kept_bytes + size
        return Cleaned(removed, kept, removed_bytes, kept_bytes)

    def _folders(self) -> list[Path]:
        """Return the folders that stores have made here, drafts too, by name."""
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as found:
            return sorted(
                self._folder / entry.name
                for entry in found
                if entry.is_dir(follow_symlinks=False)
                and is_checkpoint_name(_without_draft(entry.name))
            )

    def _path(self, name: str) -> Path:
        """Return a checkpoint's folder. Raises CheckpointError where it is no name of one."""
        check_name(name)
        return self._folder / name


def _size(folder: Path) -> int:
    """Return the bytes of a checkpoint's files; of what cannot be looked at, none."""
    with suppress(OSError), os.scandir(folder) as found:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in found)
    return 0


def _unheld(path: Path) -> bool:
    """Return whether `remove_if_unheld` would remove a draft."""
    with suppress(OSError), locked_if_free(path):
        return True
    return False


def _without_draft(name: str) -> str:
    """Return the name that a draft is of; earlier versions wrote to a draft of a draft."""
    while (of := drafted(name)) is not None:
        name = of
    return name
