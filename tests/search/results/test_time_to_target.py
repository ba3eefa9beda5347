"""Time to target is the replicates' epochs times the seconds of an epoch, as the records say."""

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import made

from search.journal.trial import AloneTimes, TrialResult
from search.results.read import Results
from search.results.summarise import compare
from search.results.time_to_target import common_target, time_to_target
from spaces.kinds import METRICS
from trainables.training.curve import Epoch

ACCURACY = METRICS["classification"][0]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> TrialResult:
    results = made(tmp_path_factory.mktemp("made"))
    return next(trial for trial in results.confirm if trial.state == "complete")


def trained(template: TrialResult, values: list[float], state: str = "complete") -> TrialResult:
    curve = [Epoch(number, 1.0, value, 1.0, 0, {}) for number, value in enumerate(values, 1)]
    return replace(template, curve=curve, state=state, metric=ACCURACY)  # type: ignore[arg-type]


def test_epochs_are_the_first_that_reach_and_seconds_those_of_epochs_alone(
    template: TrialResult,
) -> None:
    replicates = [
        trained(template, [0.1, 0.5, 0.9]),
        trained(template, [0.6, 0.2, 0.1]),
        trained(template, [0.0, 0.0, 0.5]),
    ]
    took = time_to_target(ACCURACY, replicates, 0.5, 2.0)
    assert took is not None
    assert (took.reached, took.replicates, took.epochs, took.seconds) == (3, 3, 2.0, 4.0)
    assert took.epochs_interval == (None, None), "three replicates give no interval of 95 %"


def test_replicates_that_never_reach_it_count_and_those_lost_to_faults_do_not(
    template: TrialResult,
) -> None:
    reaches, never = trained(template, [0.9]), trained(template, [0.1])
    diverges = trained(template, [0.1], "diverged")
    failed = trained(template, [], "failed")
    took = time_to_target(ACCURACY, [reaches, reaches, never, failed], 0.5, 1.0)
    assert took is not None
    assert (took.reached, took.replicates, took.epochs) == (2, 3, 1.0)
    took = time_to_target(ACCURACY, [reaches, never, diverges], 0.5, 1.0)
    assert took is not None
    assert (took.reached, took.epochs, took.seconds) == (1, None, None)
    assert time_to_target(ACCURACY, [failed], 0.5, 1.0) is None


@given(st.lists(st.integers(1, 30), min_size=6, max_size=40))
def test_interval_holds_the_median(template: TrialResult, epochs: list[int]) -> None:
    replicates = [trained(template, [0.0] * (number - 1) + [1.0]) for number in epochs]
    took = time_to_target(ACCURACY, replicates, 0.5, 0.5)
    assert took is not None
    low, high = took.epochs_interval
    assert took.epochs == statistics.median(epochs)
    assert low is not None and high is not None
    assert min(epochs) <= low <= took.epochs <= high <= max(epochs)
    assert took.seconds_interval == (low / 2, high / 2)


def test_interval_of_a_median_covers_it_as_often_as_it_says(template: TrialResult) -> None:
    import numpy as np

    draw, hits = np.random.default_rng(0), 0
    for _ in range(400):
        epochs = draw.integers(1, 1000, 10)
        replicates = [trained(template, [0.0] * (number - 1) + [1.0]) for number in epochs]
        took = time_to_target(ACCURACY, replicates, 0.5, 1.0)
        assert took is not None
        low, high = took.epochs_interval
        assert low is not None and high is not None
        hits += low <= 500 <= high
    assert hits / 400 >= 0.95


def test_common_target_is_the_best_value_that_most_replicates_of_each_arm_reach(
    template: TrialResult,
) -> None:
    good = [trained(template, [0.2, value]) for value in (0.9, 0.8, 0.7)]
    fair = [trained(template, [value, 0.1]) for value in (0.6, 0.5, 0.4, 0.3)]
    target = common_target(ACCURACY, [good, fair], 0.3)
    assert target == 0.4
    for own in (good, fair):
        took = time_to_target(ACCURACY, own, target, 1.0)
        assert took is not None and took.epochs is not None


def test_arms_that_learned_nothing_set_no_target(template: TrialResult) -> None:
    good = [trained(template, [0.9])]
    chance = [trained(template, [0.3])] * 3
    lost = [trained(template, [], "diverged")] * 3
    assert common_target(ACCURACY, [good, chance, lost], 0.3) == 0.9
    assert common_target(ACCURACY, [chance], 0.3) is None
    assert common_target(ACCURACY, [[]], None) is None


def measured(results: Results) -> Results:
    """Return results whose finalists were measured."""
    alone = AloneTimes(1.0, 2.0, "engine/cpu/float32", 1, 0.25, 10_000_000, "engine/cpu/float32")
    trials = [
        replace(trial, alone=alone) if trial.phase == "search" else trial
        for trial in results.trials
    ]
    return replace(results, trials=trials)


def test_a_comparison_tells_each_arms_time_to_the_same_target(tmp_path: Path) -> None:
    results = measured(made(tmp_path))
    figures = compare(results)
    targets = {arm.to_target.target for arm in figures.arms if arm.to_target}
    assert len(targets) == 1
    for arm in figures.arms:
        took = arm.to_target
        assert took is not None and took.seconds is not None and took.epochs is not None
        assert math.isclose(took.seconds, 0.25 * took.epochs)
    json.dumps(figures.as_dict(), allow_nan=False)
    assert any(sentence.startswith("Training time to") for sentence in figures.findings)
    asked = compare(results, 2.0)
    assert all(arm.to_target and arm.to_target.reached == 0 for arm in asked.arms)
