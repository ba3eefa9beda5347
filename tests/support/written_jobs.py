"""Journals as a driver would have written them."""

import random
from pathlib import Path
from typing import Any

from search.journal.file import FileJournal

HOST = "elsewhere"  # where the drivers of these journals ran, unless a test names another host
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


class WrittenJob:
    """A job's folder that a test writes. Every call is one group on disk; times are fixed."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "vowels",
        pid: int = 1,
        host: str = HOST,
        more: dict[str, Any] | None = None,
    ) -> None:
        """Begin a job; more: further entries of its specification."""
        folder.mkdir(parents=True)
        (folder / "job.yaml").write_text(f"name: {name}\n")
        self.folder = folder
        self._time = START
        self._random = random.Random(0)
        self._generation = 0
        task = {"name": "japanese-vowels", "seed": 0}
        spec = {"name": name, "task": task, "arms": ["rnn", "lstm"]}
        spec |= {"search": {"trials": 2}, "confirm": {"finalists": 1, "seeds": 2}}
        spec |= more or {}
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
        phase, rest = key.split("/", 1)
        arm, number = rest.rsplit("/", 1)
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
