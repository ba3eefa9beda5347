"""Records learning curves of real trainings as tables that search_replay.py reads.

    python tests/benchmarks/record_tables.py --out FOLDER [--configurations 240] [--cores 2]

An LSTM or GRU on a built-in task, one configuration a row, drawn at random: learning rates from
1e-4 to 0.1, 16, 32 or 64 units, one or two layers, dropout up to 0.5; 27 epochs each, of which the
validation loss is kept. A row's seed is its number. Ten minutes on two cores; a table that is there
already is not recorded again. `make bench-search-own` replays searches on them.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch are loaded

import numpy as np

from spaces.config import TrialConfig
from spaces.tasks import Adding, JapaneseVowels, Symbolic, TaskSpec
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.training.trainer import Training

EPOCHS = 27
NAMES = ("learning_rate", "hidden_size", "depth", "dropout")
#: Cell, gates and task by the table's name, of which search_replay.py reads the family of cells.
TABLES: dict[str, tuple[str, str, TaskSpec]] = {
    "vowels_GRU64": ("gru", "reset-after", JapaneseVowels(name="japanese-vowels")),
    "symbolic_LSTM64": (
        "lstm",
        "standard",
        Symbolic(name="symbolic", complexity=40, length=2000, window=50),
    ),
    "adding_GRU64": ("gru", "reset-after", Adding(name="adding", length=30, examples=800)),
}
_loaded: dict[str, Data] = {}  # of this process


def record(task: tuple[str, int]) -> tuple[list[float], list[float]]:
    """Return a row's values, by NAMES, and its curve [EPOCHS]; NaN from where it diverged on."""
    table, row = task
    cell, gates, spec = TABLES[table]
    if table not in _loaded:
        _loaded[table] = tasks.load(spec, Path())
    rng = np.random.default_rng(row)
    values = [
        float(10 ** rng.uniform(-4, -1)),
        float(rng.choice([16, 32, 64])),
        float(rng.integers(1, 3)),
        float(rng.uniform(0, 0.5)),
    ]
    config = TrialConfig(
        cell=cell,
        gates=gates,
        learning_rate=values[0],
        hidden_size=int(values[1]),
        depth=int(values[2]),
        dropout=values[3],
        batch_size=32,
        max_epochs=EPOCHS,
    )
    losses = list(curve(Training(config, _loaded[table], seed=row)))
    return values, losses + [float("nan")] * (EPOCHS - len(losses))


def curve(training: Training) -> Iterator[float]:
    """Yield the validation loss of each epoch, until the training ends or diverges."""
    training.advance(EPOCHS)
    yield from (point.metrics["loss"] for point in training.curve)


def main() -> None:
    """Record the tables that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--configurations", type=int, default=240)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(asked.cores) as pool:
        for table in TABLES:
            path = asked.out / f"{table}.npz"
            if path.exists():
                continue
            rows = [(table, row) for row in range(asked.configurations)]
            values, losses = zip(*pool.map(record, rows, chunksize=4), strict=True)
            arrays = {"names": np.array(NAMES), "x": np.array(values)}
            np.savez(path, allow_pickle=False, **arrays, valid_loss=np.array(losses))
            print(f"{path}: least loss {np.nanmin(losses):.4g}", flush=True)


if __name__ == "__main__":
    main()
