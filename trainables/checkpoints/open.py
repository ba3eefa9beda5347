"""Which store a place names.

open_store("/runs/vowels/checkpoints")              LocalStore
open_store("s3://bucket/prefix/vowels-4f1c…")       S3Store
"""

import math
from pathlib import Path

from trainables.checkpoints.base import Store
from trainables.checkpoints.local import LocalStore
from trainables.patience import PATIENCE


def open_store(place: str, *, patience: float = PATIENCE, turn: float = math.inf) -> Store:
    """Return the store at a path or an s3:// URL, without a look at what is there.

    patience, turn: seconds to wait for a server that is away, see trainables.patience.Patience.
    """
    if place.startswith("s3://"):
        from trainables.checkpoints.s3 import S3Store  # boto3 takes long to import

        return S3Store(place, patience=patience, turn=turn)
    return LocalStore(Path(place))
