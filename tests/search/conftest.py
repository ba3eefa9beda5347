"""Fixtures of the tests that have MLflow store something."""

import os
import shutil
from pathlib import Path

import pytest

from search.tracking import server


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: that takes seconds."""
    root = tmp_path_factory.mktemp("schema")
    before = Path.cwd()
    os.chdir(root)
    try:
        with server.environment():
            server.prepare(root)
    finally:
        os.chdir(before)
    return root / server.DATABASE


@pytest.fixture
def root(tmp_path: Path, schema: Path) -> Path:
    """A runs folder that has its database already."""
    shutil.copy(schema, tmp_path / server.DATABASE)
    return tmp_path
