"""A point of the learning curve: training returns it, the journal stores it. Knows no torch."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve."""

    epoch: int  #: counted from 1
    train_loss: float
    value: float  #: the job's metric on validation data
    seconds: float  #: training and validation time of this epoch alone
    time: int = 0  #: Unix time in milliseconds at the end of the epoch
    metrics: dict[str, float] = field(default_factory=dict)  #: all metrics on validation data

    def as_dict(self) -> dict[str, Any]:
        """Return the point as plain JSON types."""
        return dict(vars(self))
