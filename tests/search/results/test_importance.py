"""Importance follows what the values follow, and where it cannot be known, a reason says so."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_results import CONFIG, trial_result
from sklearn.tree import DecisionTreeRegressor

from search.journal.trial import TrialResult
from search.results.importance import MIN_TRIALS, importance, variances
from spaces.config import TrialConfig


def drawn(
    number: int, worth: Callable[[TrialConfig], float], *, control: bool = True
) -> list[TrialResult]:
    """Trials whose settings are drawn at random, and whose values follow from these."""
    draw = random.Random(0)
    trials = []
    for each in range(number):
        chosen = {
            "learning_rate": 10 ** draw.uniform(-4, -1),
            "depth": draw.randint(1, 3),
            "dropout": draw.uniform(0, 0.5),
            "optimizer": draw.choice(["adam", "sgd", "rmsprop"]),
        }
        config = CONFIG.model_copy(update=chosen)
        trials.append(trial_result(each, worth(config), config=config, control=control))
    return trials


def of_rate(config: TrialConfig) -> float:
    return -abs(np.log10(config.learning_rate) + 2.5) + 0.1 * config.depth


@pytest.fixture(scope="module")
def controls() -> list[TrialResult]:
    return drawn(100, of_rate)


def test_importance_finds_what_the_values_follow(controls: list[TrialResult]) -> None:
    found = importance(controls)
    assert found.shares[0].names == ("learning_rate",) and found.shares[0].low > 0.7
    assert found.controls and found.explained > 0.6
    assert all(0 <= share.low <= share.mean <= share.high <= 1 for share in found.shares)
    assert sum(share.mean for share in (*found.shares, *found.interactions)) <= 1 + 1e-9
    assert importance(controls) == found


def test_an_interaction_is_not_told_as_two_settings() -> None:
    def crossed(config: TrialConfig) -> float:
        return 1.0 if (config.dropout > 0.25) == (config.learning_rate > 10**-2.5) else 0.0

    found = importance(drawn(300, crossed))
    assert set(found.interactions[0].names) == {"learning_rate", "dropout"}
    assert found.interactions[0].mean > 0.5 > found.shares[0].high


def test_values_that_no_setting_explains_have_no_importance() -> None:
    noise = random.Random(1)
    found = importance(drawn(60, lambda config: noise.random()))
    assert found.shares == () and "do not tell the values" in (found.reason or "")


def test_a_diverged_control_is_the_worst(controls: list[TrialResult]) -> None:
    lost = [
        replace(trial, state="diverged", value=None) if trial.config.optimizer == "sgd" else trial
        for trial in controls
    ]
    assert importance(lost).shares[0].names == ("optimizer",)


def test_importance_is_the_same_on_any_scale_of_the_metric(controls: list[TrialResult]) -> None:
    scaled = [replace(trial, value=float(np.exp(9 * (trial.value or 0)))) for trial in controls]
    assert importance(scaled) == importance(controls)


def test_trials_that_a_sampler_chose_count_only_where_controls_are_too_few(
    controls: list[TrialResult],
) -> None:
    chosen = [replace(trial, control=False, number=1000 + trial.number) for trial in controls]
    worthless = [replace(trial, value=random.Random(trial.number).random()) for trial in chosen]
    assert importance([*controls, *worthless]) == importance(controls)
    found = importance([*controls[: MIN_TRIALS - 1], *chosen])
    assert not found.controls and found.trials == MIN_TRIALS - 1 + len(chosen)


def test_pruned_trials_take_no_part() -> None:
    chosen = drawn(60, of_rate, control=False)
    pruned = [replace(trial, number=99, state="pruned", value=0.0) for trial in chosen]
    assert importance([*pruned, *chosen]) == importance(chosen)


def test_too_few_trials_give_a_reason_and_no_numbers(controls: list[TrialResult]) -> None:
    few = importance(controls[: MIN_TRIALS - 1])
    assert few.shares == () and f"{MIN_TRIALS} are needed" in (few.reason or "")


def test_equal_values_and_equal_configurations_have_no_importance(
    controls: list[TrialResult],
) -> None:
    flat = importance([replace(trial, value=0.5) for trial in controls])
    assert flat.shares == () and "same value" in (flat.reason or "")
    same = importance([replace(trial, config=CONFIG) for trial in controls])
    assert same.shares == () and "same configuration" in (same.reason or "")


def test_a_trees_variances_are_those_of_all_its_settings_enumerated() -> None:
    rng = np.random.default_rng(0)
    sizes, weights = (3, 4, 2), [np.array([0.2, 0.3, 0.5]), np.full(4, 0.25), np.array([0.9, 0.1])]
    grid = np.array(list(itertools.product(*map(range, sizes))))
    tree = DecisionTreeRegressor(random_state=0, max_leaf_nodes=11).fit(grid, rng.random(len(grid)))
    total, parts = variances(tree, weights)

    values = tree.predict(grid).reshape(sizes)
    joint = np.einsum("a,b,c->abc", *weights)
    centred = values - (values * joint).sum()
    assert total == pytest.approx((joint * centred**2).sum())

    def explained(*kept: int) -> float:
        rest = tuple(axis for axis in range(3) if axis not in kept)
        mass = joint.sum(axis=rest)
        return float((mass * ((centred * joint).sum(axis=rest) / mass) ** 2).sum())

    for place in range(3):
        assert parts[place,] == pytest.approx(explained(place))
    for a, b in itertools.combinations(range(3), 2):
        assert parts[a, b] == pytest.approx(explained(a, b) - explained(a) - explained(b))
