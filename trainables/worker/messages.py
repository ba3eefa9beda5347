"""What the driver asks of a worker and what the worker answers. No torch, no Ray.

Both sides hold typed values. On the wire they are plain JSON types: as_dict() and from_dict().
"""

from dataclasses import dataclass, field
from typing import Any, Self

from spaces.config import TrialConfig
from trainables.data.redealing import Split
from trainables.training.curve import Epoch


@dataclass(frozen=True)
class TrialAssignment:
    """One trial, or the rest of one: everything that a worker needs besides the data."""

    key: str  #: "search/lstm/3"
    generation: int  #: of the driver that asks; answers to a former one are ignored
    config: TrialConfig
    seed: int
    rungs: list[int] | None  #: epochs at which to report; None means every one
    checkpoints: list[str] = field(default_factory=list)  #: to go on from, the latest last
    test: bool = False  #: score the test split at the end (confirm phase only)
    split: Split | None = None  #: of the data; None is the one that it was loaded with
    measure_latency: bool = False  #: report the latency before anything is trained

    def as_dict(self) -> dict[str, Any]:
        """Return the assignment as plain JSON types."""
        config = self.config.model_dump(mode="json")
        split = None if self.split is None else self.split.as_dict()
        return {**vars(self), "config": config, "split": split}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Return what as_dict() gave as an assignment; its configuration is validated here."""
        split = None if plain["split"] is None else Split.from_dict(plain["split"])
        config = TrialConfig.model_validate(plain["config"])
        return cls(**{**plain, "config": config, "split": split})


@dataclass(frozen=True)
class TrialReport:
    """A slice of the learning curve, and how the trial stands after it."""

    key: str
    generation: int
    epochs: list[Epoch]
    checkpoint: str | None = None
    parameters: int | None = None
    latency_ms: float | None = None  #: in the first report, where it was asked for
    path: str | None = None  #: of the latest epoch, or of the latency: see measured_path.py
    diverged: bool = False
    test: dict[str, float] | None = None
    training: dict[str, float] | None = None  #: metrics on training data, beside test
    scores: dict[str, str] | None = None  #: of each test example: name in the store, and sha256
    stored: dict[str, int] = field(default_factory=dict)  #: bytes put into the store, by name
    failure: str | None = None  #: the exception that ended it
    halt: str | None = None  #: why no trial can go on: no place for checkpoints, no usable GPU

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {**vars(self), "epochs": [epoch.as_dict() for epoch in self.epochs]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Return what as_dict() gave as a report."""
        return cls(**{**plain, "epochs": [Epoch(**epoch) for epoch in plain["epochs"]]})
