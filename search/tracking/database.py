"""The MLflow database of a runs folder, which is made from an empty one in the cache."""

import os
from pathlib import Path

from search.tracking.mlflow_compat import database_version, make_database
from trainables.cache import Cache
from trainables.files import draft_folder, lock_taken, open_own, remove_stale_drafts, replace_file

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
#: Relative, since the mirror and the dashboard work in the runs folder: neither SQLAlchemy nor
#: MLflow takes every path in a URI ("?" and "%" change its meaning).
LOCAL_URI = f"sqlite:///{DATABASE}"

#: Databases in which nothing is logged yet, one for each version of MLflow. MLflow takes seconds
#: to bring one through all its schemas up to the present one.
_EMPTY = Cache("mlflow", max_entries=2)


def prepare(root: Path) -> None:
    """Make the runs folder's database if there is none. The working folder must be `root`.

    No other process ever meets half a schema: neither a second job's mirror, nor a dashboard, nor
    a mirror after a kill.
    """
    path = root / DATABASE
    if path.exists():
        return
    place = root / f".{DATABASE}.lock"
    with os.fdopen(open_own(place, os.O_RDWR | os.O_CREAT), "a") as lock:
        lock_taken(lock.fileno(), place, wait=True)
        if not path.exists():
            replace_file(path, _empty_database(root))


def _empty_database(root: Path) -> bytes:
    key = database_version()
    if (stored := _EMPTY.load(key)) is not None:
        return stored
    remove_stale_drafts(root / DATABASE)
    with draft_folder(root / DATABASE) as folder:
        path = folder / DATABASE
        make_database(f"sqlite:///{path.relative_to(root)}")
        made = path.read_bytes()
    _EMPTY.store(key, made)
    return made
