"""A Ray cluster of a head without processors and two nodes with one each, all on this machine.

Run as a program, it prints the cluster's address, kills one node for each line that it reads, and
ends the cluster at the end of its input. Its arguments are the nodes' numbers of made-up GPUs. It
is a process of its own since Ray reads its settings for authentication once, when it is imported.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "node_ip_address": "127.0.0.1"}


def main() -> None:
    # Ray's Unix sockets lie deep below its folder and their paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="gs-", dir="/tmp")
    os.environ["RAY_TMPDIR"] = folder  # or Ray notes the cluster's address in /tmp/ray
    Path(folder, "ray").mkdir()
    node = {**NODE, "temp_dir": folder}
    try:
        cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
        try:
            gpus = [int(number) for number in sys.argv[1:]]
            nodes = [cluster.add_node(**node, num_gpus=number) for number in gpus]
            print(cluster.address, flush=True)
            for _ in sys.stdin:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
                print("killed", flush=True)
        finally:
            cluster.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
