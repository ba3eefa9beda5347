"""What is known of learning rates before a job has tried any."""

from typing import get_args

import pytest

from search.study.learning_rates import literature
from spaces.cells import CELLS
from spaces.hyperparameters import Optimizer


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_cell_and_optimizer_has_rates_within_reason(optimizer: str) -> None:
    for family in {cell.family for cell in CELLS}:
        for hidden_size in (None, 1, 16, 1024):
            rates = literature(family, hidden_size, optimizer)
            assert -5 < rates.mean < -1
            assert rates.deviation > 0


def test_plain_descent_has_larger_rates_and_plain_cells_smaller_ones() -> None:
    assert literature("lstm", 64, "sgd").mean > literature("lstm", 64, "adam").mean
    assert literature("rnn", 64, "adam").mean < literature("lstm", 64, "adam").mean


def test_wide_models_have_smaller_rates() -> None:
    means = [literature("gru", hidden_size, "adamw").mean for hidden_size in (8, 64, 512)]
    assert means == sorted(means, reverse=True)
