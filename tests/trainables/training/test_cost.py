"""Costs of trainings are measured in turn, grow with what is trained, and scale from a part."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_trainings import small_config

from spaces.config import TrialConfig
from trainables.training import cost
from trainables.training.advancing import Advancing
from trainables.training.cost import training_costs
from trainables.training.peak_memory import PeakMemory

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MIN_ROUNDS", 2)
    monkeypatch.setattr(cost, "MAX_ROUNDS", 2)


def wide(units: int) -> TrialConfig:
    return small_config("gru", "reset-after").model_copy(update={"hidden_size": units})


def test_larger_models_take_more_memory_and_more_time(make_data: Any) -> None:
    small, large = training_costs([wide(8), wide(256)], make_data(), CPU, [0.0, 0.0])
    assert small and large
    assert large.epoch_seconds > small.epoch_seconds > 0
    assert large.peak_bytes is not None and small.peak_bytes is not None
    weights = 4 * 3 * 256 * 256  # bytes of R alone
    assert large.peak_bytes > max(small.peak_bytes, 3 * weights), "weights, gradient, best weights"
    assert small.path == large.path == "engine/cpu/float32"


def test_memory_is_not_hidden_by_what_was_trained_before(make_data: Any) -> None:
    first, *others = training_costs([wide(512)] * 3, make_data(), CPU, [0.0] * 3)
    assert first and first.peak_bytes
    for other in others:
        assert other and other.peak_bytes
        assert abs(other.peak_bytes - first.peak_bytes) <= 0.25 * first.peak_bytes


def test_peak_is_what_was_taken_at_once_and_not_what_is_left() -> None:
    with PeakMemory(CPU) as memory:
        for _ in range(3):
            taken = torch.ones(8 << 20)
            del taken
    assert memory.bytes is not None
    assert 0.9 * (32 << 20) <= memory.bytes <= 1.5 * (32 << 20)


def test_of_long_epochs_a_part_is_trained_and_its_time_scaled(
    make_data: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_data()
    train = data.train.chosen(torch.arange(len(data.train)).repeat(40).numpy())
    seen: list[int] = []
    timed = cost._epoch

    def watched(cohort: Advancing, device: torch.device) -> float:
        seen.append(len(cohort.members[0].data.train))
        timed(cohort, device)
        return 1.0

    monkeypatch.setattr(cost, "_epoch", watched)
    config = small_config("rnn", "tanh").model_copy(update={"batch_size": 4})
    (found,) = training_costs([config], replace(data, train=train), CPU, [10.0])
    assert found
    part = seen[0]
    assert cost.MIN_BATCHES * config.batch_size <= part < len(train)
    assert found.epoch_seconds == pytest.approx(len(train) / part)
    assert found.epoch_seconds > 1


def test_what_does_not_fit_into_memory_has_no_cost(
    make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cost._cohort

    def too_large(config: TrialConfig, *rest: object) -> Advancing:
        if config.hidden_size > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return made(config, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cost, "_cohort", too_large)
    small, large = training_costs([wide(8), wide(128)], make_data(), CPU, [0.0, 0.0])
    assert small is not None and large is None
