"""What a store of checkpoints does; local.py and s3.py are stores, open.py chooses one.

A checkpoint is a folder of files (format.py says which). A store has all of it or nothing. Its name
says which trial, driver and epoch it is of: trainables.worker.trial.checkpoint_name makes it. A
store removes nothing whose name has another form.

    StoreError         the store cannot be used; its text says where and why, without credentials
    StoreAwayError     one of them: it may be back soon
    CheckpointError    what is in the store is no whole checkpoint
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import GatesearchError

_NAME = re.compile(r"(search|confirm)-[\w.-]+-\d+-g\d+-\w+", re.ASCII)


def is_checkpoint_name(name: str) -> bool:
    """Return whether a name is of the form that checkpoints have; such a name is no path."""
    return _NAME.fullmatch(name) is not None


class StoreError(GatesearchError):
    """The store is out of reach, or not on this node."""


class StoreAwayError(StoreError):
    """The store is away for now; whoever asked does something else and asks again."""


class CheckpointError(GatesearchError, ValueError):
    """There is no whole checkpoint, or none of this configuration, seed and data."""


def check_name(name: str) -> None:
    """Raise CheckpointError where a name is not of the form that checkpoints have."""
    if not is_checkpoint_name(name):
        raise CheckpointError(f"no checkpoint can have the name {name!r}")


@dataclass(frozen=True)
class Cleaned:
    """How many checkpoints have gone from a store, or would go, and how many are left.

    Bytes are of files. Those that are removed are also of what killed writers have left.
    """

    removed: int
    kept: int
    removed_bytes: int
    kept_bytes: int


class Store(ABC):
    """Stores folders of files by name.

    Writing, reading and deleting raise CheckpointError where a name has not the form of one.
    """

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Give an empty folder; when the block ends without an error, its files are the checkpoint.

        A checkpoint of the same name is replaced. Readers find the old one, none, or the new one.
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
    def clean(self, keep: Collection[str], *, dry_run: bool = False) -> Cleaned:
        """Remove all other checkpoints, and what writers that died have left; nothing else.

        dry_run: remove nothing, and return what would go.
        """
