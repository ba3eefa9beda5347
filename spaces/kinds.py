"""The kinds of task: what each predicts, which metrics it has and how they are computed."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

TaskKind = Literal[
    "classification",
    "multi-label",
    "tagging",
    "regression",
    "forecasting",
    "next-token",
    "next-step",
]
Direction = Literal["maximize", "minimize"]
#: What a forecast says of each step ahead; see spaces.forecast.
Likelihood = Literal["point", "gaussian", "quantile"]

#: Metrics of which 1 is the best value that there is.
_SHARES = ("accuracy", "subset-accuracy", "balanced-accuracy", "macro-f1", "auroc")


@dataclass(frozen=True)
class Metric:
    """A figure that ranks trained models on validation data."""

    name: str
    direction: Direction

    @property
    def maximize(self) -> bool:
        """Whether greater values are better."""
        return self.direction == "maximize"

    @property
    def ceiling(self) -> float | None:
        """The best value that there is, where a good model may reach it: 1 of a share."""
        return 1.0 if self.name in _SHARES else None

    def cost(self, value: float) -> float:
        """Return a value with the sign with which less is better."""
        return -value if self.maximize else value

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values. Raises ValueError where there are none."""
        return max(values) if self.maximize else min(values)


#: The metrics of each kind of task; the first is the default one. "loss" is what training
#: minimises: cross-entropy in nats (classification, tagging, next-token; of multi-label the mean
#: over labels), mean squared error (regression, forecasting; of standardised targets, where they
#: are standardised, while mse is in the units of the data), or the negative log-likelihood summed
#: over labels and averaged over frames (next-step).
METRICS: dict[TaskKind, tuple[Metric, ...]] = {
    "classification": (
        Metric("accuracy", "maximize"),
        Metric("loss", "minimize"),
        Metric("balanced-accuracy", "maximize"),
        Metric("macro-f1", "maximize"),
        Metric("auroc", "maximize"),
    ),
    "multi-label": (
        Metric("macro-f1", "maximize"),
        Metric("loss", "minimize"),
        Metric("subset-accuracy", "maximize"),
        Metric("auroc", "maximize"),
    ),
    "tagging": (
        Metric("accuracy", "maximize"),
        Metric("loss", "minimize"),
        Metric("balanced-accuracy", "maximize"),
        Metric("macro-f1", "maximize"),
        Metric("auroc", "maximize"),
    ),
    "regression": (
        Metric("mse", "minimize"),
        Metric("loss", "minimize"),
        Metric("mae", "minimize"),
        Metric("rmse", "minimize"),
    ),
    "forecasting": (
        Metric("mae", "minimize"),
        Metric("loss", "minimize"),
        Metric("mse", "minimize"),
        Metric("rmse", "minimize"),
        Metric("mase", "minimize"),
    ),
    "next-token": (
        Metric("bits-per-token", "minimize"),
        Metric("bits-per-character", "minimize"),
        Metric("accuracy", "maximize"),
        Metric("loss", "minimize"),
    ),
    "next-step": (Metric("nll", "minimize"), Metric("loss", "minimize")),
}

#: Those of forecasts that are no points: mae, rmse and mase are the mean's or the median's. "loss"
#: is the negative log-likelihood or the pinball loss of standardised targets, where they are
#: standardised, averaged over the steps ahead; nll and pinball are in the units of the data.
_OF_LIKELIHOOD: dict[Likelihood, tuple[Metric, ...]] = {
    "gaussian": (
        Metric("mae", "minimize"),
        Metric("loss", "minimize"),
        Metric("nll", "minimize"),
        Metric("rmse", "minimize"),
        Metric("mase", "minimize"),
    ),
    "quantile": (
        Metric("mae", "minimize"),
        Metric("loss", "minimize"),
        Metric("pinball", "minimize"),
        Metric("rmse", "minimize"),
        Metric("mase", "minimize"),
    ),
}

#: The metric that tokens of several characters have beside bits a token.
BY_CHARACTER = "bits-per-character"

#: Of these, how each follows from sums over targets: their losses, how many were predicted
#: correctly, how many there are; and from what a difference of 1 in the losses is in the units of
#: the data, or how many targets a character has, where targets stand for text.
FORMULAS: dict[str, Callable[[float, float, float, float], float]] = {
    "loss": lambda loss, correct, count, unit: loss / count,
    "accuracy": lambda loss, correct, count, unit: correct / count,
    "subset-accuracy": lambda loss, correct, count, unit: correct / count,
    "mse": lambda loss, correct, count, unit: loss / count * unit**2,
    "nll": lambda loss, correct, count, unit: loss / count + math.log(unit),
    "pinball": lambda loss, correct, count, unit: loss / count * unit,
    "bits-per-token": lambda loss, correct, count, unit: loss / count / math.log(2),
    "bits-per-character": lambda loss, correct, count, unit: loss / count / math.log(2) * unit,
}


def metrics_of(kind: TaskKind, likelihood: Likelihood = "point") -> tuple[Metric, ...]:
    """Return the metrics of a kind of task, the default one first; likelihood: of forecasting."""
    return _OF_LIKELIHOOD.get(likelihood, METRICS[kind])


#: Figures in the units of what is learned, which are none of a series that is transformed before.
_OF_LEARNED = ("mse", "nll", "pinball")


def told_of_series(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics of forecasts of a series that is transformed before it is learned.

    mae, rmse and mase are those of its values, loss is that of what is learned.
    """
    return tuple(metric for metric in metrics if metric.name not in _OF_LEARNED)


def known_metrics() -> list[Metric]:
    """Return all metrics that there are; several kinds have some of them."""
    return [metric for own in (*METRICS.values(), *_OF_LIKELIHOOD.values()) for metric in own]


def evaluated(
    kind: TaskKind,
    metric: Metric,
    likelihood: Likelihood = "point",
    *,
    characters: bool = False,
    transformed: bool = False,
) -> tuple[Metric, ...]:
    """Return the metrics of an evaluation: those of FORMULAS, and the one that decides the job.

    The others need all predictions of a part at once; see trainables.part_metrics.

    characters: whether a task's tokens may be of several characters; where they are not, bits a
        character are bits a token. transformed: whether a series is, before it is learned.
    """
    names = (*_summed(kind, likelihood, characters), metric.name)
    found = tuple(m for m in metrics_of(kind, likelihood) if m.name in names)
    return told_of_series(found) if transformed else found


def _summed(kind: TaskKind, likelihood: Likelihood, characters: bool) -> list[str]:
    """Return the metrics of FORMULAS that a kind of task has, with bits a character or without."""
    names = [metric.name for metric in metrics_of(kind, likelihood) if metric.name in FORMULAS]
    return [name for name in names if characters or name != BY_CHARACTER]


def has_classes(kind: TaskKind) -> bool:
    """Return whether a training of this kind of task may weigh classes."""
    return kind in ("classification", "tagging")


def carries_state(kind: TaskKind) -> bool:
    """Return whether a state may go on from one sequence of this kind of task to the next."""
    return kind == "next-token"


def is_stepwise(kind: TaskKind) -> bool:
    """Return whether a model of this kind of task gives an output at every step."""
    return is_causal(kind) or kind == "tagging"


def predicts_itself(kind: TaskKind) -> bool:
    """Return whether what is predicted are later steps of x, not targets of their own."""
    return is_causal(kind) or kind == "forecasting"


def of_several(kind: TaskKind) -> bool:
    """Return whether a sequence may have several targets, [n, targets]."""
    return kind in ("multi-label", "regression", "forecasting")


def compute_metrics(
    kind: TaskKind,
    loss: float,
    correct: float,
    count: float,
    unit: float = 1.0,
    likelihood: Likelihood = "point",
    *,
    characters: bool = False,
) -> dict[str, float]:
    """Return the metrics of FORMULAS that a kind of task has, from sums over `count` targets.

    loss: what training minimises, summed; correct: targets that were predicted, 0 where a task has
    no classes; unit: what a difference of 1 between targets is in the units of the data, where the
    targets are standardised, or how many targets a character has; likelihood: of forecasting;
    characters: whether bits a character are asked for. Raises ZeroDivisionError where there are no
    targets.
    """
    names = _summed(kind, likelihood, characters)
    return {name: FORMULAS[name](loss, correct, count, unit) for name in names}


def is_causal(kind: TaskKind) -> bool:
    """Return whether a model for this kind of task must not see the future."""
    return kind in ("next-token", "next-step")
