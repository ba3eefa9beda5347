"""A job that joins a cluster asks for what it can use: the cluster grows, and shrinks after it.

Ray's own autoscaler starts and ends the nodes; they are processes of this machine.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ray_head import RayHead, nodes_alive, running_head
from waiting import wait_until

NODES = 3
JOB = """\
name: growing
task: {name: adding, length: 20, examples: 400}
arms: [rnn, lstm]
space: {depth: 1, hidden_size: 16, learning_rate: {low: 1e-3, high: 3e-3, log: true}}
training: {max_epochs: 150}
search: {trials: 8, pruner: none, sampler: random}
confirm: {seeds: 0}
"""


class MostNodes(threading.Thread):
    """Looks all the time how many nodes live, the head aside."""

    def __init__(self, head: RayHead) -> None:
        super().__init__(daemon=True)
        self._head, self.ended, self.most = head, False, 0

    def run(self) -> None:
        while not self.ended:
            self.most = max(self.most, nodes_alive(self._head) - 1)
            time.sleep(0.5)


@pytest.mark.slow
def test_a_job_grows_the_cluster_that_it_joins_and_lets_it_shrink(tmp_path: Path) -> None:
    (tmp_path / "growing.yaml").write_text(JOB)
    with running_head(cpus=0, most_nodes=NODES) as head:
        wait_until(lambda: nodes_alive(head) == 1, "the head is a node")
        watch = MostNodes(head)
        watch.start()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("gatesearch")), "run", "growing.yaml"],
            cwd=tmp_path,
            env={
                **os.environ,
                "RAY_ADDRESS": head.cluster,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(head.token_file),
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            },
            capture_output=True,
            text=True,
            timeout=900,
        )
        watch.ended = True
        assert done.returncode == 0, done.stdout + done.stderr
        assert "more workers asked for, should the cluster grow" in done.stdout
        assert watch.most >= NODES
        wait_until(lambda: nodes_alive(head) == 1, "nodes without work are released")
