"""Where checkpoints are kept: a folder that all nodes share, or an S3 bucket. Whole or not at all.

    open_store("/runs/vowels/checkpoints")              LocalStore
    open_store("s3://bucket/prefix/vowels-4f1c…")       S3Store (trainables/s3_store.py)

Names are those of tune.checkpoint_name: letters, digits and dashes.

    StoreError         the store cannot be used; says where and why, never with a credential
    CheckpointError    what is in it is no whole checkpoint
"""

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


class StoreError(Exception):
    """The store is out of reach, or not on this node."""


class CheckpointError(ValueError):
    """There is no whole checkpoint, or none of this configuration, seed and data."""


class Store(ABC):
    """Keeps folders of files by name."""

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Give an empty folder; when the block ends without an error, its files are the checkpoint.

        One that has the name already is replaced. Readers meet the former one, none, or all of it.
        """

    @abstractmethod
    def reading(self, name: str) -> AbstractContextManager[Path]:
        """Give a folder with the checkpoint's files, for the length of the block.

        Raises CheckpointError where the store has no whole checkpoint of that name.
        """

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the whole checkpoints."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a checkpoint, if it is there."""

    @abstractmethod
    def clean(self, keep: Collection[str]) -> None:
        """Remove all other checkpoints, and what is left of writers that died."""


def open_store(place: str) -> Store:
    """Return the store at a path or an s3:// URL. Looks for nothing yet."""
    if place.startswith("s3://"):
        from trainables.s3_store import S3Store

        return S3Store(place)
    return LocalStore(Path(place))


class LocalStore(Store):
    """A folder of folders. The driver makes it; where it is missing, the disk is another one."""

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
        draft = self._folder / f".{name}.{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            yield draft
            self.delete(name)
            draft.rename(self._folder / name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(self._folder)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give the checkpoint itself."""
        if not (self._folder / name).is_dir():
            raise CheckpointError(f"there is no checkpoint {name} in {self._folder}")
        yield self._folder / name

    def names(self) -> list[str]:
        """Return the names of the folders."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.name[0] != ".")

    def delete(self, name: str) -> None:
        """Rename the folder out of the way, then remove it: half of one is never found."""
        aside = self._folder / f".{name}.{uuid.uuid4().hex}"
        try:
            (self._folder / name).rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)

    def clean(self, keep: Collection[str]) -> None:
        """Remove everything but the folders of these names."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
