"""The rule: whose job is next.

1. The user who has the fewest slots for their weight.
2. Among equal ones, who has waited longest, times their weight: since one of their jobs was last
   given a slot, or since the oldest job that they have waiting was submitted.
3. Of that user's jobs the one of the highest priority; of those, the first.

A user with no slot comes before all who have one, and those who have none wait in turn: nobody
starves, whatever the weights. No job is taken off its slot for another one.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Waiting:
    """A job that waits."""

    id: str
    user: str
    priority: int
    position: int
    since: float  #: seconds since 1970


@dataclass(frozen=True)
class Share:
    """What a user is due."""

    weight: int = 1
    served: float = 0.0  #: when one of their jobs was last given a slot, in seconds since 1970


def in_own_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    """Return the jobs with each user's together, in the order in which that user's run."""
    return sorted(waiting, key=lambda job: (job.user, -job.priority, job.position))


def choose(
    waiting: Iterable[Waiting],
    running: Iterable[str],
    shares: Mapping[str, Share],
    now: float,
) -> Waiting | None:
    """Return the job that gets the next free slot; None where none waits.

    running: of each slot that is taken, the user. now: seconds since 1970.
    """
    return _next(_queues(waiting), Counter(running), shares, now)


def order(
    waiting: Iterable[Waiting],
    running: Sequence[str],
    shares: Mapping[str, Share],
    limit: int,
    now: float,
) -> list[Waiting]:
    """Return the waiting jobs in the order in which they will start, as far as that is known.

    running: of each slot that is taken, the user, the oldest first. Slots are taken to fall free in
    that order, and nothing else to be submitted. limit: how many slots there are.
    """
    queues, taken, shares = _queues(waiting), deque(running), dict(shares)
    found: list[Waiting] = []
    while queues:
        while len(taken) >= limit:
            taken.popleft()
        job = _next(queues, Counter(taken), shares, now)
        assert job is not None
        found.append(job)
        taken.append(job.user)
        queues[job.user].popleft()
        if not queues[job.user]:
            del queues[job.user]
        shares[job.user] = Share(shares.get(job.user, Share()).weight, now)
        now += 1
    return found


def _queues(waiting: Iterable[Waiting]) -> dict[str, deque[Waiting]]:
    return {
        user: deque(jobs) for user, jobs in groupby(in_own_order(waiting), lambda job: job.user)
    }


def _next(
    queues: Mapping[str, deque[Waiting]],
    running: Mapping[str, int],
    shares: Mapping[str, Share],
    now: float,
) -> Waiting | None:
    def rank(user: str) -> tuple[float, float, float, str]:
        share = shares.get(user, Share())
        oldest = min(job.since for job in queues[user])
        waited = max(0.0, now - max(share.served, oldest))
        return running.get(user, 0) / share.weight, -waited * share.weight, oldest, user

    return queues[min(queues, key=rank)][0] if queues else None
