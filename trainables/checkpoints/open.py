"""Opens the store that a place names."""

from pathlib import Path

from trainables.checkpoints.base import Store
from trainables.checkpoints.local import LocalStore


def open_store(place: str) -> Store:
    """Return the store at a path or an s3:// URL. Looks for nothing yet."""
    if place.startswith("s3://"):
        from trainables.checkpoints.s3 import S3Store

        return S3Store(place)
    return LocalStore(Path(place))
