"""What is known of a task without its data: kind, sizes, metrics and options."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["classification", "regression", "next-token", "next-step"]
Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """A figure that ranks trained models on validation data."""

    name: str
    direction: Direction


#: The metrics of each kind of task; the first is the default one. "loss" is what training minimises:
#: cross-entropy in nats (classification, next-token), mean squared error (regression), or the
#: negative log-likelihood summed over labels and averaged over frames (next-step).
METRICS: dict[Kind, tuple[Metric, ...]] = {
    "classification": (Metric("accuracy", "maximize"), Metric("loss", "minimize")),
    "regression": (Metric("mse", "minimize"), Metric("loss", "minimize")),
    "next-token": (
        Metric("bits-per-token", "minimize"),
        Metric("accuracy", "maximize"),
        Metric("loss", "minimize"),
    ),
    "next-step": (Metric("nll", "minimize"), Metric("loss", "minimize")),
}


@dataclass(frozen=True)
class TaskInfo:
    """The shape of a loaded task, as models and reports need it."""

    name: str  #: "japanese-vowels", or the stem of the user's data file
    kind: Kind
    inputs: int  #: features a step, or the size of the vocabulary (symbols enter one-hot)
    outputs: int  #: classes, vocabulary, labels a frame, or 1 for regression
    longest: int  #: steps of the longest sequence over all splits
    metric: Metric  #: the one that the job is decided by
    fingerprint: str = ""  #: sha256 over all splits; identifies the data in tracking and report

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that an evaluation of this kind of task returns."""
        return METRICS[self.kind]

    @property
    def causal(self) -> bool:
        """Whether a model must not see the future (next-token and next-step tasks)."""
        return self.kind in ("next-token", "next-step")
