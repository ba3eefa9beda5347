"""Figures of a queue, for Prometheus: GET /metrics, with any user's token.

What they are is METRICS; the dashboard and the alerts of deploy/monitoring use them beside those of
jobs, which search/run/metrics.py tells.
"""

from collections.abc import Iterator
from typing import NamedTuple, get_args

from deploy.queue.entry import State
from deploy.queue.store import Count

STATES = get_args(State)
CONTENT_TYPE = "text/plain; version=0.0.4"


class Described(NamedTuple):
    """What a figure means, and by which labels it is told apart."""

    text: str
    labels: tuple[str, ...] = ()


METRICS = {
    "gatesearch_queue_jobs": Described("Jobs that the queue has or had.", ("user", "state")),
    "gatesearch_queue_oldest_wait_seconds": Described(
        "Since the oldest job that waits was submitted; 0 where none waits.", ("user",)
    ),
    "gatesearch_queue_slots": Described("Jobs that may run at once."),
    "gatesearch_queue_cluster_away": Described("1 while the cluster does not answer."),
}


def exposition(users: list[str], counts: list[Count], limit: int, *, away: bool, now: int) -> str:
    """Return the figures in Prometheus's text format.

    users: those of today; others are told while they have jobs. now: milliseconds since 1970.
    """
    found = {(count.user, count.state): count for count in counts}
    names = sorted({*users, *(count.user for count in counts)})
    values: dict[str, list[tuple[tuple[str, ...], float]]] = {
        "gatesearch_queue_jobs": [
            ((user, state), found[user, state].jobs if (user, state) in found else 0)
            for user in names
            for state in STATES
        ],
        "gatesearch_queue_oldest_wait_seconds": [
            ((user,), max(0, now - found[user, "queued"].oldest) / 1000)
            if (user, "queued") in found
            else ((user,), 0)
            for user in names
        ],
        "gatesearch_queue_slots": [((), limit)],
        "gatesearch_queue_cluster_away": [((), away)],
    }
    return "".join(f"{line}\n" for line in _lines(values))


def _lines(values: dict[str, list[tuple[tuple[str, ...], float]]]) -> Iterator[str]:
    for metric, about in METRICS.items():
        yield f"# HELP {metric} {about.text}"
        yield f"# TYPE {metric} gauge"
        for told, value in values[metric]:
            # Users' names and states are of a-z, 0-9, - and _: nothing in them needs an escape.
            pairs = [f'{name}="{text}"' for name, text in zip(about.labels, told, strict=True)]
            yield f"{metric}{{{','.join(pairs)}}} {value:g}" if pairs else f"{metric} {value:g}"
