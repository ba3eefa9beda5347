"""Journals as a driver would have written them, and what MLflow's database then holds."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from search.journal.file import FileJournal

HOST = "elsewhere"  # where the drivers of these journals ran, unless a test says otherwise
START = 1_790_000_000_000  # Unix time in milliseconds
INFO = {
    "name": "japanese-vowels",
    "kind": "classification",
    "inputs": 12,
    "outputs": 9,
    "longest": 29,
    "metric": {"name": "accuracy", "direction": "maximize"},
    "fingerprint": "0123456789abcdef" * 4,
}


class Told:
    """A journal in the making. Every call is one group on disk; times are a fixed sequence."""

    def __init__(self, folder: Path, *, name: str = "vowels", pid: int = 1, host: str = HOST):
        folder.mkdir(parents=True)
        (folder / "job.yaml").write_text(f"name: {name}\n")
        self.folder = folder
        self._time = START
        self._random = random.Random(0)
        self._generation = 0
        task = {"name": "japanese-vowels", "seed": 0}
        spec = {"name": name, "task": task, "arms": ["rnn", "lstm"]}
        spec |= {"search": {"trials": 2}, "confirm": {"finalists": 1, "seeds": 2}}
        self.write(
            {"record": "job", "spec": spec, "base": "/", "task": INFO}, *self._driver(pid, host)
        )

    def write(self, *records: dict[str, Any]) -> None:
        with FileJournal(self.folder / "job.journal") as journal:
            journal.append(*records)
            journal.commit()

    def _driver(self, pid: int, host: str) -> list[dict[str, Any]]:
        self._generation += 1
        driver = {"record": "driver", "generation": self._generation, "pid": pid, "host": host}
        return [{**driver, "time": self.tick()}]

    def driver(self, pid: int = 1, host: str = HOST) -> None:
        self.write(*self._driver(pid, host))

    def tick(self) -> int:
        self._time += 1_000
        return self._time

    def trial(self, key: str, **changes: Any) -> None:
        phase, arm, number = (
            key.split("/", 1)[0],
            key.split("/", 1)[1].rsplit("/", 1)[0],
            key.rsplit("/")[-1],
        )
        config = {"cell": "lstm", "gates": "standard", "depth": 2, "learning_rate": 1e-3}
        config |= {"hidden_size": 8, "max_epochs": 9}
        config |= changes.pop("config", {})
        born = {"record": "trial", "key": key, "phase": phase, "arm": arm, "number": int(number)}
        born |= {"control": False, "config": config, "seed": 7, "finalist": None, "replicate": None}
        if phase == "confirm":
            born |= {"finalist": 0, "replicate": int(number)}
        self.write({**born, "time": self.tick(), **changes})

    def report(self, key: str, first: int, last: int, parameters: int | None = 1234) -> None:
        epochs = [
            {
                "epoch": epoch,
                "train_loss": 2 / epoch,
                "value": 1 - 1 / (epoch + 1) - self._random.random() / 100,
                "seconds": 0.05,
                "time": self.tick(),
                "metrics": {"loss": 1 / epoch},
            }
            for epoch in range(first, last + 1)
        ]
        report = {"record": "report", "key": key, "generation": self._generation}
        self.write({**report, "epochs": epochs, "checkpoint": None, "parameters": parameters})

    def end(self, key: str, state: str = "complete", **changes: Any) -> None:
        end = {"record": "end", "key": key, "state": state, "reason": None, "test": None}
        self.write({**end, "time": self.tick(), **changes})

    def phase(self, phase: str) -> None:
        self.write({"record": "phase", "phase": phase, "time": self.tick()})

    def whole(self) -> None:
        """A small job from its first trial to its end, with every kind of end in it."""
        for arm in ("rnn", "lstm"):
            self.trial(f"search/{arm}/0")
            self.report(f"search/{arm}/0", 1, 3)
            self.report(f"search/{arm}/0", 4, 6)
            self.end(f"search/{arm}/0")
        self.trial("search/rnn/1", control=True)
        self.report("search/rnn/1", 1, 1)
        self.end("search/rnn/1", "diverged", reason="the loss is not finite at epoch 2")
        self.trial("search/lstm/1")
        self.report("search/lstm/1", 1, 2)
        self.end("search/lstm/1", "pruned")
        self.trial("search/lstm/2")
        self.end("search/lstm/2", "failed", reason="out of memory")
        self.confirm()
        self.finish()

    def confirm(self) -> None:
        self.phase("confirm")
        for number, score in enumerate((0.9, 0.94)):
            for arm in ("rnn", "lstm"):
                key = f"confirm/{arm}/{number}"
                self.trial(key)
                self.report(key, 1, 2)
                self.end(key, test={"accuracy": score, "loss": 0.3})

    def finish(self) -> None:
        (self.folder / "report.html").write_text("<h1>Report</h1>")
        (self.folder / "best").mkdir(exist_ok=True)
        (self.folder / "best" / "config.yaml").write_text("name: best\n")
        self.phase("report")
        self.phase("done")


def database(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what is in an MLflow database: the runs that are not deleted, by their key."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(query: str, *values: str) -> list[sqlite3.Row]:
            return connection.execute(query, values).fetchall()

        found: dict[str, list[dict[str, Any]]] = {}
        for run in rows("select * from runs where lifecycle_stage = 'active'"):
            run_id = run["run_uuid"]
            tags = {
                r["key"]: r["value"] for r in rows("select * from tags where run_uuid = ?", run_id)
            }
            points = rows("select * from metrics where run_uuid = ?", run_id)
            data = rows(
                "select d.name, d.digest from inputs i join datasets d"
                " on d.dataset_uuid = i.source_id where i.destination_id = ?",
                run_id,
            )
            found.setdefault(tags["gatesearch.key"], []).append(
                {
                    "run_id": run_id,
                    "experiment": run["experiment_id"],
                    "name": run["name"],
                    "status": run["status"],
                    "started": run["start_time"],
                    "ended": run["end_time"],
                    "tags": tags,
                    "params": {
                        r["key"]: r["value"]
                        for r in rows("select * from params where run_uuid = ?", run_id)
                    },
                    "points": sorted(
                        (r["key"], r["step"], r["timestamp"], r["value"]) for r in points
                    ),
                    "data": [tuple(row) for row in data],
                }
            )
        return found


def comparable(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the same without what differs between two databases: run ids and experiment ids."""
    ids = {run["run_id"]: key for key, runs in found.items() for run in runs}
    return {
        key: [
            {name: value for name, value in run.items() if name not in ("run_id", "experiment")}
            | {"tags": {name: ids.get(text, text) for name, text in run["tags"].items()}}
            for run in runs
        ]
        for key, runs in sorted(found.items())
    }


def curve(run: dict[str, Any], metric: str) -> list[tuple[int, float]]:
    """Return (step, value) of one metric."""
    return [(step, value) for name, step, _, value in run["points"] if name == metric]
