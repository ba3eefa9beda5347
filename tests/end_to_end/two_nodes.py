"""A Ray cluster of a head without processors and two nodes with one each, all on this machine.

Run as a program, it prints the cluster's address, kills one node for each line that it reads, and
ends the cluster at the end of its input. It is a process of its own since Ray reads its settings
for authentication once, when it is imported.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "node_ip_address": "127.0.0.1"}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    try:
        nodes = [cluster.add_node(**NODE) for _ in range(2)]
        print(cluster.address, flush=True)
        for _ in sys.stdin:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            print("killed", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
