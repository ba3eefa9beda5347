"""How soon a search finds what unpruned random search ends with: ours, random and a stock stack.

    python tests/benchmarks/time_to_best.py [--seeds 20] [--first-seed 0] [--seconds 30]

Each seed is one string, one space and three searches of equal length, one after the other, in an
order that changes from seed to seed (time_to_best_search.py says what they are). Everything runs on
one Ray head of one processor, which this script starts and ends. Rows are stored in the file that
--out names: a run adds its seeds to those that are there, if nothing else differs.

Time is slot-seconds: slots times the time on the wall since the first epoch of the search began,
for all three alike. A search's first start of a worker is thus left out, and everything after it
counts: training, validation, suggestions, starts of further workers. What ends after --seconds
counts for nobody. A seed's target is the best validation value of random search within --seconds.

Random search often finds that value long before its end, by luck that nobody could wait for. So our
time is also given as a share of the budget, which is what random search took to end with the value.

A search that does not reach the target is taken to reach it at --seconds, which flatters it. So the
second median takes our own misses for infinitely late, and counts of misses stand beside it.
Intervals are 95 % bootstrap percentile intervals of the median over seeds.
"""

import argparse
import importlib.metadata
import itertools
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from ray_head import RayHead, running_head
from time_to_best_search import JOB, SLOTS

SEARCH = Path(__file__).with_name("time_to_best_search.py")
WAYS = ("ours", "random", "stock")
OTHERS = ("random", "stock", "budget")  #: what our time is compared with
ORDERS = list(itertools.permutations(WAYS))
CLAIMED = 0.5  #: our time over the other's, at most
RESAMPLES = 10_000
WARM_UP = 4.0  #: slot-seconds, so that compiled code and files are in their caches for all

Curve = list[tuple[float, float]]  #: (slot-seconds, validation value) of every epoch, in time


def clocked(epochs: Sequence[Sequence[float]], slots: int, budget: float) -> Curve:
    """Return a search's curve within its budget.

    epochs: for each, when it ended, the seconds that it took, and its validation value.
    """
    began = min(ended - seconds for ended, seconds, _ in epochs)
    curve = sorted(((ended - began) * slots, value) for ended, _, value in epochs)
    return [(at, value) for at, value in curve if at <= budget]


def best(curve: Curve) -> float:
    """Return the best value; less is better."""
    return min((value for _, value in curve), default=math.inf)


def time_to(target: float, curve: Curve, budget: float) -> tuple[float, bool]:
    """Return when a search first met the target and True, or its budget and False."""
    met = (at for at, value in curve if value <= target)
    at = next(met, None)
    return (budget, False) if at is None else (at, True)


def interval(ratios: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """Return the 95 % bootstrap percentile interval of the median; ratios may be infinite."""
    drawn = np.random.default_rng(0).choice(np.asarray(ratios), (resamples, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975], method="nearest")
    return float(low), float(high)


def row(seed: int, found: dict[str, dict[str, Any]], budget: float) -> dict[str, Any]:
    """Return what one seed's searches say. found: for each way its trials and its epochs."""
    curves = {way: clocked(found[way]["epochs"], SLOTS, budget) for way in WAYS}
    target = best(curves["random"])
    whole = {"time": budget, "met": True}
    made: dict[str, Any] = {"seed": seed, "target": target, "budget": whole}
    for way, curve in curves.items():
        at, met = time_to(target, curve, budget)
        figures = {"time": round(at, 3), "met": met, "best": best(curve)}
        made[way] = {**figures, "epochs": len(curve), "trials": found[way]["trials"]}
    return made


def against(other: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the ratios of our time to the other's over all seeds, and what they say."""
    counted = [row["ours"]["time"] / row[other]["time"] for row in rows]
    strict = [
        ratio if row["ours"]["met"] else math.inf for ratio, row in zip(counted, rows, strict=True)
    ]
    low, high = interval(strict)
    claim = "holds" if high <= CLAIMED else "is refuted" if low > CLAIMED else "is undecided"
    return {
        "median": statistics.median(counted),
        "interval": interval(counted),
        "median_misses_infinite": statistics.median(strict),
        "interval_misses_infinite": (low, high),
        "misses": {way: sum(not row[way]["met"] for row in rows) for way in ("ours", other)},
        "claim": claim,
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures over all seeds."""
    medians = {
        way: {
            figure: statistics.median(row[way][figure] for row in rows)
            for figure in ("time", "best", "epochs", "trials")
        }
        for way in WAYS
    }
    ratios = {f"ours/{other}": against(other, rows) for other in OTHERS}
    return {"seeds": len(rows), "medians": medians, **ratios}


def run(way: str, seed: int, seconds: float, head: RayHead) -> dict[str, Any]:
    """Run one search in a process of its own; return its trials and epochs."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAY_ADDRESS": head.cluster,
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or 127.0.0.1 is taken for another machine
        "RAY_AUTH_TOKEN_PATH": str(head.token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with tempfile.TemporaryDirectory(prefix="ttb-", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, str(SEARCH), way, str(seed), str(seconds), folder],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds + 300,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{way} with seed {seed} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def about(seconds: float) -> dict[str, Any]:
    """Return what rows must have in common to be counted together."""
    names = ("ray", "optuna", "mlflow", "torch", "numpy")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        "seconds": seconds,
        "slots": SLOTS,
        "job": JOB,
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {**versions, "python": platform.python_version()},
    }


def stored_rows(out: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of earlier runs with the same settings."""
    if not out.exists():
        return []
    earlier = json.loads(out.read_text())
    if changed := [name for name, value in settings.items() if earlier.get(name) != value]:
        sys.exit(f"{out} holds rows of other {', '.join(changed)}: give another --out")
    rows: list[dict[str, Any]] = earlier["rows"]
    return rows


def show(found: dict[str, Any]) -> None:
    """Print the figures over all seeds."""
    print(f"\nmedians of {found['seeds']} seeds")
    print(f"{'':8}{'time':>8}{'best':>9}{'epochs':>8}{'trials':>8}")
    for way, m in found["medians"].items():
        print(f"{way:8}{m['time']:8.1f}{m['best']:9.4f}{m['epochs']:8.0f}{m['trials']:8.0f}")
    print(f"\n{'':14}{'median':>8}{'95 %':>16}{'misses = inf':>14}{'95 %':>16}  misses")
    for other in OTHERS:
        r = found[f"ours/{other}"]
        spans = ["{:.2f} to {:.2f}".format(*r[k]) for k in ("interval", "interval_misses_infinite")]
        misses = ", ".join(f"{way} {count}" for way, count in r["misses"].items())
        print(
            f"ours/{other:9}{r['median']:8.2f}{spans[0]:>16}{r['median_misses_infinite']:14.2f}"
            f"{spans[1]:>16}  {misses}"
        )
        print(f"  our time is at most {CLAIMED} of {other}'s: {r['claim']}")


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Run the seeds, add their rows to the file, print table and figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0, help="slot-seconds of a search")
    parser.add_argument("--out", type=Path, default=Path("bench-time-to-best.json"))
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that head and search are ended too
    settings = about(asked.seconds)
    rows = {row["seed"]: row for row in stored_rows(asked.out, settings)}
    print(f"{'seed':>4}{'target':>9}   time and trials: ours, random, stock (x: missed)")
    with running_head(SLOTS) as head:
        for way in WAYS:
            run(way, 0, WARM_UP, head)
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            order = ORDERS[seed % len(ORDERS)]
            found = {way: run(way, seed, asked.seconds, head) for way in order}
            rows[seed] = made = row(seed, found, asked.seconds)
            cells = [
                f"{made[way]['time']:7.1f}{' ' if made[way]['met'] else 'x'}{made[way]['trials']:5}"
                for way in WAYS
            ]
            print(f"{seed:4}{made['target']:9.4f}   {'   '.join(cells)}", flush=True)
            ordered = [rows[number] for number in sorted(rows)]
            figures = {**settings, "summary": summary(ordered), "rows": ordered}
            asked.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures["summary"])


if __name__ == "__main__":
    main()
