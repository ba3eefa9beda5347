"""What the mirror to MLflow does: how fast, and how it grows.

    python tests/benchmarks/tracking.py rate
        reports a second over HTTP, against ray's own MLflowLoggerCallback, in one run
    python tests/benchmarks/tracking.py scale
        seconds for journals of a tenth, a third and all of --trials, to SQLite and over HTTP

Servers are real, with SQLite, in temporary folders. Prints JSON lines. Run it on a quiet machine.
"""

import argparse
import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from mlflow_server import running_server
from server_process import free_ports
from written_jobs import WrittenJob

from search.journal.file import FileJournal, FileReader
from search.tracking.database import DATABASE
from search.tracking.follower import ExitCode, Follower
from search.tracking.mirror import mirror_once
from search.tracking.mlflow_compat import environment, open_client
from search.tracking.runs import JobRuns

STOCK_REPORTS = 50  #: enough to time a callback that makes a request for every metric


def written(folder: Path, trials: int, epochs: int) -> Path:
    """Write the journal of a finished search; return the job's folder."""
    made = WrittenJob(folder)
    records: list[dict[str, Any]] = []
    for number in range(trials):
        key = f"search/{('rnn', 'lstm')[number % 2]}/{number // 2}"
        config = {"cell": "lstm", "gates": "standard", "depth": 1 + number % 2}
        config |= {"hidden_size": 8 + number % 50, "learning_rate": 1e-3, "max_epochs": epochs}
        begun = {"record": "trial", "key": key, "phase": "search", "arm": key.split("/")[1]}
        begun |= {"number": number // 2, "control": False, "config": config, "seed": number}
        records.append({**begun, "time": made.tick()})
        points = [
            {
                "epoch": epoch,
                "train_loss": 1 / epoch,
                "value": 1 - 1 / (epoch + 1),
                "seconds": 0.1,
                "time": made.tick(),
                "metrics": {"loss": 1 / epoch},
            }
            for epoch in range(1, epochs + 1)
        ]
        report = {"record": "report", "key": key, "generation": 1, "epochs": points}
        records.append({**report, "parameters": 1000})
        end = {"record": "end", "key": key, "state": "complete", "reason": None, "test": None}
        records.append({**end, "time": made.tick()})
    with FileJournal(made.folder / "job.journal") as journal:
        journal.append(*records)
        journal.commit()
    made.finish()
    return made.folder


def points_of(folder: Path) -> int:
    """Return how many points a job's journal has."""
    runs = JobRuns()
    for group in FileReader(folder / "job.journal").groups():
        runs.apply(group)
    assert runs.job is not None
    return sum(run.point_count for run in {id(r): r for r in runs.changed.values()}.values())


def stored_points(root: Path) -> int:
    """Return how many points an MLflow database has of runs that are not deleted."""
    with contextlib.closing(sqlite3.connect(root / DATABASE)) as connection:
        (found,) = connection.execute(
            "select count(*) from metrics join runs using (run_uuid) "
            "where lifecycle_stage = 'active'"
        ).fetchone()
    return int(found)


@contextlib.contextmanager
def server() -> Iterator[tuple[str, Path]]:
    """A real MLflow server over SQLite: its address, and the folder of its database."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with running_server(root, free_ports(1)[0]) as uri:
            yield uri, root


def rate(trials: int, epochs: int) -> dict[str, Any]:
    """Return reports a second of the mirror and of ray's callback, over HTTP."""
    with tempfile.TemporaryDirectory() as name, server() as (uri, root), environment():
        folder = written(Path(name) / "vowels", trials, epochs)
        follower = Follower(folder, uri, None, None, 0.0)
        open_client(uri)  # both without the import of MLflow, and in this process
        began = time.perf_counter()
        assert follower.run() == ExitCode.COMPLETE
        ours = trials * epochs / (time.perf_counter() - began)
        assert stored_points(root) == points_of(folder)
    with server() as (uri, _):
        stock = stock_rate(uri)
    ratio = round(ours / stock, 1)
    return {"ours": round(ours, 1), "stock": round(stock, 2), "ratio": ratio}


class StockTrial:
    """What the callback reads of one of Tune's trials."""

    def __init__(self) -> None:
        self.config = {"hidden_size": 8, "learning_rate": 1e-3}


def stock_rate(uri: str) -> float:
    """Return reports a second of ray.air.integrations.mlflow.MLflowLoggerCallback."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock")
    callback.setup()
    trial: Any = StockTrial()
    callback.log_trial_start(trial)
    # The five figures of an epoch that the mirror stores here, and what Tune adds to every result.
    result = {"accuracy": 0.5, "loss": 1.0, "train_loss": 1.0, "seconds": 0.1}
    result |= {"learning_rate": 1e-3}
    began = time.perf_counter()
    for step in range(1, STOCK_REPORTS + 1):
        callback.log_trial_result(step, trial, {**result, "training_iteration": step})
    seconds = time.perf_counter() - began
    callback.log_trial_end(trial)
    return STOCK_REPORTS / seconds


def scale(trials: int, epochs: int) -> Iterator[dict[str, Any]]:
    """Yield milliseconds a trial for journals that grow, to SQLite and over HTTP."""
    for kind in ("sqlite", "http"):
        first = None
        for count in (trials // 10, trials // 3, trials):
            with contextlib.ExitStack() as stack:
                name = stack.enter_context(tempfile.TemporaryDirectory())
                folder = written(Path(name) / "vowels", count, epochs)
                uri, root = None, Path(name)
                if kind == "http":
                    uri, root = stack.enter_context(server())
                began = time.perf_counter()
                assert mirror_once(folder, uri).complete
                seconds = time.perf_counter() - began
                assert stored_points(root) == points_of(folder)
            each = 1000 * seconds / count
            first = first or each
            found = {"kind": kind, "trials": count, "seconds": round(seconds, 1)}
            yield {**found, "ms_per_trial": round(each, 1), "growth": round(each / first, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("rate", "scale"))
    parser.add_argument("--trials", type=int, help="default: 20 and 10000")
    parser.add_argument("--epochs", type=int, help="of each trial; default: 500 and 10")
    asked = parser.parse_args()
    match asked.what:
        case "rate":
            print(json.dumps(rate(asked.trials or 20, asked.epochs or 500)), flush=True)
        case _:
            for found in scale(asked.trials or 10_000, asked.epochs or 10):
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
