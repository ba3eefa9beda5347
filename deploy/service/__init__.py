"""The whole service on one machine: a Ray head that takes jobs, a queue, and MLflow's pages.

state.py    where a service that runs is written down, and which processes are its own
start.py    `gatesearch up`
stop.py     `gatesearch down`

Everything listens on loopback alone. Whoever submits needs the token, which is in a file that its
owner alone may read. The service's processes carry a mark in their environment, so that they are
found and ended whatever was written down before a fault.

Everything that fails raises deploy.errors.ClusterError.
"""

from deploy.service.start import up
from deploy.service.state import Service, find_service, last_service
from deploy.service.stop import down

__all__ = ["Service", "down", "find_service", "last_service", "up"]
