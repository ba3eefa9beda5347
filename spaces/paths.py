"""How a path that a person wrote is read."""

import os
from pathlib import Path


def in_home(path: str) -> Path:
    """Return a path with ~ or ~USER at its beginning put in full; an unknown user's ~ stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises RuntimeError
