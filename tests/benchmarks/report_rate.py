"""How many reports a second the driver takes: 1,000 slots on a schedule, without Ray and workers.

Driver, studies and journal are the real ones; a trial is a row of reports due at set times, ten of
them two seconds apart, as 1,000 workers would send 500 reports a second, Ray's own figure. The
driver keeps up with a rate if it is done with a second's reports, and with the new trials that they
call for, in less than a second of wall time.

    python tests/benchmarks/report_rate.py [--slots 1000] [--trials 5000] [--sampler tpe]

Prints a JSON line: reports a second that were sustained, over all and in the slowest tenth, the
share of the CPU's own time, and milliseconds a report and a suggestion.
"""

import argparse
import heapq
import json
import os
import random
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from driven import INFO, curve_value, job

from search.journal.file import FileJournal
from search.run.driver import Driver
from trainables.training.curve import Epoch
from trainables.worker.messages import TrialAssignment, TrialReport

REPORTS = 10
INTERVAL = 2.0  #: seconds between two reports of a trial, on the schedule


def report(work: TrialAssignment, epoch: int) -> TrialReport:
    value = curve_value(work, epoch)
    metrics = {"accuracy": value, "loss": 1 - value}
    point = Epoch(epoch, 1 - value, value, INTERVAL, epoch, metrics)
    name = f"{work.key.replace('/', '-')}-g{work.generation}-e{epoch}"
    return TrialReport(work.key, work.generation, [point], checkpoint=name, parameters=1000)


def run(driver: Driver, slots: int) -> dict[str, Any]:
    """Go through the schedule as fast as the driver does; return what that took."""
    order = random.Random(0)
    due: list[tuple[float, int, TrialAssignment, int]] = []  # when, tie-breaker, trial, epoch
    count, asked, asking = 0, 0, 0.0
    now = 0.0
    marks: list[tuple[float, int]] = []
    began, cpu = time.perf_counter(), time.process_time()
    while True:
        while len(due) < slots:
            before = time.perf_counter()
            work = driver.next()
            if work is None:
                break
            asking += time.perf_counter() - before
            asked += 1
            heapq.heappush(due, (now + order.uniform(0, INTERVAL), asked, work, 1))
        if not due:
            break
        now, number, work, epoch = heapq.heappop(due)
        if driver.report(report(work, epoch)):
            heapq.heappush(due, (now + INTERVAL, number, work, epoch + 1))
        count += 1
        if count % 1000 == 0:
            marks.append((time.perf_counter(), count))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    rates = sorted((m - n) / (b - a) for (a, n), (b, m) in pairwise(marks))
    return {
        "slots": slots,
        "trials": asked,
        "reports": count,
        "reports_per_second": round(count / wall),
        "reports_per_second_slowest_tenth": round(rates[len(rates) // 10]) if rates else None,
        "cpu_share": round(cpu / wall, 2),
        "ms_per_report": round((wall - asking) / count * 1000, 3),
        "ms_per_suggestion": round(asking / asked * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--pruner", default="none")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        search = {"trials": asked.trials // 3, "sampler": asked.sampler}
        search |= {"pruner": {"kind": asked.pruner}}
        wanted = job(
            Path(name), search=search, training={"max_epochs": REPORTS}, confirm={"seeds": 0}
        )
        with FileJournal(Path(name) / "job.journal") as journal:
            print(json.dumps(run(Driver(wanted, INFO, journal), asked.slots)))


if __name__ == "__main__":
    main()
