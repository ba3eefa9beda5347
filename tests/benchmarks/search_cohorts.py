"""The quickstart with trials of its search trained together, and one at a time a worker, in turn.

    python tests/benchmarks/search_cohorts.py [--rounds 3] [--out bench-search-cohorts.json]

"Without" is the same job with `max_concurrent` at the number of workers, which both runs have. Both
are whole processes, from the shell and back: search, confirm phase, report, export.

    training   worker seconds of all trials of the search
    search     seconds from the first trial's beginning to the last one's end, times the workers
    run        seconds from the shell and back

What a sampler suggests depends on what is pending, so that the two searches try different trials,
which alone differ in cost. So all trials of either search are then trained alone in this process:
the seconds stand as "alone". "same trials" is the ratio of training with both at the same trials:
(alone / training) with, over (alone / training) without. Every curve of either search must be, to
the bit, that of the trial alone. All seconds are of the clock on the wall: on a machine that does
other work they tell nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before torch is loaded

import yaml

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "deploy" / "jobs" / "quickstart.yaml"
WAYS = ("with", "without")


def run(way: str, workers: int, folder: Path) -> dict[str, Any]:
    """Run the job; return its seconds and its search trials' records."""
    job = yaml.safe_load(QUICKSTART.read_text())
    job["resources"] = {"max_concurrent": workers} if way == "without" else {}
    (folder / "job.yaml").write_text(json.dumps(job))
    command = str(Path(sys.executable).with_name("gatesearch"))
    # Other jobs on the machine would take a part of its cores.
    environment = {**os.environ, "GATESEARCH_CACHE": str(folder.parent / "cache")}
    began = time.perf_counter()
    subprocess.run(
        [command, "run", "job.yaml"], cwd=folder, env=environment, capture_output=True, check=True
    )
    seconds = time.perf_counter() - began
    listed = subprocess.run(
        [command, "results", job["name"], "--json"], cwd=folder, capture_output=True, check=True
    )
    trials = json.loads(listed.stdout)
    points = [point for trial in trials for point in trial["curve"]]
    return {
        "run": seconds,
        "training": sum(trial["train_seconds"] for trial in trials),
        "search": workers * _span(folder / "runs" / job["name"]),
        "epochs": len(points),
        "trials": trials,
    }


def _span(folder: Path) -> float:
    """Return the seconds of a job's search: its first trial's beginning to its last one's end."""
    from search.journal.file import FileReader

    records = [record for group in FileReader(folder / "job.journal").read() for record in group]
    times = [
        record["time"]
        for record in records
        if str(record.get("key", "")).startswith("search/") and "time" in record
    ]
    return (max(times) - min(times)) / 1000


def alone(trials: list[dict[str, Any]]) -> tuple[float, int]:
    """Train each trial alone, as far as it came; return the seconds, and how many curves differ."""
    import torch

    from search.job.spec import JobSpec
    from spaces.config import TrialConfig
    from trainables.data import tasks
    from trainables.training.trainer import Training

    torch.set_num_threads(1)
    job = JobSpec.load(QUICKSTART)
    data = tasks.load(job.task, job.base)
    seconds, differ = 0.0, 0
    for trial in trials:
        training = Training(TrialConfig(**trial["config"]), data, seed=trial["seed"])
        training.advance(trial["epochs"])
        seconds += sum(point.seconds for point in training.curve)
        told = [(point["epoch"], point["train_loss"], point["value"]) for point in trial["curve"]]
        differ += told != [(p.epoch, p.train_loss, p.value) for p in training.curve]
    return seconds, differ


def main() -> None:
    """Measure, print a line a run and the medians of ratios, write both as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=Path("bench-search-cohorts.json"))
    asked = arguments.parse_args()
    from trainables.machine import read_cores

    workers, rows = int(read_cores().usable), []
    with tempfile.TemporaryDirectory() as name:
        for number in range(-1, asked.rounds):  # the first one compiles
            for way in WAYS if number % 2 == 0 else reversed(WAYS):
                folder = Path(name) / f"{number}-{way}"
                folder.mkdir()
                found = run(way, workers, folder)
                if number < 0:
                    continue
                trials = found.pop("trials")
                found["alone"], found["differ"] = alone(trials)
                rows.append({"round": number, "way": way, **found})
                print(json.dumps(rows[-1]), flush=True)
    assert not any(row["differ"] for row in rows), "curves must be those of the trials alone"
    ratios = {}
    for what in ("training", "search", "run", "epochs", "alone"):
        each = {way: [row[what] for row in rows if row["way"] == way] for way in WAYS}
        ratios[what] = round(
            statistics.median(a / b for a, b in zip(each["without"], each["with"], strict=True)), 2
        )
    ratios["same trials"] = round(
        statistics.median(row["alone"] / row["training"] for row in rows if row["way"] == "with")
        / statistics.median(
            row["alone"] / row["training"] for row in rows if row["way"] == "without"
        ),
        2,
    )
    print("without / with:", json.dumps(ratios))
    asked.out.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
