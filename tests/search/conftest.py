"""Fixtures of the tests that have MLflow store something."""

import os
import shutil
from pathlib import Path

import pytest

from search.tracking.database import DATABASE, prepare
from search.tracking.mlflow_compat import environment


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: that takes seconds."""
    root = tmp_path_factory.mktemp("schema")
    before = Path.cwd()
    os.chdir(root)
    try:
        with environment():
            prepare(root)
    finally:
        os.chdir(before)
    return root / DATABASE


@pytest.fixture
def root(tmp_path: Path, schema: Path) -> Path:
    """A runs folder that has its database already."""
    shutil.copy(schema, tmp_path / DATABASE)
    return tmp_path
