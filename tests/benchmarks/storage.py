"""What a job's storages cost: commits to the journal, opening it, and checkpoints.

    python tests/benchmarks/storage.py [--groups 2000] [--checkpoints 100]

Starts PostgreSQL and an S3 server on this machine; on real servers the network comes on top. The
journal's group is what a report of nine epochs takes. Prints JSON; times in milliseconds.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from servers import running_postgres, running_s3

from search.journal.base import BaseJournal
from search.journal.file import FileJournal, FileReader
from search.journal.postgres import PostgresJournal, PostgresReader
from trainables.checkpoints.open import open_store

EPOCH = {
    "train_loss": 0.123456789012345,
    "value": 0.9876543210987654,
    "seconds": 0.0512345678901234,
    "time": 1_790_000_000_000,
    "metrics": {"accuracy": 0.9876543210987654, "loss": 0.123456789012345},
}
GROUP = [
    {
        "record": "report",
        "key": "search/lstm/123",
        "generation": 1,
        "epochs": [{"epoch": epoch, **EPOCH} for epoch in range(1, 10)],
        "checkpoint": "search-lstm-123-g1-e9",
        "parameters": 20_123,
        "time": 1_790_000_000_000,
    },
    *(
        {"op_code": 7, "worker_id": "w", "trial_id": 123, "step": step, "intermediate_value": 0.9}
        for step in range(9)
    ),
]
TENSORS = os.urandom(400_000)  # a model of 20,000 parameters, its optimizer and its best weights


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return 1000 * (time.perf_counter() - began)


def percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 2),
        "p99": round(ordered[int(0.99 * len(ordered))], 2),
    }


def journal_times(journal: BaseJournal, groups: int) -> dict[str, float]:
    def commit() -> None:
        journal.append(*GROUP)
        journal.commit()

    with journal:
        return percentiles([timed(commit) for _ in range(groups)])


def store_times(place: str, number: int) -> dict[str, object]:
    store = open_store(place)

    def write(name: str) -> None:
        with store.writing(name) as folder:
            (folder / "model.safetensors").write_bytes(TENSORS)
            (folder / "state.json").write_bytes(b"{}")

    def read(name: str) -> None:
        with store.reading(name) as folder:
            (folder / "model.safetensors").read_bytes()

    write("first")
    names = [f"search-lstm-{number}-g1-e9" for number in range(number)]
    return {
        "write": percentiles([timed(lambda name=name: write(name)) for name in names]),
        "read": percentiles([timed(lambda name=name: read(name)) for name in names]),
        "delete": percentiles([timed(lambda name=name: store.delete(name)) for name in names]),
    }


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=2_000)
    parser.add_argument("--checkpoints", type=int, default=100)
    options = parser.parse_args()
    found: dict[str, object] = {"groups": options.groups}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.journal"
        found["commit, file"] = journal_times(FileJournal(path), options.groups)
        found["open, file"] = round(timed(lambda: FileReader(path).read()))
        local = Path(folder) / "checkpoints"
        local.mkdir()
        found["checkpoint, folder"] = store_times(str(local), options.checkpoints)
    with running_postgres(durable=True) as postgres, environment(PGPASSWORD=postgres.password):
        url = postgres.database()
        found["commit, postgresql"] = journal_times(PostgresJournal(url, "job"), options.groups)
        found["open, postgresql"] = round(timed(lambda: PostgresReader(url, "job").read()))
    with running_s3() as s3, environment(**s3.environment):
        place = f"s3://{s3.bucket()}/job"
        found["checkpoint, s3"] = store_times(place, options.checkpoints)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
