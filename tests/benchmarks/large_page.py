"""What a report costs: to write, to open cold in a browser, and its size.

    python tests/benchmarks/large_page.py [--trials 2000] [--repeats 3]

The results are made, not trained: five arms of so many trials each. Opening is measured by the
browser itself, from navigation on: the first paint, the end of loading, and the second frame after
that, from when on a reader can scroll and click; cpu is what the page's thread has used until then,
which other work on the machine does not stretch. Each opening has a new browser with an empty
profile.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import CHROMIUM, browser
from made_results import job_text, made

from search.report.page import write_report

ARMS = "[rnn, lstm, gru, mgu, transformer]"
_TIMES = """(() => {
  const first = performance.getEntriesByName("first-contentful-paint")[0];
  const load = performance.getEntriesByType("navigation")[0].loadEventEnd;
  return {first: first ? first.startTime : NaN, load, ready: performance.now()};
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2_000, help="of each of five arms")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the page")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = asked.keep or Path(folder)
        results = made(place, job_text(arms=ARMS, trials=asked.trials))
        path = place / "report.html"
        took, used = [], []
        for _ in range(asked.repeats):
            began, spent = time.perf_counter(), time.process_time()
            write_report(results, path)
            took.append(time.perf_counter() - began)
            used.append(time.process_time() - spent)
        print(f"{len(results.trials):,} trials and replicates, {path.stat().st_size / 1e6:.1f} MB")
        print(f"writing   {took[0]:.2f} s the first time, {min(took):.2f} s later")
        print(f"of a CPU  {used[0]:.2f} s the first time, {min(used):.2f} s later")
        if CHROMIUM is None:
            print("opening   not measured: there is no chromium")
            return
        found = []
        for _ in range(asked.repeats):
            with browser() as page:
                page.look()
                page.ask("Performance.enable", timeDomain="threadTicks")
                page.open(path)
                metrics = page.ask("Performance.getMetrics")["metrics"]
                (cpu,) = (each["value"] for each in metrics if each["name"] == "TaskDuration")
                found.append({**page.run(_TIMES), "cpu": 1000 * cpu})
                assert not page.complaints, page.complaints
        for name in ("first", "load", "ready", "cpu"):
            times = [each[name] / 1000 for each in found]
            print(f"{name:<9} {statistics.median(times):.2f} s (worst {max(times):.2f} s)")


if __name__ == "__main__":
    main()
