"""A node of one CPU that joins a cluster and stays until it is killed. Its argument: the head's.

`ray start` refuses to join a cluster on the loopback interface.
"""

import signal
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams

from search.run.ray_compat import SLOW_START, STARTS

NODE = RayParams(
    gcs_address=sys.argv[1],
    node_ip_address="127.0.0.1",
    num_cpus=1,
    num_gpus=0,
    object_store_memory=100_000_000,
    node_manager_port=0,  # any free ones
    min_worker_port=0,
    max_worker_port=0,
    include_log_monitor=False,
)
NODE.dashboard_agent_listen_port = None

if __name__ == "__main__":
    for left in reversed(range(STARTS)):
        try:
            Node(NODE, head=False, shutdown_at_exit=False, spawn_reaper=False)
            break
        except Exception as error:  # Ray raises no class of its own here
            if SLOW_START not in str(error) or not left:
                raise
    signal.pause()
