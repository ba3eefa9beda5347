"""Every metric has a direction and a formula, and a task's description survives a journal."""

import json
import math
from dataclasses import asdict

import pytest

from spaces.kinds import (
    FORMULAS,
    METRICS,
    Likelihood,
    Metric,
    TaskKind,
    compute_metrics,
    evaluated,
    known_metrics,
)
from spaces.tasks import TaskInfo
from trainables.part_metrics import FORMULAS_OF_PARTS

#: Sums over ten targets: losses of 5 in all, 6 predicted correctly.
COMPUTED = {
    "loss": 0.5,
    "accuracy": 0.6,
    "subset-accuracy": 0.6,
    "mse": 0.5,
    "nll": 0.5,
    "bits-per-token": 0.5 / math.log(2),
    "pinball": 0.5,
    "bits-per-character": 0.5 / math.log(2) / 4,
}


def test_every_metric_has_a_formula_and_every_formula_a_metric() -> None:
    offered = {metric.name for metric in known_metrics()}
    assert set(FORMULAS) == set(COMPUTED)
    assert offered == set(FORMULAS) | set(FORMULAS_OF_PARTS)
    assert not set(FORMULAS) & set(FORMULAS_OF_PARTS)


@pytest.mark.parametrize("kind", METRICS)
def test_metrics_follow_from_sums_over_targets(kind: TaskKind) -> None:
    unit = 0.25 if kind == "next-token" else 1.0  # a token of four characters
    for characters in (False, True):
        found = compute_metrics(kind, 5.0, 6, 10, unit, characters=characters)
        told = evaluated(kind, METRICS[kind][0], characters=characters)
        assert list(found) == [metric.name for metric in told if metric.name in FORMULAS]
        assert found == {name: COMPUTED[name] for name in found}


@pytest.mark.parametrize("likelihood", ["gaussian", "quantile"])
def test_a_distribution_s_figures_are_in_the_units_of_the_data(likelihood: Likelihood) -> None:
    """The density of values that are 10 times as far apart is a tenth."""
    found = compute_metrics("forecasting", 5.0, 0, 10, 10.0, likelihood)
    wanted = {"gaussian": {"nll": 0.5 + math.log(10)}, "quantile": {"pinball": 5.0}}
    assert found == {"loss": 0.5, **wanted[likelihood]}


@pytest.mark.parametrize("metric", [Metric("gain", "maximize"), Metric("error", "minimize")])
def test_best_and_cost_agree(metric: Metric) -> None:
    best = 3.0 if metric.maximize else 1.0
    assert metric.best([1.0, 3.0, 2.0]) == best
    assert metric.best([1.0, 3.0, 2.0]) == min([1.0, 3.0, 2.0], key=metric.cost)


def test_a_task_s_description_is_the_same_after_json() -> None:
    info = TaskInfo("own", "next-token", 5, 5, 100, METRICS["next-token"][1], "ab")
    assert TaskInfo.from_dict(json.loads(json.dumps(asdict(info)))) == info
