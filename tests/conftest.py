"""Fixtures that more than one package's tests take."""

from collections.abc import Iterator

import pytest
from ray_head import RayHead, running_head


@pytest.fixture(scope="module")
def ray_head() -> Iterator[RayHead]:
    """A real Ray head on loopback with token auth, one for a module's tests."""
    with running_head() as head:
        yield head
