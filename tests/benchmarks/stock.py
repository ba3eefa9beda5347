"""The same search by a stock script and by gatesearch, in turn: wall time and best accuracy.

24 trials of at most 27 epochs over LSTM and GRU on JapaneseVowels. Both are whole processes, from
the shell and back: imports, Ray, search and tracking; ours writes its report and export as well.

    python tests/benchmarks/stock.py [--pairs 3]

Prints one JSON line a pair and one with the medians: seconds, best validation accuracy, ratio.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STOCK = Path(__file__).with_name("stock_search.py")
JOB = """\
name: stock
task: {{name: japanese-vowels}}
arms: [lstm, gru]
space:
  depth: {{low: 1, high: 3}}
  hidden_size: {{choices: [16, 32, 64]}}
  learning_rate: {{low: 1.0e-4, high: 3.0e-2, log: true}}
  dropout: {{low: 0.0, high: 0.5}}
training: {{max_epochs: 27, batch_size: 32}}
search: {{trials: 12, seed: {seed}, pruner: successive-halving}}
confirm: {{seeds: 0}}
"""


def stock(seed: int, folder: Path) -> tuple[float, float]:
    """Return wall seconds and best accuracy of the stock script."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(STOCK), "--seed", str(seed)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - began
    return seconds, json.loads(done.stdout.strip().splitlines()[-1])["best_accuracy"]


def ours(seed: int, folder: Path) -> tuple[float, float]:
    """Return wall seconds and best accuracy of gatesearch."""
    (folder / "stock.yaml").write_text(JOB.format(seed=seed))
    command = Path(sys.executable).with_name("gatesearch")
    began = time.monotonic()
    subprocess.run([command, "run", "stock.yaml"], cwd=folder, capture_output=True, check=True)
    seconds = time.monotonic() - began
    listed = subprocess.run(
        [command, "results", "stock", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    records = json.loads(listed.stdout)
    assert len(records) == 24
    return seconds, max(point["value"] for record in records for point in record["curve"])


def main() -> None:
    """Run pairs in alternating order and print them and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = []
    for seed in range(parser.parse_args().pairs):
        figures = {}
        for name in ("stock", "ours") if seed % 2 == 0 else ("ours", "stock"):
            with tempfile.TemporaryDirectory() as folder:
                figures[name] = (stock if name == "stock" else ours)(seed, Path(folder))
        pair = {
            "seed": seed,
            "stock_seconds": round(figures["stock"][0], 1),
            "our_seconds": round(figures["ours"][0], 1),
            "times_faster": round(figures["stock"][0] / figures["ours"][0], 2),
            "stock_best": round(figures["stock"][1], 4),
            "our_best": round(figures["ours"][1], 4),
        }
        print(json.dumps(pair), flush=True)
        pairs.append(pair)
    medians = {key: statistics.median(p[key] for p in pairs) for key in pairs[0] if key != "seed"}
    print(json.dumps({"medians": medians}))


if __name__ == "__main__":
    main()
