"""TrialConfig: everything that determines how one configuration is built and trained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]


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

    optimizer: Optimizer = "adam"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(32, ge=1)  #: sequences
    max_epochs: int = Field(ge=1)
    gradient_clip: float | None = Field(1.0, gt=0)  #: largest gradient norm; None is off
