"""Runs two_node_claims.py in a process of its own: Ray reads its settings once a process."""

import subprocess
import sys
from pathlib import Path


def test_claims_about_several_nodes_hold() -> None:
    claims = Path(__file__).with_name("two_node_claims.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(claims)],
        cwd=claims.parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
