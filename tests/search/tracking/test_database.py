"""A new runs folder's MLflow database: made by MLflow once a version, the same wherever it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.tracking.database import DATABASE

_PREPARE = """
import sys
from search.tracking.follower import main
main([sys.argv[1], "--prepare"])
print("mlflow" in sys.modules)
"""


def prepare(root: Path, cache: Path) -> tuple[bytes, bool]:
    """Prepare a runs folder; return its database, and whether MLflow was needed for it."""
    root.mkdir()
    environment = {**os.environ, "GATESEARCH_CACHE": str(cache)}
    command = [sys.executable, "-c", _PREPARE, str(root)]
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert {path.name for path in root.iterdir()} == {DATABASE, f".{DATABASE}.lock"}
    return (root / DATABASE).read_bytes(), done.stdout.strip() == b"True"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A database that MLflow has made, and the entry in the cache."""
    folder = tmp_path_factory.mktemp("made")
    content, by_mlflow = prepare(folder / "runs", folder / "cache")
    assert by_mlflow
    (entry,) = (folder / "cache" / "mlflow").iterdir()
    assert str(folder).encode() not in content
    return content, entry


def test_database_from_the_cache_is_the_same_and_needs_no_mlflow(
    tmp_path: Path, made: tuple[bytes, Path]
) -> None:
    content, entry = made
    assert prepare(tmp_path / "runs", entry.parent.parent) == (content, False)


def test_damaged_database_in_the_cache_is_made_anew(
    tmp_path: Path, made: tuple[bytes, Path]
) -> None:
    _, entry = made
    (tmp_path / "cache" / "mlflow").mkdir(mode=0o700, parents=True)
    damaged = tmp_path / "cache" / "mlflow" / entry.name
    whole = entry.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    damaged.chmod(0o600)
    content, by_mlflow = prepare(tmp_path / "runs", tmp_path / "cache")
    assert by_mlflow
    assert len(damaged.read_bytes()) == len(whole)
    assert content.startswith(b"SQLite format 3")
