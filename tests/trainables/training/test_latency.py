"""Latency: of a typical sequence, alone, and without an effect on the training that follows."""

from typing import Any

import pytest
import torch
from small_trainings import small_config

from trainables.data.sequences import Data, Sequences
from trainables.layers.model import Model
from trainables.training import latency
from trainables.training.latency import latency_ms, medians_ms, typical_sequence
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


class Timed:
    """Passes whose seconds are made up; which came when."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.passes: list[tuple[str, int]] = []
        self._refuses = refuses

    def __call__(self, model: str, x: torch.Tensor) -> float:
        batch = x.shape[1]
        if self._refuses is not None and (model, batch) == ("large", 64):
            raise self._refuses
        self.passes.append((model, batch))
        return {"small": 1.0, "large": 2.0}[model] * batch + len(self.passes) / 1000


@pytest.fixture
def three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)


def test_models_take_turns_and_every_other_round_goes_the_other_way(
    make_data: Any, monkeypatch: pytest.MonkeyPatch, three_rounds: None
) -> None:
    timed = Timed()
    monkeypatch.setattr(latency, "_pass", timed)
    small, large = medians_ms(["small", "large"], make_data().train, (1, 64))  # type: ignore[list-item]
    turns = [("small", 1), ("small", 64), ("large", 1), ("large", 64)]
    in_turn = [*turns, *reversed(turns), *turns]
    assert timed.passes == [*turns, *(turn for turn in in_turn for _ in range(2))]
    # Medians are those of the second round: each first pass was untimed, and so was the first try.
    of_second = {turn: 12 + 2 * (3 - turns.index(turn)) + 2 for turn in turns}
    for name, found in (("small", small), ("large", large)):
        for batch in (1, 64):
            seconds = {"small": 1.0, "large": 2.0}[name] * batch
            assert found[batch] == pytest.approx(1000 * seconds + of_second[name, batch])


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("can't allocate memory"), torch.OutOfMemoryError("out of memory")],
)
def test_what_memory_does_not_hold_has_no_figure(
    make_data: Any, monkeypatch: pytest.MonkeyPatch, three_rounds: None, error: Exception
) -> None:
    monkeypatch.setattr(latency, "_pass", Timed(refuses=error))
    small, large = medians_ms(["small", "large"], make_data().train, (1, 64))  # type: ignore[list-item]
    assert (small.keys(), large.keys()) == ({1, 64}, {1})


def test_another_error_of_a_pass_is_raised(
    make_data: Any, monkeypatch: pytest.MonkeyPatch, three_rounds: None
) -> None:
    monkeypatch.setattr(latency, "_pass", Timed(refuses=RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        medians_ms(["small", "large"], make_data().train, (1, 64))  # type: ignore[list-item]


@pytest.mark.parametrize(("cell", "gates"), CELLS)
@pytest.mark.parametrize("kind", ["classification", "next-token"])
def test_real_models_are_measured_at_both_sizes(
    make_data: Any, three_rounds: None, cell: str, gates: str, kind: str
) -> None:
    data = make_data(kind)
    (found,) = medians_ms([Model(small_config(cell, gates), data.info)], data.train, (1, 64))
    assert found.keys() == {1, 64} and min(found.values()) > 0


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
