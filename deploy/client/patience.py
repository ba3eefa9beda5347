"""How long a cluster that does not answer is asked again: a head or a queue may be started anew."""

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.errors import ClusterError

#: Seconds between one try and the next; about a minute in all.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_T = TypeVar("_T")


def outlast(ask: Callable[[], _T]) -> _T:
    """Return what a request answers, asked again where the cluster does not answer.

    Raises ClusterError where it never does, and at once where it refuses the request.
    """
    for pause in PAUSES:
        try:
            return ask()
        except ClusterError as error:
            if error.exit_code == 2:
                raise
        time.sleep(pause)
    return ask()
