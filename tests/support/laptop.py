"""A user's laptop: a folder with a foreign `search` package, and the address of a cluster."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installed import GATESEARCH
from live_page import Events, watching


class Laptop:
    """A folder from which the user gives commands; it knows an address and the token for it."""

    def __init__(self, folder: Path, address: str, token_file: Path) -> None:
        self.folder, self.address, self.token_file = folder, address, token_file
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("RAY_")
        } | {"RAY_API_SERVER_ADDRESS": address, "RAY_AUTH_TOKEN_PATH": str(token_file)}
        (folder / "search").mkdir(parents=True)
        (folder / "search" / "__init__.py").write_text("raise RuntimeError('a foreign package')\n")

    def gatesearch(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command and return its standard output."""
        done = subprocess.run(
            [GATESEARCH, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    @contextmanager
    def serving_page(self, name: str) -> Iterator[tuple[int, str]]:
        """Watch a job of the cluster; give port and token of its page."""
        options = ("--address", self.address)
        with watching(name, *options, folder=self.folder, env=self._environment) as (
            port,
            token,
            _,
        ):
            yield port, token

    @contextmanager
    def watching(self, name: str) -> Iterator[Events]:
        """Watch a job of the cluster; give what its page is told."""
        with self.serving_page(name) as (port, _):
            page = Events(port)
            yield page
            page.close()
