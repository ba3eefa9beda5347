"""The record of a trial, as `gatesearch results --json` prints it and every page shows it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainables.training.curve import Epoch

State = Literal["complete", "pruned", "diverged", "failed", "running"]
Phase = Literal["search", "confirm"]


@dataclass(frozen=True)
class TrialResult:
    """One trial (phase search) or one replicate of a finalist (phase confirm)."""

    number: int  #: within its arm and phase, from 0
    arm: str
    phase: Phase
    state: State
    control: bool
    config: dict[str, Any]  #: a TrialConfig as a plain dict
    seed: int
    epochs: int  #: epochs trained
    metric: str
    direction: str
    value: float | None  #: the best epoch's validation value
    curve: list[Epoch]
    parameters: int | None
    train_seconds: float
    latency_ms: float | None = None  #: of one typical sequence, where the job limits it
    mlflow_run_id: str | None = None
    finalist: int | None = None  #: confirm: the search trial's number this is a replicate of
    replicate: int | None = None  #: confirm: 0 .. seeds - 1; equal numbers share seeds across arms
    test: dict[str, float] | None = None  #: confirm: metrics on test data at the best epoch
    reason: str | None = None  #: why it failed, diverged or was cut short
    checkpoint: str | None = None  #: name of the latest checkpoint below the job's checkpoints

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return asdict(self)
