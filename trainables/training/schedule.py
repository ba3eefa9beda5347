"""The learning rate of each epoch, and when a training is complete early. Knows no torch.

Both follow from the configuration and the curve so far, which every checkpoint has: a training
that was stopped, paused or moved goes on with the rate that it would have had.

With the rate r, w = warm_up, E = max_epochs, and n epochs trained after the warm-up:

    warm-up   r e / (w + 1) in epoch e = 1 ... w
    constant  r
    cosine    r (1 + cos(pi n / (E - w))) / 2 (Loshchilov & Hutter 2017, equation 5, one cycle)
    step      r decay_factor^k, k = n // decay_after
    plateau   r decay_factor^k, k grows with every decay_after epochs without a better one

A better epoch is one that ranks before all earlier ones, as in Epoch.rank. Epochs of the warm-up
are not counted as ones without a better one.
"""

import math

from spaces.config import TrialConfig
from spaces.kinds import Metric
from trainables.training.curve import Epoch

#: For measurements, which train as many epochs as they ask for.
UNSCHEDULED = {"schedule": "constant", "warm_up": 0, "patience": None}


class Schedule:
    """The rate of the epoch after those observed."""

    def __init__(self, config: TrialConfig, metric: Metric) -> None:
        self._config, self._metric = config, metric
        self._epoch = 0
        self._best: tuple[float, float] | None = None
        self._waited = 0  # epochs since the best one, the warm-up or the latest decay
        self._decays = 0

    def observe(self, point: Epoch) -> None:
        """Take in the next point of the curve."""
        self._epoch = point.epoch
        rank = point.rank(self._metric)
        if self._best is None or rank < self._best:
            self._best, self._waited = rank, 0
        elif point.epoch > self._config.warm_up:
            self._waited += 1
        if self._waited == self._config.decay_after:
            self._waited = 0
            self._decays += 1

    @property
    def rate(self) -> float:
        """The learning rate of the next epoch, the same in all its steps."""
        config = self._config
        if self._epoch < config.warm_up:
            return config.learning_rate * (self._epoch + 1) / (config.warm_up + 1)
        trained = self._epoch - config.warm_up
        match config.schedule:
            case "constant":
                return config.learning_rate
            case "cosine":
                share = min(1.0, trained / max(1, config.max_epochs - config.warm_up))
                return config.learning_rate * (1 + math.cos(math.pi * share)) / 2
            case "step":
                decays = trained // config.decay_after
            case "plateau":
                decays = self._decays
        return config.learning_rate * config.decay_factor**decays


def stops_early(config: TrialConfig, epoch: int, best_epoch: int) -> bool:
    """Return whether a training's patience is over after an epoch, and so the training complete.

    The epochs of the warm-up do not count. One that has all its epochs has not stopped early.
    """
    if config.patience is None or epoch >= config.max_epochs:
        return False
    return epoch - max(best_epoch, config.warm_up) >= config.patience
