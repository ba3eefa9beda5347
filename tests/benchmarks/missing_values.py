"""JapaneseVowels with 30 % of its values removed: cells that are told of it, against mean fill.

    python tests/benchmarks/missing_values.py [--replicates 30] [--trials 8] [--share 0.3]

Values are removed at random, of all parts alike, by a generator with seed 0. Two jobs run on what
is left, by the installed command: one fills with the training part's means (`missing: mean`) and
has a GRU, the other tells its arms what is missing (`missing: mask`): GRU-D, CfC and a GRU, each
with the same budget. Both have the same seed, so that a replicate of a number has the same split in
both: training and validation part are dealt again for each, the official test part stays. The test
accuracies, paired by split, go to `gatesearch judge`, each arm's beside those of mean fill, and
what that says is printed.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from spaces.tasks import JapaneseVowels
from trainables.data import tasks

COMMAND = Path(sys.executable).with_name("gatesearch")
DATA = "vowels-with-gaps.npz"
#: Of each way to prepare the data, its arms.
ARMS = {"mean": ("gru",), "mask": ("gru-d", "cfc", "gru")}
JOB = """\
name: vowels-{missing}
task: {{kind: classification, data: {{file: {data}, missing: {missing}}}}}
arms: [{arms}]
space:
  depth: 1
  hidden_size: {{choices: [16, 32]}}
  dropout: {{low: 0.0, high: 0.4}}
  learning_rate: {{low: 3.0e-3, high: 3.0e-2, log: true}}
training: {{max_epochs: 27}}
search: {{trials: {trials}, seed: 0}}
confirm: {{finalists: 1, design: splits, replicates: {replicates}}}
"""


def write_data(path: Path, share: float) -> float:
    """Write the task with that share of its values removed; return the share that was."""
    parts = tasks.load(JapaneseVowels(name="japanese-vowels"), Path()).parts
    x = np.concatenate([part.all_steps() for part in parts]).astype(np.float32)
    gone = np.random.default_rng(0).random(x.shape) < share
    x[gone] = np.nan
    names = ("train", "validation", "test")
    np.savez(
        path,
        x=x,
        lengths=np.concatenate([part.lengths for part in parts]),
        y=np.concatenate([part.y for part in parts if part.y is not None]),
        split=np.repeat(names, [len(part) for part in parts]),
    )
    return float(gone.mean())


def replicates(folder: Path, missing: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the job of one way to prepare the data and return its replicates."""
    job = folder / f"vowels-{missing}.yaml"
    own = {"missing": missing, "arms": ", ".join(ARMS[missing]), "data": DATA}
    job.write_text(JOB.format(**own, trials=asked.trials, replicates=asked.replicates))
    subprocess.run([COMMAND, "run", job], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    listing = [COMMAND, "results", job.stem, "--json", "--phase", "confirm"]
    listed = subprocess.run(listing, cwd=folder, check=True, capture_output=True)
    found: list[dict[str, Any]] = json.loads(listed.stdout)
    return found


def judged(table: Path, rows: list[tuple[str, int, float]]) -> str:
    """Return the sentence of `gatesearch judge` on two arms' results, paired by split."""
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("arm", "split", "value"), *rows])
    judging = [COMMAND, "judge", table, "--metric", "accuracy", "--json"]
    said = subprocess.run(judging, check=True, capture_output=True)
    sentence: str = json.loads(said.stdout)["sentence"]
    return sentence


def main() -> int:
    """Run both jobs, pair their replicates and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=30)
    parser.add_argument("--trials", type=int, default=8, help="of each arm")
    parser.add_argument("--share", type=float, default=0.3, help="of the values that are removed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.monotonic()
        print(f"{write_data(folder / DATA, asked.share):.1%} of the values are removed")
        rows = [
            (f"{trial['arm']}-{missing}", trial["split"], trial["test"]["accuracy"])
            for missing in ARMS
            for trial in replicates(folder, missing, asked)
        ]
        for arm in dict.fromkeys(arm for arm, _, _ in rows):
            own = np.array([value for other, _, value in rows if other == arm])
            print(f"{arm}: test accuracy {own.mean():.4f} ± {own.std(ddof=1):.4f} ({len(own)})")
        for arm in ARMS["mask"]:
            pair = ("gru-mean", f"{arm}-mask")
            print(judged(folder / f"{arm}.csv", [row for row in rows if row[0] in pair]))
        print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
