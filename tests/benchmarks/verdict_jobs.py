"""What whole jobs say where the truth is known, and whether they contradict each other.

    python tests/benchmarks/verdict_jobs.py --what shuffled [--seeds 20] [--first-seed 0]
    python tests/benchmarks/verdict_jobs.py --what seeds [--seeds 4] [--first-seed 0]

shuffled: JapaneseVowels' sequences with targets in a random order, which therefore carry nothing.
    Targets are the nine speakers, two classes of equal size, or a feature's mean (regression), in
    turn; the design is `seeds` or `splits` in turn. Every job must say "nothing learned". Equal
    classes are hard: whatever is luck on one test part is above their majority half of the time.
    Half a minute a job on a machine that does other work.
seeds: the quickstart with other seeds of its search. No arm may be better than another one in
    one job and worse in another one. Two minutes a job.

Jobs are run by the installed command, one after the other, in a folder that is removed. The exit
code is 1 where a job says what it must not.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from search.job.spec import JobSpec
from trainables.data import tasks

QUICKSTART = Path(__file__).parents[2] / "deploy" / "jobs" / "quickstart.yaml"
KINDS = ("speakers", "halves", "mean")
DESIGNS = ("seeds", "splits")
SHUFFLED = """\
name: {name}
task: {{kind: {kind}, data: {name}.npz, seed: {seed}}}
arms: [lstm, gru]
space:
  depth: 1
  hidden_size: {{choices: [8, 16]}}
  learning_rate: {{low: 1.0e-3, high: 3.0e-2, log: true}}
training: {{max_epochs: 6}}
search: {{trials: 4, seed: {seed}}}
confirm: {{design: {design}, replicates: 10}}
"""


def write_shuffled(folder: Path, seed: int) -> Path:
    """Write data whose targets carry nothing, and its job file; return the job file."""
    job = JobSpec.load(QUICKSTART)
    parts = tasks.load(job.task, job.base).parts
    steps = np.concatenate([part.all_steps() for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    y = np.concatenate([part.y for part in parts if part.y is not None])
    what = KINDS[seed % len(KINDS)]
    match what:
        case "halves":
            y = np.arange(len(y)) % 2
        case "mean":
            begins = np.cumsum([0, *lengths[:-1]])
            y = np.add.reduceat(steps[:, 0], begins) / lengths
    y = np.random.default_rng(seed).permutation(y)
    design = DESIGNS[seed % len(DESIGNS)]
    name = f"shuffled-{what}-{design}-{seed}"
    np.savez(folder / f"{name}.npz", x=steps, lengths=lengths, y=y)
    kind = "regression" if what == "mean" else "classification"
    path = folder / f"{name}.yaml"
    path.write_text(SHUFFLED.format(name=name, kind=kind, seed=seed, design=design))
    return path


def write_quickstart(folder: Path, seed: int) -> Path:
    """Write the quickstart with another seed of its search; return the job file."""
    text, found = re.subn(r"(?m)^  seed: \d+$", f"  seed: {seed}", QUICKSTART.read_text())
    assert found == 1, "the quickstart must name the seed of its search in a line of its own"
    path = folder / f"quickstart-{seed}.yaml"
    path.write_text(text.replace("name: quickstart\n", f"name: quickstart-{seed}\n"))
    return path


def verdict(job: Path) -> dict[str, Any]:
    """Run a job and return what `gatesearch compare --json` says of it."""
    command = Path(sys.executable).with_name("gatesearch")
    subprocess.run([command, "run", job], cwd=job.parent, check=True, stdout=subprocess.DEVNULL)
    compared = subprocess.run(
        [command, "compare", job.stem, "--json"], cwd=job.parent, check=True, capture_output=True
    )
    found: dict[str, Any] = json.loads(compared.stdout)["verdict"]
    return found


def run(
    write: Callable[[Path, int], Path], seeds: range, stop: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each job's name and verdict; begin none after so many seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            if time.monotonic() - began > stop:
                print(f"{stop:g} seconds have passed: seeds from {seed} on are left out")
                return
            job, start = write(Path(folder), seed), time.monotonic()
            found = verdict(job)
            taken = time.monotonic() - start
            print(f"{job.stem} ({taken:.0f} s): {found['kind']}: {found['sentence']}", flush=True)
            yield job.stem, found


def contradictions(verdicts: dict[str, dict[str, Any]]) -> list[str]:
    """Return which jobs say that one arm is better where another job says the opposite."""
    said: dict[tuple[str, str], str] = {}  # (winner, loser) -> job
    for job, found in verdicts.items():
        for pair in found["pairs"]:
            if pair["decision"] == "better":
                loser = pair["second"] if pair["winner"] == pair["first"] else pair["first"]
                said.setdefault((pair["winner"], loser), job)
    return [
        f"{winner} is better than {loser} in {job}, worse in {said[loser, winner]}"
        for (winner, loser), job in said.items()
        if winner < loser and (loser, winner) in said
    ]


def main() -> int:
    """Run the jobs and print what they say; return 1 where they say what they must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("shuffled", "seeds"), required=True)
    parser.add_argument("--seeds", type=int, help="by default 20 of shuffled, 4 of the quickstart")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600, help="begin no job after these")
    asked = parser.parse_args()
    shuffled = asked.what == "shuffled"
    seeds = range(asked.first_seed, asked.first_seed + (asked.seeds or (20 if shuffled else 4)))
    write = write_shuffled if shuffled else write_quickstart
    verdicts = dict(run(write, seeds, asked.seconds))
    if shuffled:
        nothing = sum(found["kind"] == "nothing-learned" for found in verdicts.values())
        print(f'"nothing learned" in {nothing} of {len(verdicts)} jobs with shuffled labels')
        return int(nothing < len(verdicts))
    wrong = contradictions(verdicts)
    print("\n".join([*wrong, f"{len(wrong)} contradictions in {len(verdicts)} jobs"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
