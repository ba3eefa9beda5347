"""Trainings on this machine's card, for gpu.py: cohorts, ragged sequences, many shapes at once."""

import statistics
import time
from typing import Any

import numpy as np
import torch

from spaces.config import TrialConfig
from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data, Sequences
from trainables.layers.model import Model
from trainables.training.cohort import cohort_of
from trainables.training.cost import training_costs
from trainables.training.latency import medians_ms
from trainables.training.side_by_side import Lane, advance
from trainables.training.stacked_cohort import StackedCohort
from trainables.training.trainer import Training

COHORTS = (1, 8, 32, 100)
#: Twelve shapes: each cell at each size.
CELLS = ("lstm", "standard"), ("gru", "reset-after"), ("gru", "reset-before"), ("lstm", "coupled")
UNITS = (32, 48, 64)
#: Cells that train on ragged sequences.
RAGGED = ("lstm", "projected"), ("lstm", "peephole"), ("gru", "reset-after"), ("gru", "light")
LANES = (1, 4, 8, 12)


def cohort_data(T: int = 100, features: int = 8, count: int = 256) -> Data:
    """Return a data set of sequences that all have the same length."""
    draw = np.random.default_rng(0)

    def split() -> Sequences:
        x = draw.normal(size=(count * T, features)).astype(np.float32)
        return Sequences(x, np.full(count, T), draw.integers(0, 4, count))

    info = TaskInfo("made", "classification", features, 4, T, METRICS["classification"][0])
    return Data(info, split(), split(), split())


def cohorts(cell: str, gates: str, precision: str) -> dict[str, Any]:
    """Return milliseconds of a training step of cohorts, and of the same models one by one."""
    data = cohort_data()
    config = TrialConfig(
        cell=cell, gates=gates, depth=1, hidden_size=64, learning_rate=1e-3, max_epochs=99,
        dropout=0.1, batch_size=32, precision=precision,
    )  # fmt: skip
    batches = 8
    row: dict[str, Any] = {"variant": f"{cell}-{gates}", "precision": precision, "ms": {}}
    for count in COHORTS:
        members = [Training(config, data, seed=seed, device="cuda") for seed in range(count)]
        cohort = StackedCohort(members)
        cohort._begin_training(list(range(count)))
        torch.cuda.synchronize()
        times = []
        for _ in range(3):
            began = time.perf_counter()
            cohort._begin_training(list(range(count)))
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - began) / batches)
        row["ms"][str(count)] = statistics.median(times)
        row.setdefault("bytes", {})[str(count)] = torch.cuda.max_memory_allocated()
        del cohort, members
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    alone = Training(config, data, seed=0, device="cuda")
    alone._train_epoch(1)
    began = time.perf_counter()
    alone._train_epoch(2)
    torch.cuda.synchronize()
    row["ms"]["eager"] = 1e3 * (time.perf_counter() - began) / batches
    most = row["ms"][str(COHORTS[-1])]
    row["times one by one, eager"] = COHORTS[-1] * row["ms"]["eager"] / most
    row["times one by one, cohorts of one"] = COHORTS[-1] * row["ms"]["1"] / most
    return row


def ragged_data() -> Data:
    """Return a data set of short and long sequences."""
    draw = np.random.default_rng(0)

    def split() -> Sequences:
        lengths = draw.integers(1, 31, 40)
        x = draw.normal(size=(int(lengths.sum()), 3)).astype(np.float32)
        return Sequences(x, lengths, draw.integers(0, 4, 40))

    info = TaskInfo("made", "classification", 3, 4, 30, METRICS["classification"][0])
    return Data(info, split(), split(), split())


def trainings(cell: str, gates: str, splits: bool = False) -> dict[str, Any]:
    """Return how far trainings in a cohort are from each alone and from those on the CPU.

    splits: whether each is on a split of its own.
    """
    data, rates = ragged_data(), (0.01, 0.05, 0.002)
    dealt = [redeal(data, Split("splits", n)) if splits else data for n in range(len(rates))]
    configs = [
        TrialConfig(
            cell=cell, gates=gates, depth=1, hidden_size=6, learning_rate=rate, max_epochs=4,
            dropout=0.0, batch_size=5,
        )
        for rate in rates
    ]  # fmt: skip

    def made(device: str) -> list[Training]:
        return [
            Training(one, own, seed=n, device=device)
            for n, (one, own) in enumerate(zip(configs, dealt, strict=True))
        ]

    together, alone, on_cpu = made("cuda"), made("cuda"), made("cpu")
    cohort_of(together).advance(4)
    for one in [*alone, *on_cpu]:
        cohort_of([one]).advance(4)

    def apart(ones: list[Training], others: list[Training]) -> float:
        pairs = [
            (a.train_loss, b.train_loss)
            for one, other in zip(ones, others, strict=True)
            for a, b in zip(one.curve, other.curve, strict=True)
        ]
        return max(abs(a - b) / abs(b) for a, b in pairs)

    return {
        "variant": f"{cell}-{gates}",
        "splits": len(rates) if splits else 1,
        "alone": apart(together, alone),
        "cpu": apart(together, on_cpu),
    }


def costs() -> list[dict[str, Any]]:
    """Return what trainings cost alone, in turn: seconds of an epoch, bytes, and passes' times."""
    data, card = cohort_data(), torch.device("cuda")
    configs = [
        TrialConfig(
            cell=cell, gates=gates, depth=1, hidden_size=64, learning_rate=1e-3, max_epochs=99,
            dropout=0.1, batch_size=32,
        )
        for cell, gates in CELLS
    ]  # fmt: skip
    models = [Model(config, data.info).to(card) for config in configs]
    passes = medians_ms(models, data.train, (1, 64))
    found = training_costs(configs, data, card, [0.1] * len(configs))
    return [
        {
            "variant": f"{config.cell}-{config.gates}",
            "path": cost.path,
            "epoch ms": 1e3 * cost.epoch_seconds,
            "peak MB": (cost.peak_bytes or 0) / 1e6,
            "pass ms": {str(batch): ms for batch, ms in times.items()},
        }
        for config, cost, times in zip(configs, found, passes, strict=True)
        if cost is not None
    ]


def shapes(epochs: int = 6) -> dict[str, Any]:
    """Return milliseconds of an epoch of models of twelve shapes, by how many train at once."""
    data = cohort_data()
    configs = [
        TrialConfig(
            cell=cell, gates=gates, depth=1, hidden_size=units, learning_rate=1e-3,
            max_epochs=99, dropout=0.1, batch_size=32,
        )
        for cell, gates in CELLS for units in UNITS
    ]  # fmt: skip
    cohorts = [StackedCohort([Training(one, data, seed=0, device="cuda")]) for one in configs]
    lanes = [Lane(torch.device("cuda")) for _ in cohorts]

    def never(number: int, error: Exception) -> None:
        raise error

    row: dict[str, Any] = {"shapes": len(configs), "ms": {}}
    for count in (max(LANES), *LANES):  # the first one captures all graphs
        began = time.perf_counter()
        for start in range(0, len(cohorts), count):
            part = cohorts[start : start + count]
            left = [epochs] * len(part)

            def goes_on(number: int, left: list[int] = left) -> bool:
                left[number] -= 1
                return max(left) > 0

            advance(part, lanes[start : start + count], goes_on, never)
        torch.cuda.synchronize()
        trained = sum(cohort.members[0].epoch for cohort in cohorts) - row.get("epochs", 0)
        row["epochs"] = row.get("epochs", 0) + trained
        row["ms"][str(count)] = 1e3 * (time.perf_counter() - began) / trained * len(cohorts)
    row["times one after the other"] = row["ms"]["1"] / min(row["ms"].values())
    return row
