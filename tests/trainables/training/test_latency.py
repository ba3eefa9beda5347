"""Latency: of a typical sequence, alone, and without an effect on the training that follows."""

from typing import Any

import pytest
import torch
from small_trainings import small_config

from trainables.data.sequences import Data, Sequences
from trainables.layers.model import Model
from trainables.training import latency
from trainables.training.latency import latency_ms, typical_sequence
from trainables.training.trainer import Training

CELLS = [("lstm", "standard"), ("gru", "light"), ("transformer", "encoder")]


@pytest.mark.parametrize("kind", ["classification", "regression", "next-token", "next-step"])
def test_the_typical_sequence_is_the_first_of_median_length(make_data: Any, kind: str) -> None:
    train = make_data(kind).train
    median = sorted(train.lengths)[(len(train) - 1) // 2]
    first = list(train.lengths).index(median)
    start = int(train.lengths[:first].sum())
    assert typical_sequence(train)[:, 0].tolist() == train.x[start : start + median].tolist()


class Counted(torch.nn.Module):
    """Counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.passes = 0

    def forward(self, x_TBI: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        assert x_TBI.shape[:2] == (int(lengths_B), 1)
        assert torch.is_inference_mode_enabled() and not self.training
        self.passes += 1
        return x_TBI


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [(1.0, latency.MIN_PASSES), (0.004, 25), (1e-6, latency.MAX_PASSES)],
)
def test_the_shortest_of_many_passes_counts_and_warming_up_does_not(
    make_data: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, passes: int
) -> None:
    """By a clock that this test moves: the first passes are slow, the others take equally long."""
    model, now = Counted(), [0.0]

    def clock() -> float:
        return now[0]

    def forward(x: torch.Tensor, lengths: torch.Tensor) -> None:
        Counted.forward(model, x, lengths)
        now[0] += 9.0 if model.passes <= latency.WARM_UP else seconds

    monkeypatch.setattr("trainables.training.latency.time.perf_counter", clock)
    monkeypatch.setattr(model, "forward", forward)
    train: Sequences = make_data().train
    found = latency_ms(model, train)  # type: ignore[arg-type]
    assert found == pytest.approx(1000 * seconds)
    assert model.passes == latency.WARM_UP + passes


def test_a_far_larger_model_takes_longer(make_data: Any) -> None:
    data: Data = make_data(longest=40)
    small, large = (
        latency_ms(Model(small_config("lstm", "standard", hidden_size=n), data.info), data.train)
        for n in (4, 512)
    )
    assert large > 4 * small > 0


@pytest.mark.parametrize(("cell", "gates"), CELLS)
def test_a_training_is_the_same_whether_it_was_measured_or_not(
    make_data: Any, cell: str, gates: str
) -> None:
    data = make_data()
    weights = []
    for measured in (False, True):
        training = Training(small_config(cell, gates), data, seed=3)
        if measured:
            latency_ms(training.model, data.train)
        training.advance(3)
        weights.append(training.weights.detach().clone())
    assert torch.equal(*weights)
