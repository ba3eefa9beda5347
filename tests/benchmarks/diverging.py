"""How many of TPE's suggestions lie where trainings diverge, after a history of late divergence.

The history is one that misled the search: a tenth of 60 trials have a learning rate above 0.01 and
diverge late, in epoch 20; all others are pruned at one of the first rungs. Optuna ranks pruned
trials by their last epoch: with their epochs, those that diverged would be the best tenth, to which
TPE comes near. By chance 11.6 of 60 suggestions lie there (log 3 / log 300 of the range).

    python tests/benchmarks/diverging.py

Prints a JSON line: how many of 60 suggestions lie in the diverging region, and how many by chance.
"""

import json
import math
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import numpy as np
from driven import INFO, job
from optuna.storages import InMemoryStorage

from search.journal.replay import JobState
from search.study.arm_study import ArmStudy
from search.study.sampling import repeat
from search.study.suggestions import Suggestion

LOWEST, DIVERGING, HIGHEST = 1e-4, 1e-2, 3e-2  #: learning rates
BY_CHANCE = math.log(HIGHEST / DIVERGING) / math.log(HIGHEST / LOWEST)
TRIALS, SUGGESTIONS = 60, 60
LATE = 20  #: the epoch in which a training diverges
SPACE = {
    "depth": 1,
    "hidden_size": 16,
    "learning_rate": {"low": LOWEST, "high": HIGHEST, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
}


def study(folder: Path) -> ArmStudy:
    """Return the study of an arm with that history."""
    wanted = job(
        folder,
        arms=[{"name": "lstm", "cell": "lstm", "space": {"forget_bias": "one"}}],
        space=SPACE,
        training={"max_epochs": 27},
        search={"trials": 200},
    )
    job_state = JobState()
    job_state.info = INFO
    opened = ArmStudy(wanted, wanted.arms[0], job_state, InMemoryStorage())
    draw = np.random.default_rng(0)
    for number in range(TRIALS):
        low, high = (DIVERGING, HIGHEST) if number % 10 == 0 else (LOWEST, DIVERGING)
        rate = low * (high / low) ** (1 - draw.random())
        answers = {"learning_rate": float(rate), "dropout": 0.5 * float(draw.random())}
        opened.start_trial(number, Suggestion(repeat(wanted.arms[0], answers), False, {}, {}))
        last = LATE - 1 if rate > DIVERGING else 1 + 2 * (number % 2)
        for epoch in range(1, last + 1):
            opened.report_value(number, epoch, 0.5 + 0.01 * epoch)
        opened.end_trial(number, "diverged" if rate > DIVERGING else "pruned", None)
    return opened


def diverging(folder: Path) -> int:
    """Return how many of the next 60 suggestions lie where trainings diverge."""
    opened = study(folder)
    suggested = (
        opened.prepare_suggestion(number, control=False)()
        for number in range(TRIALS, TRIALS + SUGGESTIONS)
    )
    return sum(each.sample.config.learning_rate > DIVERGING for each in suggested)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = diverging(Path(folder))
    by_chance = round(SUGGESTIONS * BY_CHANCE, 1)
    print(json.dumps({"suggestions": SUGGESTIONS, "diverging": found, "by_chance": by_chance}))


if __name__ == "__main__":
    main()
