"""What a gigabyte of own data costs: memory of the driver and of a worker, time to first figures.

    python tests/benchmarks/large_data.py [--gigabytes 1] [--formats npz,parquet,csv]

Writes labelled sequences of 16 features in 200 to 400 steps, so many gigabytes of them in float32,
inspects them, and runs a job of one trial of one epoch on them with two workers. The same with
SMALL gigabytes and more epochs tells what a worker needs whatever the data. Printed: seconds and
peak memory of `gatesearch inspect`, and of loading and splitting the data, each in a process of its
own; seconds until the job's first report; and the most memory that the driver and a worker had to
themselves (USS: pages that they share with other processes, as those of Ray's object store, are not
counted), and a worker together with what it shares (RSS). Linux alone.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import csv, parquet

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
TIMED = """\
import sys, time
from pathlib import Path
from search.cli.data import inspect
from search.job.spec import JobSpec
from trainables.data import tasks
job = JobSpec.load(sys.argv[1])
began = time.monotonic()
{action}
status = Path("/proc/self/status").read_text()  # unlike ru_maxrss it holds nothing of the parent
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(f"{{time.monotonic() - began:.1f}} {{peak:.0f}}")
"""
LOAD = "tasks.load(job.task, job.base)"
INSPECT = "inspect(job.task.data.path(job.base))"


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
        if form == "csv":
            csv.write_csv(table, folder / "large.csv")
        else:
            parquet.write_table(table, folder / "large.parquet", compression="none")
        data = f"{{file: large.{form}, id: id, target: class}}"
    path = folder / f"{form}.yaml"
    path.write_text(JOB.format(data=data, epochs=1 if gigabytes > SMALL else 20))
    return path


@dataclass
class Run:
    """What a job took: seconds to its first report, and MB."""

    first: float = 0.0
    driver: float = 0.0  #: the most that it had to itself
    own: float = 0.0  #: a worker's, to itself
    whole: float = 0.0  #: a worker's, with what it shares


def watch(job: Path) -> Run:
    """Run a job."""
    command = [Path(sys.executable).with_name("gatesearch"), "run", job, "--root", job.parent]
    journal = job.parent / "large" / "job.journal"
    began, found = time.monotonic(), Run()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            for child in psutil.Process(running.pid).children(recursive=True):
                with suppress(psutil.Error):
                    name, told = child.name(), "".join(child.cmdline())
                    memory = child.memory_full_info()
                    own, whole = memory.uss / 2**20, memory.rss / 2**20
                    if "ResourceTrainable" in name or "train" in told:
                        found.own, found.whole = max(found.own, own), max(found.whole, whole)
                    elif "gatesearch" in told or "search.cli" in told:
                        found.driver = max(found.driver, own)
            reported = b'"record":"report"' in (journal.read_bytes() if journal.exists() else b"")
            if reported and not found.first:
                found.first = time.monotonic() - began
            time.sleep(0.2)
    if running.returncode:
        sys.exit(f"the job ended with exit code {running.returncode}")
    return found


def main() -> None:
    """Measure each format and print a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--formats", default="npz,parquet")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for form in asked.formats.split(","):
        small, large = measure(form, SMALL), measure(form, asked.gigabytes)
        print(
            f"{form}: inspected in {large.inspected}; loaded in {large.loaded}; first report after "
            f"{large.run.first:.1f} s; the driver {large.run.driver:.0f} MB of its own, a worker "
            f"{large.run.own:.0f} MB ({large.run.own - small.run.own:.0f} more than with "
            f"{1000 * SMALL:g} MB of data), {large.run.whole:.0f} MB with shared pages",
            flush=True,
        )


@dataclass
class Figures:
    """What data of a size takes."""

    inspected: str
    loaded: str
    run: Run


def measure(form: str, gigabytes: float) -> Figures:
    """Return the figures of data of a size in a format."""
    with tempfile.TemporaryDirectory() as folder:
        job = write(Path(folder), form, gigabytes)
        return Figures(timed(INSPECT, job), timed(LOAD, job), watch(job))


def timed(action: str, job: Path) -> str:
    """Return the seconds and the peak memory of an action, in a process of its own."""
    command = [sys.executable, "-c", TIMED.format(action=action), job]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()[-2:]
    return f"{seconds} s with {peak} MB at most"


if __name__ == "__main__":
    main()
