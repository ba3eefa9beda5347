"""Ten seeds of each of the quickstart's finalists: one after the other, and as a cohort.

    python tests/benchmarks/fused.py [--rounds N] [--out bench-fused.json]

Three ways in turn, a new order each round: one after the other on one core, a cohort on one core,
and two cohorts of half the seeds in two processes, as the confirm phase does on two cores. Times
are medians over rounds, of wall-clock time and of processor time (of the slower process). On a
machine that does other work, compare processor times. Every way ends with the same weights.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before torch is loaded

ROOT = Path(__file__).parents[2]
JOB = ROOT / "deploy" / "jobs" / "quickstart.yaml"
SEEDS = 10
#: What deploy/jobs/quickstart.yaml finds best in each arm.
FINALISTS: dict[str, dict[str, Any]] = {
    "rnn": {"gates": "tanh", "depth": 1, "hidden_size": 64, "dropout": 0.35},
    "lstm": {"gates": "standard", "depth": 1, "hidden_size": 64, "dropout": 0.44},
    "gru": {"gates": "reset-after", "depth": 2, "hidden_size": 64, "dropout": 0.07},
}
WAYS = ("alone", "cohort", "two cores")
RATIOS = {"one_core": "cohort", "two_cores": "two cores"}


def serve(orders: Any) -> None:
    """Train each order and send back times and digests, until the order is None."""
    import torch

    from search.job.spec import JobSpec
    from spaces.config import TrialConfig
    from trainables.data import tasks
    from trainables.training.cohort import Cohort
    from trainables.training.trainer import Training

    torch.set_num_threads(1)
    job = JobSpec.load(JOB)
    data = tasks.load(job.task, JOB.parent)
    while (order := orders.recv()) is not None:
        cell, seeds, as_cohort, epochs = order
        config = TrialConfig(cell=cell, learning_rate=0.005, max_epochs=epochs, **FINALISTS[cell])
        cpu, wall = time.process_time(), time.perf_counter()
        trainings = [Training(config, data, seed=seed) for seed in seeds]
        if as_cohort:
            Cohort(trainings).advance(epochs)
        else:
            for training in trainings:
                training.advance(epochs)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        orders.send((cpu, wall, [float(t.weights.detach().double().sum()) for t in trainings]))


class Trainers:
    """Two processes that train."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for _ in range(2):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)

    def train(self, cell: str, way: str, epochs: int) -> tuple[float, float, list[float]]:
        """Return processor seconds (of the slower process), wall-clock seconds, digests."""
        seeds = list(range(SEEDS))
        parts = [seeds[: SEEDS // 2], seeds[SEEDS // 2 :]] if way == "two cores" else [seeds]
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda end, part: self._ask(end, (cell, part, way != "alone", epochs)),
                    self._ends,
                    parts,
                )
            )
        wall = time.perf_counter() - began
        return max(a[0] for a in answers), wall, [d for a in answers for d in a[2]]

    @staticmethod
    def _ask(end: Any, order: tuple[Any, ...]) -> Any:
        end.send(order)
        return end.recv()

    def stop(self) -> None:
        """End both processes."""
        for end, process in zip(self._ends, self._processes, strict=True):
            end.send(None)
            process.join()


def main() -> None:
    """Measure, print a table, write it as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--epochs", type=int, default=27)
    arguments.add_argument("--out", type=Path, default=Path("bench-fused.json"))
    asked = arguments.parse_args()
    trainers, order, rows = Trainers(), random.Random(0), []
    print(
        f"{'finalist':28} {'alone':>8} {'cohort':>8} {'two':>8}   {'one core':>15}{'two cores':>16}"
    )
    for cell, finalist in FINALISTS.items():
        for way in WAYS:
            trainers.train(cell, way, 1)  # compiles, and reads the data
        took: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        digests = set()
        for _ in range(asked.rounds):
            for way in order.sample(WAYS, len(WAYS)):
                cpu, wall, digest = trainers.train(cell, way, asked.epochs)
                took[way].append((cpu, wall))
                digests.add(tuple(digest))
        assert len(digests) == 1, "the ways must train the same models"
        cpu = {way: statistics.median(t[0] for t in took[way]) for way in WAYS}
        wall = {way: statistics.median(t[1] for t in took[way]) for way in WAYS}
        row = {"cell": cell, **finalist, "seeds": SEEDS, "epochs": asked.epochs}
        row |= {"wall_seconds": wall, "processor_seconds": cpu}
        for name, way in RATIOS.items():
            row[name] = round(wall["alone"] / wall[way], 2)
            row[f"{name}_by_processor_time"] = round(cpu["alone"] / cpu[way], 2)
        rows.append(row)
        label = f"{cell} {finalist['gates']} {finalist['depth']} x {finalist['hidden_size']}"
        times = " ".join(f"{wall[way]:8.2f}" for way in WAYS)
        ratios = [f"{row[n]:6.2f} (cpu {row[f'{n}_by_processor_time']:.2f})" for n in RATIOS]
        print(
            f"{label:28} {times}   {' '.join(ratios)}",
            flush=True,
        )
    trainers.stop()
    import numpy
    import torch

    versions = {"torch": torch.__version__, "numpy": numpy.__version__}
    about = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    asked.out.write_text(json.dumps({"rows": rows, **about, **versions}, indent=2) + "\n")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
