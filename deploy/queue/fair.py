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
from heapq import heappop, heappush
from itertools import accumulate, groupby


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
    return _Line(waiting, running, shares).first(now)


def order(
    waiting: Iterable[Waiting],
    running: Sequence[str],
    shares: Mapping[str, Share],
    limit: int,
    now: float,
) -> list[Waiting]:
    """Return the waiting jobs in the order in which they will start, as far as that is known.

    running: of each slot that is taken, the user, the oldest first. Slots are taken to fall free in
    that order, and nothing else to be submitted. limit: how many slots there are. It takes
    O(n log n) for n jobs of however many users, of few different weights.
    """
    line, taken = _Line(waiting, running, shares), deque(running)
    found: list[Waiting] = []
    while True:
        while len(taken) >= limit:
            line.free(taken.popleft())
        if (job := line.first(now)) is None:
            return found
        found.append(job)
        taken.append(job.user)
        line.take(job.user, now)
        now += 1


_Key = tuple[int, float, float, str]  # slots, since when one waits, since when the oldest job does


class _Line:
    """Who waits, kept so that it costs little to say whose turn it is.

    Of two users of one weight, who comes first changes with their own slots and jobs alone, and not
    as time goes by: they are in one heap. What is no user's key any more is dropped when it is met.
    """

    def __init__(
        self, waiting: Iterable[Waiting], running: Iterable[str], shares: Mapping[str, Share]
    ) -> None:
        self._slots = Counter(running)
        self._jobs = {  # each user's last one first
            user: list(jobs)[::-1]
            for user, jobs in groupby(in_own_order(waiting), lambda job: job.user)
        }
        self._oldest = {  # of the jobs up to each of these
            user: list(accumulate((job.since for job in jobs), min))
            for user, jobs in self._jobs.items()
        }
        known = {user: shares.get(user, Share()) for user in self._jobs}
        self._weight = {user: share.weight for user, share in known.items()}
        self._served = {user: share.served for user, share in known.items()}
        self._keys: dict[str, _Key] = {}
        self._heaps: dict[int, list[_Key]] = {weight: [] for weight in self._weight.values()}
        for user in self._jobs:
            self._place(user)

    def first(self, now: float) -> Waiting | None:
        """Return the job whose turn it is; None where none waits."""
        ranks = []
        for weight, heap in self._heaps.items():
            while heap and self._keys.get(heap[0][-1]) != heap[0]:
                heappop(heap)
            if heap:
                slots, since, oldest, user = heap[0]
                ranks.append((slots / weight, (since - now) * weight, oldest, user))
        return self._jobs[min(ranks)[-1]][-1] if ranks else None

    def take(self, user: str, now: float) -> None:
        """Give a user's first job a slot."""
        self._slots[user] += 1
        self._jobs[user].pop()
        self._oldest[user].pop()
        self._served[user] = now
        self._place(user)

    def free(self, user: str) -> None:
        """Have one of a user's slots fall free."""
        self._slots[user] -= 1
        if user in self._keys:
            self._place(user)

    def _place(self, user: str) -> None:
        if not self._jobs[user]:
            del self._keys[user]
            return
        oldest = self._oldest[user][-1]
        key = (self._slots[user], max(self._served[user], oldest), oldest, user)
        self._keys[user] = key
        heappush(self._heaps[self._weight[user]], key)
