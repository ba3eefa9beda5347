"""TrialConfig: everything that determines how one configuration is built and trained."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spaces import class_weights as weights
from spaces.hyperparameters import (
    HYPERPARAMETERS,
    CarryState,
    ForgetBias,
    Optimizer,
    Precision,
    RecurrentInit,
    Schedule,
)


def _bounds(name: str) -> Any:
    rule = HYPERPARAMETERS[name].rule
    return Field(ge=rule.at_least, gt=rule.above, lt=rule.below)


def _default(name: str) -> Any:
    return HYPERPARAMETERS[name].default


class TrialConfig(BaseModel):
    """One configuration. Together with a data set and a seed it determines a training run.

    Bounds and defaults are those of the table of hyperparameters, which also says what each field
    means. The training seed is no part of a configuration: replicates of a finalist share their
    configuration and differ in the seed alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: str  #: family of the catalogue, for example "lstm"
    gates: str  #: gate variant of that family, for example "standard"
    depth: Annotated[int, _bounds("depth")]
    hidden_size: Annotated[int, _bounds("hidden_size")]
    dropout: Annotated[float, _bounds("dropout")] = _default("dropout")
    residual: bool = _default("residual")
    bidirectional: bool = _default("bidirectional")
    heads: Annotated[int, _bounds("heads")] = _default("heads")
    forget_bias: ForgetBias = _default("forget_bias")
    recurrent_init: RecurrentInit = _default("recurrent_init")
    weight_drop: Annotated[float, _bounds("weight_drop")] = _default("weight_drop")
    zoneout: Annotated[float, _bounds("zoneout")] = _default("zoneout")

    optimizer: Optimizer = _default("optimizer")
    precision: Precision = _default("precision")
    learning_rate: Annotated[float, _bounds("learning_rate")]
    weight_decay: Annotated[float, _bounds("weight_decay")] = _default("weight_decay")
    batch_size: Annotated[int, _bounds("batch_size")] = _default("batch_size")
    max_epochs: Annotated[int, _bounds("max_epochs")]
    gradient_clip: Annotated[float | None, _bounds("gradient_clip")] = _default("gradient_clip")
    schedule: Schedule = _default("schedule")
    warm_up: Annotated[int, _bounds("warm_up")] = _default("warm_up")
    decay_after: Annotated[int, _bounds("decay_after")] = _default("decay_after")
    decay_factor: Annotated[float, _bounds("decay_factor")] = _default("decay_factor")
    patience: Annotated[int | None, _bounds("patience")] = _default("patience")
    class_weights: str | None = _default("class_weights")  #: as spaces.class_weights.canonical
    carry_state: CarryState = _default("carry_state")
    truncation: Annotated[int | None, _bounds("truncation")] = _default("truncation")
    buckets: bool = _default("buckets")

    @field_validator("class_weights")
    @classmethod
    def _check_class_weights(cls, value: str | None) -> str | None:
        if value is not None and weights.canonical(value) != value:
            raise ValueError(f"class_weights must be {weights.FORMS}, or null")
        return value


#: Fields that a stored configuration may lack: those that have a default.
_DEFAULTS = {
    name: field.default
    for name, field in TrialConfig.model_fields.items()
    if not field.is_required()
}


#: Settings in which members of one cohort may differ, and those that they share: the shape.
OWN = frozenset(row.name for row in HYPERPARAMETERS.values() if row.own)
SHARED = frozenset(TrialConfig.model_fields) - OWN


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with all fields: one of an earlier version lacks the newest."""
    return {**config, **{name: _DEFAULTS[name] for name in _DEFAULTS if name not in config}}
