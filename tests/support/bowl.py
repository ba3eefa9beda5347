"""A search whose best configuration is known: the further from it, the worse a trial."""

import math
from dataclasses import asdict
from typing import Any

from search.journal.replay import JobState
from spaces.config import TrialConfig
from trainables.worker.messages import TrialAssignment

BOWL = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.9},
    "depth": 1,
    "hidden_size": 16,
    "forget_bias": "default",
}


def bowl(work: TrialAssignment, epoch: int) -> float:
    """Return a value that is best at a learning rate of 1e-2 and a dropout of 0.3."""
    return -distance(work.config) - 1 / epoch


def distance(config: TrialConfig) -> float:
    return abs(math.log10(config.learning_rate) + 2) / 3 + abs(config.dropout - 0.3)


def told_of(job_state: JobState) -> dict[str, dict[str, Any]]:
    """Return all trials without the names of checkpoints, which carry the driver's generation."""
    return {
        key: asdict(entry) | {"checkpoints": len(entry.checkpoints)}
        for key, entry in job_state.trials.items()
    }
