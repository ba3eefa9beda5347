"""Prints a job's journal as it grows, for a laptop that watches: `python -m search.watch.send`.

    python -P -m search.watch.send FOLDER START

It runs on the cluster as a job of its own, whose log the laptop follows. START is how many groups
the laptop has. It ends after LEASE seconds, so that it outlives no laptop by more; the laptop asks
again from where it is.

    GATESEARCH-GROUP <a line of the journal>
    GATESEARCH-NOW {what the driver does now, see search/run/now.py}
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from search.journal.base import encode
from search.journal.open import open_reader
from search.run.now import Now, read_now
from spaces.errors import GatesearchError

GROUP, NOW = "GATESEARCH-GROUP", "GATESEARCH-NOW"
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
    for _ in islice(groups, start):
        pass
    told: Now | None = None
    while True:
        for group in groups:
            yield GROUP.encode() + b" " + encode(group)
        now = read_now(folder)
        if now is not None and now != told:
            told = now
            yield f"{NOW} {json.dumps(asdict(now))}\n".encode()
        if time.monotonic() >= until:
            return
        time.sleep(_LOOK)
        groups = reader.groups()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
