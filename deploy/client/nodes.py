"""What a cluster's nodes offer to jobs, as Ray's state API lists it."""

from dataclasses import dataclass
from typing import Any

LIST = "/api/v0/nodes?limit=10000"
_CARD = "accelerator_type:"  # the resource by which Ray names a node's kind of card


@dataclass(frozen=True)
class Node:
    """A node that is up."""

    address: str
    head: bool
    cores: float  #: that trials may use; 0 on a head that runs drivers alone
    memory_bytes: int
    cards: float
    card: str | None  #: the kind of its cards

    @classmethod
    def of(cls, details: dict[str, Any]) -> "Node":
        """Return the record from what the state API answers about one node."""
        resources = details["resources_total"]
        kinds = [name.removeprefix(_CARD) for name in resources if name.startswith(_CARD)]
        return cls(
            details["node_ip"],
            bool(details["is_head_node"]),
            float(resources.get("CPU", 0)),
            int(resources.get("memory", 0)),
            float(resources.get("GPU", 0)),
            kinds[0] if kinds else None,
        )


def nodes_of(answer: Any) -> list[Node]:
    """Return the nodes that are up. Raises KeyError or TypeError for another kind of answer."""
    listed = answer["data"]["result"]["result"]
    return [Node.of(details) for details in listed if details["state"] == "ALIVE"]
