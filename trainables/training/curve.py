"""A point of the learning curve: training returns it, the journal stores it. Knows no torch."""

import math
from dataclasses import dataclass, field
from typing import Any

from spaces.kinds import Metric


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve."""

    epoch: int  #: counted from 1
    train_loss: float
    value: float  #: the job's metric on validation data
    seconds: float  #: training and validation time of this epoch alone
    time: int = 0  #: Unix time in milliseconds at the end of the epoch
    metrics: dict[str, float] = field(default_factory=dict)  #: all metrics on validation data
    #: Mean norm of the gradients of the epoch's steps, before clipping; None where none was kept.
    gradient_norm: float | None = None

    @property
    def loss(self) -> float:
        """The validation loss; infinite where it was not recorded."""
        return self.metrics.get("loss", math.inf)

    def rank(self, metric: Metric) -> tuple[float, float]:
        """Return the key that sorts epochs, the best one first: by value, then by validation loss.

        Among equally good epochs the first one is best. Accuracies on few sequences tie often, and
        the earliest of them generalises worse than that of the least loss.
        """
        return metric.cost(self.value), self.loss

    def as_dict(self) -> dict[str, Any]:
        """Return the point as plain JSON types."""
        plain = dict(vars(self))
        if self.gradient_norm is None:
            del plain["gradient_norm"]
        return plain
