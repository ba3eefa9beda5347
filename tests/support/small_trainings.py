"""A small configuration, and what of a training is the same whenever it is trained."""

from typing import Any

from spaces.config import TrialConfig
from trainables.training.trainer import Training


def small_config(cell: str = "gru", gates: str = "reset-after", **changes: Any) -> TrialConfig:
    """Return a configuration that trains an epoch of make_data's sequences in milliseconds."""
    fields = {"depth": 2, "hidden_size": 6, "dropout": 0.2, "learning_rate": 0.02}
    fields |= {"batch_size": 7, "max_epochs": 40, "heads": 2}
    return TrialConfig(cell=cell, gates=gates, **{**fields, **changes})


def points(training: Training) -> list[tuple[int, float, dict[str, float]]]:
    """Return the learning curve without times."""
    return [(point.epoch, point.train_loss, point.metrics) for point in training.curve]
