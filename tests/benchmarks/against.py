"""The same command in this checkout and in another one, in turn: how the times compare.

    python tests/benchmarks/against.py --before FOLDER [--rounds 7] [--figure REGEX] -- COMMAND...

In every round the command runs once in each checkout, in an order that alternates, with that
checkout as its working directory and its .venv/bin first on PATH. A first run of each is not
counted, so that files and compiled code are in their caches for both. What is compared is the wall
time of the whole process; with --figure the number that follows REGEX in what it prints (the last
one, if there are several). For example:

    python tests/benchmarks/against.py --before ../before -- gatesearch cells
    python tests/benchmarks/against.py --before ../before --figure '"ms_per_trial":' -- \\
        python tests/benchmarks/overhead.py --way ours --trials 400

Prints one JSON line a round and one with the median of the rounds' ratios, now to before, with
their range. Run it on a quiet machine.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"


def figure_in(printed: str, regex: str) -> float:
    """Return the last number that follows `regex` in a text; spaces may come before it."""
    found = re.findall(rf"(?:{regex})\s*({NUMBER})", printed)
    if not found:
        sys.exit(f"the command must print a number after {regex!r}; it printed:\n{printed[-2000:]}")
    last = found[-1]
    return float(last if isinstance(last, str) else last[-1])  # a tuple: regex has groups


def run(checkout: Path, command: Sequence[str], figure: str | None) -> float:
    """Run a command in a checkout; return its seconds, or the figure that it prints."""
    programs = checkout / ".venv" / "bin"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        sys.exit(f"exit code {done.returncode} in {checkout}:\n{said}")
    return seconds if figure is None else figure_in(done.stdout, figure)


def alternate(measure: Callable[[str], float], rounds: int) -> list[dict[str, Any]]:
    """Measure "before" and "now" once in every round, each first in every second one."""
    rows = []
    for number in range(rounds):
        order = ("before", "now") if number % 2 == 0 else ("now", "before")
        row: dict[str, Any] = {name: measure(name) for name in order}
        row = {"round": number + 1, "before": row["before"], "now": row["now"]}
        rows.append(row | {"ratio": row["now"] / row["before"]})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of the rounds' ratios with their range, and the medians of both sides."""
    ratios = [row["ratio"] for row in rows]
    return {
        "rounds": len(rows),
        "median_before": statistics.median(row["before"] for row in rows),
        "median_now": statistics.median(row["now"] for row in rows),
        "median_ratio": round(statistics.median(ratios), 4),
        "range": [round(min(ratios), 4), round(max(ratios), 4)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--figure", metavar="REGEX", help="what comes before the number to compare")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    checkouts = {"before": asked.before.resolve(), "now": HERE}

    def measure(name: str) -> float:
        return run(checkouts[name], asked.command, asked.figure)

    for name in checkouts:
        measure(name)
    print(json.dumps(summary(alternate(measure, asked.rounds))))


if __name__ == "__main__":
    main()
