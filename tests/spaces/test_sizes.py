"""Numbers of parameters are exact, and solved hidden sizes are the best there are."""

from typing import Any

import pytest
from drawn_spaces import drafts
from hypothesis import given
from hypothesis import strategies as st

from spaces.config import TrialConfig
from spaces.sizes import nearest_size, parameters, solve_hidden_size


def config(**fields: Any) -> TrialConfig:
    usual = {"gates": "standard", "learning_rate": 0.01, "max_epochs": 1}
    return TrialConfig.model_validate({**usual, **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # By hand: I=12, O=9, H=16; A = IH + H² + H = 464, of a further layer 2H² + H = 528.
        ({"cell": "lstm", "depth": 1, "hidden_size": 16}, 4 * 464 + 9 * 16 + 9),
        ({"cell": "lstm", "depth": 3, "hidden_size": 16}, 4 * 464 + 8 * 528 + 9 * 16 + 9),
        (
            {"cell": "gru", "gates": "reset-after", "depth": 2, "hidden_size": 16},
            3 * 464 + 16 + 3 * 528 + 16 + 9 * 16 + 9,
        ),
        ({"cell": "rnn", "gates": "tanh", "depth": 1, "hidden_size": 16}, 464 + 9 * 16 + 9),
        (  # a second layer that reads both directions: 2HH + H² + H = 784
            {"cell": "rnn", "gates": "relu", "depth": 2, "hidden_size": 16, "bidirectional": True},
            2 * 464 + 2 * 784 + 9 * 32 + 9,
        ),
        (
            {"cell": "transformer", "gates": "encoder", "depth": 2, "hidden_size": 16},
            (12 * 16 + 16) + 2 * (12 * 256 + 13 * 16) + 2 * 16 + 9 * 16 + 9,
        ),
    ],
)
def test_parameters_are_those_counted_by_hand(fields: dict[str, Any], expected: int) -> None:
    assert parameters(config(**fields), inputs=12, outputs=9) == expected


def test_attention_in_both_directions_costs_nothing() -> None:
    fields = {"cell": "transformer", "gates": "encoder", "depth": 2, "hidden_size": 16}
    one, both = (config(**fields, bidirectional=ways) for ways in (False, True))
    assert parameters(one, 12, 9) == parameters(both, 12, 9)


def count(draft: dict[str, Any], hidden_size: int, inputs: int, outputs: int) -> int:
    return parameters(config(**draft, hidden_size=hidden_size), inputs, outputs)


@given(drafts(), st.integers(1, 300), st.integers(1, 300), st.integers(1, 10**15))
def test_no_hidden_size_comes_nearer_than_the_solved_one(
    draft: dict[str, Any], inputs: int, outputs: int, target: int
) -> None:
    hidden, found = nearest_size(draft, inputs, outputs, target)
    assert found == count(draft, hidden, inputs, outputs)
    step = draft["heads"] if draft["cell"] == "transformer" else 1
    assert hidden % step == 0
    for other in (hidden - step, hidden + step):
        if other >= 1:
            assert abs(count(draft, other, inputs, outputs) - target) >= abs(found - target)


@given(drafts(), st.integers(1, 10**6), st.floats(0, 0.5))
def test_a_size_is_solved_exactly_when_one_lies_within_the_tolerance(
    draft: dict[str, Any], target: int, tolerance: float
) -> None:
    hidden, found = nearest_size(draft, 12, 9, target)
    solved = solve_hidden_size(draft, 12, 9, target, tolerance)
    distance = abs(found - target) / target
    if distance < tolerance * (1 - 1e-9):
        assert solved == hidden
    if distance > tolerance * (1 + 1e-9):
        assert solved is None


def test_a_tolerance_means_the_number_as_written() -> None:
    draft = {"cell": "rnn", "gates": "tanh", "depth": 1}
    _, found = nearest_size(draft, 1, 1, 100)
    assert found == 109
    assert solve_hidden_size(draft, 1, 1, 100, 0.09) is not None
    assert solve_hidden_size(draft, 1, 1, 100, 0.0899) is None


def test_sizes_have_no_upper_limit() -> None:
    draft = {"cell": "lstm", "gates": "standard", "depth": 10**6}
    assert solve_hidden_size(draft, 10, 10, 10**60, 1e-9) is not None
