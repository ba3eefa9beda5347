"""Metrics that are no mean over single targets: they take all predictions of a part at once.

Scikit-learn computes them, imported where one of them is asked for. NumPy arrays, no torch.

    balanced-accuracy  the mean of the classes' recalls
    macro-f1           the mean of the F1 of all classes of the task, as scikit-learn has it with
                       these labels and zero_division=0: a class that a part neither has nor is
                       taken for counts 0; of labels, where a label is on at odds over 1
    auroc              the mean over classes of the area under the ROC curve, each against the rest;
                       the mean over labels, each by itself
    mae, rmse          mean absolute error, and root of the mean squared one, in the data's units
    mase               mean absolute error in units of the naive forecast's error, of each series in
                       its training part (Hyndman & Koehler 2006, International Journal of
                       Forecasting 22): outputs and targets come divided by it

For the others, classes that a part has no targets of count nothing in it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.kinds import compute_metrics
from spaces.tasks import TaskInfo

Array = NDArray[Any]


def part_metric(name: str, outputs: Array, targets: Array, unit: float = 1.0) -> float:
    """Return a metric of a part; NaN where an output is not finite.

    outputs: [n, classes] logits, or [n, 1] predictions; targets: [n] classes or values, or, several
    for each output, [n, outputs]; unit: what a difference of 1 between values is in the data's
    units.
    """
    if not np.isfinite(outputs).all():
        return math.nan
    return FORMULAS_OF_PARTS[name](np.asarray(outputs, np.float64), targets, unit)


def _balanced_accuracy(outputs: Array, targets: Array, unit: float) -> float:
    from sklearn.metrics import recall_score

    found, classes = outputs.argmax(axis=-1), np.unique(targets)
    return float(recall_score(targets, found, labels=classes, average="macro"))


def _macro_f1(outputs: Array, targets: Array, unit: float) -> float:
    from sklearn.metrics import f1_score

    if targets.ndim > 1:
        true, found, labels = targets > 0, outputs > 0, None
    else:
        true, found, labels = targets, outputs.argmax(axis=-1), np.arange(outputs.shape[-1])
    return float(f1_score(true, found, labels=labels, average="macro", zero_division=0.0))


def _auroc(outputs: Array, targets: Array, unit: float) -> float:
    """Return the mean area over classes that a part both has and has others beside; else 1/2."""
    from sklearn.metrics import roc_auc_score

    if targets.ndim > 1:
        both = targets.any(axis=0) & ~targets.all(axis=0)
        pairs = zip(targets.T[both], outputs.T[both], strict=True)
        return float(np.mean([roc_auc_score(*pair) for pair in pairs] or [0.5]))
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    classes = np.unique(targets)
    if len(classes) < 2:
        return 0.5
    return float(np.mean([roc_auc_score(targets == one, logs[:, one]) for one in classes]))


def _errors(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Return targets and predictions of one shape."""
    return np.asarray(targets, np.float64).reshape(outputs.shape), outputs


def _mae(outputs: Array, targets: Array, unit: float) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(*_errors(outputs, targets))) * unit


def _rmse(outputs: Array, targets: Array, unit: float) -> float:
    from sklearn.metrics import mean_squared_error

    return math.sqrt(mean_squared_error(*_errors(outputs, targets))) * unit


#: Of all outputs and targets of a part, and the unit of the targets.
FORMULAS_OF_PARTS: dict[str, Callable[[Array, Array, float], float]] = {
    "balanced-accuracy": _balanced_accuracy,
    "macro-f1": _macro_f1,
    "auroc": _auroc,
    "mae": _mae,
    "mase": _mae,
    "rmse": _rmse,
}


def summed_metrics(
    info: TaskInfo, loss: float, correct: float, count: float, unit: float = 1.0
) -> dict[str, float]:
    """Return the metrics of a task that follow from sums over targets; see compute_metrics."""
    likelihood, characters = info.ahead.likelihood, info.in_characters
    found = compute_metrics(
        info.kind, loss, correct, count, unit, likelihood, characters=characters
    )
    names = {metric.name for metric in info.metrics}
    return {name: value for name, value in found.items() if name in names}
