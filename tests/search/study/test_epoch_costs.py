"""Claims about what an epoch of a configuration is expected to take."""

import numpy as np
import pytest

from search.study.epoch_costs import EpochCosts


def test_what_doubles_seconds_in_trials_doubles_them_for_new_configurations() -> None:
    rng = np.random.default_rng(0)
    columns = rng.integers(2, size=(60, 3)).astype(float)
    costs = EpochCosts(columns, 0.1 * 2 ** columns[:, 0] * 3 ** columns[:, 2])
    slow, fast = costs.of_new(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    assert slow / fast == pytest.approx(6, rel=0.05)
    assert fast == pytest.approx(0.1, rel=0.05)


def test_one_trial_says_what_all_others_take() -> None:
    costs = EpochCosts(np.array([[0.3, 1.0]]), np.array([2.5]))
    assert costs.typical == pytest.approx(2.5)
    assert costs.of_new(np.array([[0.9, 0.0]])) == pytest.approx([2.5])
