"""How long a cluster that does not answer is asked again: a head or a queue may be started anew."""

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.errors import ClusterError

#: Seconds between one try and the next; about a minute in all.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_T = TypeVar("_T")


def outlast(
    ask: Callable[[], _T],
    fault: type[ClusterError] = ClusterError,
    tell: Callable[[ClusterError], None] | None = None,
) -> _T:
    """Return what a request answers, asked again where the cluster does not answer.

    fault: what is outlasted. tell: is called once, before the first pause. Raises ClusterError
    where it lasts for too long, and at once where the request is refused for good.
    """
    for pause in PAUSES:
        try:
            return ask()
        except fault as error:
            if error.exit_code == 2:
                raise
            if tell is not None and pause == PAUSES[0]:
                tell(error)
        time.sleep(pause)
    return ask()
