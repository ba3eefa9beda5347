"""Test scores of small jobs beside published ones of recurrent models.

    python tests/benchmarks/published.py [--root runs] [--only gun-point]

Runs jobs of deploy/jobs/suite-small/ and reads the mean test accuracy of each arm's leading
finalist over its replicates. A score is in the published range where the better arm's is at least
the bound: a figure's own value, or 0.03 below it. What is published:

    japanese-vowels   0.97   TWIESN, an echo state network (Fawaz et al. 2019, Data Mining and
                             Knowledge Discovery 33, arXiv 1809.04356; mean of ten runs)
    gun-point         0.97   the same
    basic-motions     0.95   MLSTM-FCN (Karim et al. 2019), in Zhang et al. 2020, TapNet, AAAI
    digits            none   for 8x8 digits read by rows; the bound of 0.97 is our own

The official test part, of 370, 150 and 40 sequences; 359 digits of a split by seed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

SUITE = Path(__file__).parents[2] / "deploy" / "jobs" / "suite-small"
#: Job, published accuracy (None: no figure is known) and least accuracy.
ROWS = (
    ("vowels", 0.97, 0.97),
    ("gun-point", 0.97, 0.94),
    ("motions", 0.95, 0.92),
    ("digits", None, 0.97),
)


def main() -> int:
    """Run the jobs and print their scores; return 1 where one is below its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("build/bench-published"))
    parser.add_argument("--only", choices=[row[0] for row in ROWS])
    asked = parser.parse_args()
    command = Path(sys.executable).with_name("gatesearch")
    below = 0
    for job, published, least in ROWS:
        if asked.only not in (None, job):
            continue
        file, root = SUITE / f"{job}.yaml", ["--root", str(asked.root)]
        subprocess.run([command, "run", file, *root], check=True, stdout=subprocess.DEVNULL)
        compared = subprocess.run(
            [command, "compare", f"suite-{job}", "--json", *root], check=True, capture_output=True
        )
        found = json.loads(compared.stdout)
        scores = {
            arm["name"]: next(each for each in arm["finalists"] if each["leads"])
            for arm in found["arms"]
        }
        best = max(each["test"]["mean"] for each in scores.values())
        below += best < least
        shown = ", ".join(
            f"{arm} {each['test']['mean']:.3f} ± {each['test']['deviation']:.3f} "
            f"({each['parameters']:,} parameters, {each['test']['n']} replicates)"
            for arm, each in scores.items()
        )
        mark = "in range" if best >= least else "BELOW"
        known = "nothing" if published is None else f"{published:.2f}"
        print(f"{job}: {mark} (at least {least:.2f}; published: {known}): {shown}")
        print(f"  {found['verdict']['sentence']}", flush=True)
    return int(below > 0)


if __name__ == "__main__":
    sys.exit(main())
