"""The result of a trial, as `gatesearch results --json` prints it and every page shows it."""

import math
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal

from spaces.config import TrialConfig
from spaces.kinds import Metric
from trainables.training.curve import Epoch

State = Literal["complete", "pruned", "diverged", "failed", "running"]
Phase = Literal["search", "confirm"]


@dataclass(frozen=True)
class AloneTimes:
    """What a finalist costs, measured after all training, in turn with the others.

    Times of a forward pass are medians over passes of the training split's sequence of median
    length; what an epoch costs: see trainables/training/cost.py. All on the machine of the driver,
    with as many threads as a trial has.
    """

    batch_1_ms: float
    batch_64_ms: float | None  #: of 64 sequences at once; None where memory does not hold them
    path: str  #: engine/cpu/float32
    threads: int
    epoch_seconds: float | None = None  #: of training on all data, validation included
    peak_bytes: int | None = None  #: most memory that its training takes, its weights included
    training_path: str | None = None  #: which epoch_seconds were measured on

    @property
    def sequence_ms(self) -> float | None:
        """Return the time of one of 64 sequences."""
        return None if self.batch_64_ms is None else self.batch_64_ms / 64


@dataclass(frozen=True)
class TrialResult:
    """One trial (phase search) or one replicate of a finalist (phase confirm)."""

    number: int  #: within its arm and phase, from 0
    arm: str
    phase: Phase
    state: State
    control: bool
    config: TrialConfig
    seed: int
    epochs: int  #: epochs trained
    metric: Metric
    value: float | None  #: the best epoch's validation value
    curve: list[Epoch]
    parameters: int | None
    train_seconds: float
    path: str | None = None  #: which train_seconds were measured on: engine/cpu/float32
    latency_ms: float | None = None  #: of one typical sequence, where the job limits it
    latency_path: str | None = None  #: which that was measured on
    alone: AloneTimes | None = None  #: of a finalist, measured after the search
    mlflow_run_id: str | None = None
    finalist: int | None = None  #: confirm: the search trial's number this is a replicate of
    replicate: int | None = None  #: confirm: 0 .. seeds - 1; equal numbers share seeds across arms
    split: int | None = None  #: confirm: the split of its data; equal numbers are the same split
    candidate: int | None = None  #: confirm: which of an arm's configurations on its split it is
    test: dict[str, float] | None = None  #: confirm: metrics on test data at the best epoch
    #: confirm: metrics on its training data at that epoch, scored as test data is: without dropout
    training: dict[str, float] | None = None
    #: confirm: of each test example, see trainables/training/examples.py: "name" in the store of
    #: checkpoints, and "sha256" of the file
    scores: dict[str, str] | None = None
    reason: str | None = None  #: why it failed, diverged or was cut short
    checkpoint: str | None = None  #: name of the latest one; kept as search/run/retention.py says

    @cached_property
    def loss(self) -> float:
        """The validation loss of the best epoch; infinite where none was recorded."""
        ranks = (epoch.rank(self.metric) for epoch in self.curve)
        return min(ranks, default=(math.inf, math.inf))[1]

    @property
    def gap(self) -> float | None:
        """How much better training data is scored than test data, in the metric's unit.

        It is positive where a model generalises worse than it fits, whichever value is better.
        """
        name = self.metric.name
        fit, test = (self.training or {}).get(name), (self.test or {}).get(name)
        if fit is None or test is None:
            return None
        found = self.metric.cost(test) - self.metric.cost(fit)
        return found if math.isfinite(found) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        plain: dict[str, Any] = as_json(self)
        return plain


def as_json(value: Any) -> Any:
    """Return a dataclass, and all that is in it, as plain JSON types.

    A field that is a Metric becomes two keys: metric, its name, and direction.
    """
    if isinstance(value, TrialConfig):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if not is_dataclass(value):
        return value
    found: dict[str, Any] = {}
    for field in fields(value):
        each = getattr(value, field.name)
        if isinstance(each, Metric):
            found |= {"metric": each.name, "direction": each.direction}
        else:
            found[field.name] = as_json(each)
    return found
