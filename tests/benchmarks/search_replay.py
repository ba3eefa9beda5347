"""How good searches are after few steps, on recorded curves of recurrent models.

    python tests/benchmarks/search_replay.py --tables FOLDER [--methods all] \\
        [--steps 100,250,500,1000] [--seeds 30] [--cores 2] [--json out.json]

Every method is a search section of a job file, run by the real driver, study and journal (which is
in memory) without Ray and torch, on one slot, without control trials: what they cost belongs to the
verdict. How a suggestion is matched to a table's rows is said in recorded_curves.py and printed.
The same seed gives the same search.

Normalised regret after n steps in all: (least validation loss seen - least of the table) / (median
of the table's first steps - least of the table), at most 1; a step that diverges counts. One search
an arm has the largest budget and is read at all of them. The figure is the mean over tables and
seeds. Its 95 % interval is a bootstrap over tables, and over seeds within each. "default" says
whether a method is what a job file gets that names neither sampler nor pruner.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import numpy as np
from numpy.typing import NDArray
from recorded_curves import Table, job_on, search

from search.job.sections import SearchSection

Floats = NDArray[np.float64]


def halving(first: int | str, reduction: int, **more: Any) -> dict[str, Any]:
    return {"kind": "successive-halving", "min_epochs": first, "reduction": reduction, **more}


#: What is compared: keys of a job file's search section.
METHODS: dict[str, dict[str, Any]] = {
    "random-unpruned": {"sampler": "random", "pruner": "none"},
    "random-stopping-1-3": {"sampler": "random", "pruner": halving(1, 3)},
    "tpe-stopping-1-3": {"sampler": "tpe", "pruner": halving(1, 3)},
    "random-promotion-2-4": {"sampler": "random", "pruner": halving(2, 4, mode="promotion")},
    "tpe-promotion-2-4": {"sampler": "tpe", "pruner": halving(2, 4, mode="promotion")},
    "tpe-promotion-auto-3": {"sampler": "tpe", "pruner": halving("auto", 3, mode="promotion")},
    "freeze-thaw": {"sampler": "freeze-thaw", "prior": "literature"},
    "tpe-stopping-2-4": {"sampler": "tpe", "pruner": halving(2, 4)},
}
MATCHING = (
    "matching: a suggestion becomes the nearest row (each hyperparameter on its most even scale); "
    "samplers are told that row's values. A row that the search has tried is "
    "a repeat as in every job (the sampler is asked twice more, then chance), never moved on to a "
    "free row."
)
RESAMPLES = 4000


def is_default(table: Table, method: str) -> bool:
    """Return whether a job file without a word gets this sampler and pruner."""
    made = job_on(table, METHODS[method], table.steps, 0).search
    usual = SearchSection()
    return made.sampler == usual.sampler and made.pruner == usual.pruner


def one(task: tuple[Path, str, int, int]) -> tuple[Floats, int, float]:
    """Return regrets [steps] of one search, the trials that it began, and its seconds."""
    path, method, steps, seed = task
    table = Table.load(path)
    began = time.process_time()
    least, trials = search(table, METHODS[method], steps, seed)
    return np.array([table.regret(loss) for loss in least]), trials, time.process_time() - began


def interval(regret_KS: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean over K tables and S seeds."""
    tables, seeds = regret_KS.shape
    chosen = rng.integers(tables, size=(RESAMPLES, tables, 1))
    drawn = rng.integers(seeds, size=(RESAMPLES, tables, seeds))
    means = regret_KS[chosen, drawn].mean(axis=(1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def measure(
    paths: Sequence[Path], methods: Sequence[str], steps: Sequence[int], seeds: int, cores: int
) -> list[dict[str, Any]]:
    """Return a row for each method and budget; print them as they come."""
    tables = [path.stem for path in paths]
    rows = []
    with ProcessPoolExecutor(cores) as pool:
        for method in methods:
            tasks = [(path, method, max(steps), seed) for path in paths for seed in range(seeds)]
            regrets, trials, seconds = zip(*pool.map(one, tasks), strict=True)
            regret_KSN = np.array(regrets).reshape(len(paths), seeds, -1)
            default = is_default(Table.load(paths[0]), method)
            for budget in steps:
                regret_KS = regret_KSN[:, :, budget - 1]
                low, high = interval(regret_KS, np.random.default_rng(0))
                per_task = dict(zip(tables, regret_KS.mean(axis=1).tolist(), strict=True))
                mean = float(regret_KS.mean())
                named = {"method": method, "default": default, "steps": budget}
                rows.append(
                    {**named, "regret": mean, "low": low, "high": high, "per_task": per_task}
                )
            shown = "  ".join(
                f"{r['regret']:.3f} ({r['low']:.3f} to {r['high']:.3f})"
                for r in rows[-len(steps) :]
            )
            rate = 60 * sum(trials) / sum(seconds)
            mark = " *" if default else ""
            print(f"{method + mark:28} {shown}  {rate:,.0f} trials a minute of a core", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--methods", default="all", help=f"all, or of {', '.join(METHODS)}")
    parser.add_argument("--steps", default="100,250,500,1000")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    methods = list(METHODS) if given.methods == "all" else given.methods.split(",")
    if unknown := sorted(set(methods) - METHODS.keys()):
        sys.exit(f"--methods must be of {', '.join(METHODS)}, not {', '.join(unknown)}")
    paths = sorted(given.tables.glob("*.npz"))
    if not paths:
        sys.exit(f"--tables must be a folder with tables (.npz); {given.tables} has none")
    steps = sorted(map(int, given.steps.split(",")))
    print(MATCHING)
    print(
        f"mean regret of {len(paths)} tables x {given.seeds} seeds after {steps} steps; * default"
    )
    rows = measure(paths, methods, steps, given.seeds, given.cores)
    if given.json is not None:
        given.json.write_text(json.dumps({"matching": MATCHING, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
