"""Prints a job's journal as it grows, for a laptop that watches: `python -m search.watch.send`.

    python -P -m search.watch.send FOLDER START

It runs on the cluster as a job of its own, whose log the laptop follows. START is how many groups
the laptop has. It ends with the watched job, or after LEASE seconds, so that it outlives no laptop
by more; the laptop asks again from where it is.

    GATESEARCH-GROUP <a line of the journal>
    GATESEARCH-NOW {what the driver does now, see search/run/now.py}
    GATESEARCH-DRIVEN true             or false: whether the job's driver is at work
    GATESEARCH-HERE                    nothing new; who has left is noticed by it
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from search.journal.at_work import is_driver_at_work
from search.journal.base import Group, encode
from search.journal.open import open_reader
from search.journal.replay import JobState
from search.run.now import Now, read_now
from spaces.errors import GatesearchError

GROUP, NOW, DRIVEN, HERE = (f"GATESEARCH-{word}" for word in ("GROUP", "NOW", "DRIVEN", "HERE"))
LEASE = 120.0  #: seconds
_LOOK = 1.0  # seconds between two looks


def main(folder: Path, start: int, lease: float = LEASE) -> int:
    """Print until the lease is over; 0 unless the journal cannot be read."""
    try:
        for line in lines(folder, start, time.monotonic() + lease):
            os.write(1, line)  # whole lines: others write to the same log
    except GatesearchError as error:
        os.write(2, f"{error}\n".encode(errors="replace"))
        return 2
    return 0


def lines(folder: Path, start: int, until: float) -> Iterator[bytes]:
    """Yield lines until a time of the monotonic clock; at least what there is now."""
    reader = open_reader(folder)
    groups = reader.groups()
    done, job_state = False, JobState()

    def take(group: Group) -> None:
        nonlocal done
        done = is_done(group, done)
        for record in group:
            if record.get("record") == "driver":
                job_state.apply_checked(record)

    for group in islice(groups, start):
        take(group)
    told: Now | None = None
    driven: bool | None = None
    while True:
        for group in groups:
            take(group)
            yield GROUP.encode() + b" " + encode(group)
        now = read_now(folder)
        if now is not None and now != told:
            told = now
            yield f"{NOW} {json.dumps(asdict(now))}\n".encode()
        if driven != (driven := is_driver_at_work(job_state, folder)):
            yield f"{DRIVEN} {json.dumps(driven)}\n".encode()
        if done or time.monotonic() >= until:
            return
        yield f"{HERE}\n".encode()
        time.sleep(_LOOK)
        groups = reader.groups()


def is_done(group: Group, before: bool) -> bool:
    """Return whether a job is finished after a group; before: whether it was before that."""
    for record in group:
        if record.get("record") in ("phase", "extend", "driver"):
            done_again = record["record"] == "driver" and before
            before = done_again or record.get("phase") == "done"
    return before


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
