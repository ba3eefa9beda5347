"""Where checkpoints are kept: a folder that all nodes share, or an S3 bucket. Whole or not at all.

    open_store("/runs/vowels/checkpoints")              LocalStore
    open_store("s3://bucket/prefix/vowels-4f1c…")       S3Store (trainables/checkpoints/s3.py)

Names are those of tune.checkpoint_name: letters, digits and dashes.

    StoreError         the store cannot be used; says where and why, never with a credential
    CheckpointError    what is in it is no whole checkpoint
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from spaces.errors import GatesearchError


class StoreError(GatesearchError):
    """The store is out of reach, or not on this node."""


class CheckpointError(GatesearchError, ValueError):
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
