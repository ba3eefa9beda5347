"""Metrics of whole parts against their definitions, written out pair by pair and class by class."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from trainables.part_metrics import FORMULAS_OF_PARTS, part_metric

CLASSES = 4


@pytest.fixture
def drawn() -> tuple[Any, Any]:
    """Logits [30, 4] and classes of which the last never occurs."""
    draw = np.random.default_rng(3)
    targets = draw.integers(0, CLASSES - 1, 30)
    return draw.normal(size=(30, CLASSES)) + np.eye(CLASSES)[targets], targets


def recalls(outputs: Any, targets: Any) -> list[float]:
    found = outputs.argmax(1)
    return [float((found[targets == one] == one).mean()) for one in range(CLASSES - 1)]


def f1(outputs: Any, targets: Any, one: int) -> float:
    found, true = outputs.argmax(1) == one, targets == one
    both = (found & true).sum()
    return float(2 * both / max(found.sum() + true.sum(), 1))


def area(outputs: Any, targets: Any, one: int) -> float:
    """How often one of the class has a greater probability than one of the rest; ties half."""
    p = np.exp(outputs[:, one]) / np.exp(outputs).sum(1)
    won = [(a > b) + 0.5 * (a == b) for a, b in product(p[targets == one], p[targets != one])]
    return float(np.mean(won))


def test_balanced_accuracy_is_the_mean_recall_of_classes_that_occur(drawn: Any) -> None:
    assert part_metric("balanced-accuracy", *drawn) == pytest.approx(np.mean(recalls(*drawn)))


def test_macro_f1_is_the_mean_f1_of_all_classes_of_the_task(drawn: Any) -> None:
    """A class that a part lacks counts 0, whether or not something is taken for it."""
    outputs, targets = drawn
    for given in (outputs, outputs - np.eye(CLASSES)[-1] * 1e3):
        expected = np.mean([f1(given, targets, one) for one in range(CLASSES)])
        assert part_metric("macro-f1", given, targets) == pytest.approx(expected)
        theirs = f1_score(
            targets, given.argmax(1), labels=range(CLASSES), average="macro", zero_division=0.0
        )
        assert part_metric("macro-f1", given, targets) == pytest.approx(theirs)


def test_macro_f1_of_labels_is_scikit_learn_s() -> None:
    draw = np.random.default_rng(1)
    outputs, targets = draw.normal(size=(20, 3)), draw.integers(0, 2, (20, 3)) * [1, 1, 0]
    expected = f1_score(targets, (outputs > 0).astype(int), average="macro", zero_division=0.0)
    assert part_metric("macro-f1", outputs, targets) == pytest.approx(expected)


def test_auroc_is_the_share_of_pairs_in_order(drawn: Any) -> None:
    expected = np.mean([area(*drawn, one) for one in range(CLASSES - 1)])
    assert part_metric("auroc", *drawn) == pytest.approx(expected)


def test_one_class_alone_has_no_order() -> None:
    assert part_metric("auroc", np.zeros((3, 2)), np.array([1, 1, 1])) == 0.5


def test_errors_are_in_the_units_of_the_data() -> None:
    outputs, targets = np.array([[1.0], [3.0]]), np.array([0.0, 6.0])
    assert part_metric("mae", outputs, targets, unit=10.0) == pytest.approx(20)
    assert part_metric("rmse", outputs, targets, unit=10.0) == pytest.approx(10 * math.sqrt(5))


@pytest.mark.parametrize("name", FORMULAS_OF_PARTS)
def test_an_output_that_is_no_number_makes_a_metric_that_is_none(name: str) -> None:
    assert math.isnan(part_metric(name, np.array([[math.nan, 1.0]]), np.array([1])))
