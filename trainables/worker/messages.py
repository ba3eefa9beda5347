"""What the driver asks of a worker and what the worker answers: plain data, no torch, no Ray."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrialAssignment:
    """One trial, or the rest of one: everything that a worker needs besides the data."""

    key: str  #: "search/lstm/3"
    generation: int  #: of the driver that asks; answers to a former one are ignored
    config: dict[str, Any]  #: a TrialConfig
    seed: int
    rungs: list[int] | None  #: epochs at which to report; None means every one
    checkpoints: list[str] = field(default_factory=list)  #: to go on from, the latest last
    test: bool = False  #: score the test split at the end (confirm phase only)
    measure: bool = False  #: report the latency before anything is trained

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class TrialReport:
    """A slice of the learning curve, and how the trial stands after it."""

    key: str
    generation: int
    epochs: list[dict[str, Any]]  #: Epoch objects as dicts
    checkpoint: str | None = None
    parameters: int | None = None
    latency_ms: float | None = None  #: in the first report, where it was asked for
    diverged: bool = False
    test: dict[str, float] | None = None
    failure: str | None = None  #: the exception that ended it
    halt: str | None = None  #: why no trial can go on: there is nowhere to keep checkpoints

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)
