"""What Ray's state API lists becomes nodes, and only those that are up."""

from typing import Any

from deploy.client import Node
from deploy.client.nodes import nodes_of


def listed(state: str, **resources: float) -> dict[str, Any]:
    return {
        "node_ip": "10.0.0.7",
        "is_head_node": False,
        "state": state,
        "resources_total": {**resources, "node:10.0.0.7": 1.0},
    }


def test_a_node_that_is_down_offers_nothing() -> None:
    up = listed("ALIVE", **{"CPU": 8.0, "GPU": 2.0, "memory": 4.0, "accelerator_type:H100": 1.0})
    answer = {"data": {"result": {"result": [listed("DEAD", CPU=8.0), up, listed("ALIVE")]}}}
    assert nodes_of(answer) == [
        Node("10.0.0.7", False, 8.0, 4, 2.0, "H100"),
        Node("10.0.0.7", False, 0.0, 0, 0.0, None),
    ]
