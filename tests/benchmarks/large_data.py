"""What a gigabyte of own data costs: memory of the driver and of a worker, time to first figures.

    python tests/benchmarks/large_data.py [--gigabytes 1] [--formats npz,parquet]

Writes labelled sequences of 16 features in 200 to 400 steps, and runs a job of one trial of one
epoch on them with two workers. The same with SMALL gigabytes and more epochs tells what a worker
needs whatever the data. Printed: seconds until the data is loaded and split (in a process of its
own, with its peak memory), seconds until the job's first report, and the most memory that a worker
had to itself (USS: pages that it shares with other processes, as those of Ray's object store, are
not counted) and together with what it shares (RSS). Linux alone.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import parquet

FEATURES, CLASSES = 16, 4
SMALL = 0.02  # gigabytes of what memory is compared with
JOB = """\
name: large
task: {{kind: classification, data: {data}}}
arms: [gru]
space: {{depth: 1, hidden_size: 4, learning_rate: 0.01, dropout: 0}}
training: {{batch_size: 256, max_epochs: {epochs}}}
search: {{trials: 2, sampler: random, pruner: none}}
confirm: {{seeds: 0}}
"""
LOAD = """\
import sys, time
from pathlib import Path
from search.job.spec import JobSpec
from trainables.data import tasks
job = JobSpec.load(sys.argv[1])
began = time.monotonic()
tasks.load(job.task, job.base)
status = Path("/proc/self/status").read_text()  # unlike ru_maxrss it holds nothing of the parent
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(f"{time.monotonic() - began:.1f} {peak:.0f}")
"""


def write(folder: Path, form: str, gigabytes: float) -> Path:
    """Write sequences in a format, and the job file that reads them; return the job file."""
    rng = np.random.default_rng(0)
    wanted = int(gigabytes * 1e9 / 4 / FEATURES)
    lengths = rng.integers(200, 401, size=wanted // 300)
    x = rng.standard_normal((int(lengths.sum()), FEATURES), dtype=np.float32)
    y = rng.integers(0, CLASSES, size=len(lengths))
    if form == "npz":
        np.savez(folder / "large.npz", x=x, lengths=lengths, y=y)
        data = "large.npz"
    else:
        columns = {f"f{i}": x[:, i] for i in range(FEATURES)}
        ids = np.repeat(np.arange(len(lengths)), lengths)
        table = pa.table({"id": ids, **columns, "class": np.repeat(y, lengths)})
        parquet.write_table(table, folder / "large.parquet", compression="none")
        data = "{file: large.parquet, id: id, target: class}"
    path = folder / f"{form}.yaml"
    path.write_text(JOB.format(data=data, epochs=1 if gigabytes > SMALL else 20))
    return path


def watch(job: Path) -> tuple[float, float, float]:
    """Run a job; return seconds to its first report, and a worker's greatest USS and RSS in MB."""
    command = [Path(sys.executable).with_name("gatesearch"), "run", job, "--root", job.parent]
    journal = job.parent / "large" / "job.journal"
    began, first, own, whole = time.monotonic(), 0.0, 0.0, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            for child in psutil.Process(running.pid).children(recursive=True):
                try:
                    if "ResourceTrainable" in child.name() or "train" in "".join(child.cmdline()):
                        memory = child.memory_full_info()
                        own, whole = max(own, memory.uss), max(whole, memory.rss)
                except psutil.Error:
                    continue
            if not first and journal.exists() and b'"record":"report"' in journal.read_bytes():
                first = time.monotonic() - began
            time.sleep(0.2)
    if running.returncode:
        sys.exit(f"the job ended with exit code {running.returncode}")
    return first, own / 2**20, whole / 2**20


def main() -> None:
    """Measure each format and print a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--formats", default="npz,parquet")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for form in asked.formats.split(","):
        small = measure(form, SMALL)
        large = measure(form, asked.gigabytes)
        print(
            f"{form}: loaded in {large['load']:.1f} s with {large['peak']:.0f} MB at most; first "
            f"report after {large['first']:.1f} s; a worker {large['own']:.0f} MB of its own "
            f"({large['own'] - small['own']:.0f} more than with {1000 * SMALL:g} MB of data), "
            f"{large['whole']:.0f} MB with shared pages",
            flush=True,
        )


def measure(form: str, gigabytes: float) -> dict[str, float]:
    """Return the figures of data of a size in a format."""
    with tempfile.TemporaryDirectory() as folder:
        job = write(Path(folder), form, gigabytes)
        loaded = subprocess.run(
            [sys.executable, "-c", LOAD, job], check=True, capture_output=True, text=True
        )
        load, peak = map(float, loaded.stdout.split())
        first, own, whole = watch(job)
    return {"load": load, "peak": peak, "first": first, "own": own, "whole": whole}


if __name__ == "__main__":
    main()
