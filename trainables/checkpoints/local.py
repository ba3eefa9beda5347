"""Checkpoints in a folder that all nodes share."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.checkpoints.base import CheckpointError, Store, StoreError
from trainables.files import beside, replace_folder


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
        draft = beside(self._folder / name)
        draft.mkdir()
        try:
            yield draft
            replace_folder(draft, self._folder / name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

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
        aside = beside(self._folder / name)
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
