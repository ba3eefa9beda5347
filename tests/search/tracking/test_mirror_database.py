"""A new runs folder's MLflow database: made by MLflow once a version, the same wherever it is."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from search.tracking.server import DATABASE


def prepared(root: Path, cache: Path) -> dict[str, list[Any]]:
    """Prepare a runs folder as a mirror does, and return all that is in its tables."""
    root.mkdir()
    command = [sys.executable, "-m", "search.tracking.follower", str(root), "--prepare"]
    environment = {**os.environ, "GATESEARCH_CACHE": str(cache)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    with closing(sqlite3.connect(root / DATABASE)) as database:
        names = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [name for name, sql in names if sql and sql.startswith("CREATE TABLE")]
        found = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    return {"schema": names, **found}


def without_times(found: dict[str, list[Any]], root: Path) -> dict[str, list[Any]]:
    default = [
        [str(each).replace(str(root), "ROOT") for each in row if not isinstance(each, int)]
        for row in found["experiments"]
    ]
    return {**found, "experiments": default}


def test_database_from_the_cache_is_the_one_that_mlflow_makes(tmp_path: Path) -> None:
    made, kept = tmp_path / "made", tmp_path / "kept"
    first = prepared(made, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "mlflow").iterdir())) == 1
    second = prepared(kept, tmp_path / "cache")
    assert without_times(second, kept) == without_times(first, made)
    assert str(kept) in str(second["experiments"])


def test_damaged_database_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    prepared(tmp_path / "made", tmp_path / "cache")
    (entry,) = (tmp_path / "cache" / "mlflow").iterdir()
    content = entry.read_bytes()
    entry.write_bytes(content[: len(content) // 2])
    prepared(tmp_path / "again", tmp_path / "cache")
    assert len(entry.read_bytes()) == len(content)
