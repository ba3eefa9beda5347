"""TrialConfig: everything that determines how one configuration is built and trained."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
ForgetBias = Literal["default", "zero", "one", "chrono"]
RecurrentInit = Literal["orthogonal", "xavier"]


class TrialConfig(BaseModel):
    """One configuration. Together with a data set and a seed it determines a training run.

    The training seed is no part of it: replicates of a finalist share their configuration and
    differ in the seed alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: str  #: family of the catalogue, for example "lstm"
    gates: str  #: gate variant of that family, for example "standard"
    depth: int = Field(ge=1)  #: stacked layers
    hidden_size: int = Field(ge=1)  #: units a layer and direction; width of a transformer
    dropout: float = Field(0.0, ge=0, lt=1)  #: on every layer's output, the last one's included
    residual: bool = False  #: adds a layer's input to its output where both widths are equal
    bidirectional: bool = False
    heads: int = Field(4, ge=1)  #: attention heads; read by the transformer only
    #: Where the bias of the gate that keeps the past starts: at 0, at 1 (Jozefowicz 2015), at the
    #: time scales of the task (Tallec & Ollivier 2018: b_f = log U[1, T - 1], b_i = -b_f), or by
    #: default where the cell has it, 1 for forget gates and 0 for update gates.
    forget_bias: ForgetBias = "default"
    recurrent_init: RecurrentInit = "orthogonal"  #: of the matrices R, block by block
    #: DropConnect on the matrices R in training, one mask for a whole batch (Merity et al. 2018).
    weight_drop: float = Field(0.0, ge=0, lt=1)
    #: Probability with which a unit keeps its previous state in training; in evaluation the
    #: expectation (Krueger et al. 2017). It acts on the output h of a cell and on its memory c, as
    #: far as the next step reads them; not on the memory of slstm, whose units are scaled anew at
    #: every step, and not on gates that a cell carries along.
    zoneout: float = Field(0.0, ge=0, lt=1)

    optimizer: Optimizer = "adam"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(32, ge=1)  #: sequences
    max_epochs: int = Field(ge=1)
    gradient_clip: float | None = Field(1.0, gt=0)  #: largest gradient norm; None is off


#: Fields that a stored configuration may lack: those that have a default.
_DEFAULTS = {
    name: field.default
    for name, field in TrialConfig.model_fields.items()
    if not field.is_required()
}


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with all fields: one of an earlier version lacks the newest."""
    return {**config, **{name: _DEFAULTS[name] for name in _DEFAULTS if name not in config}}
