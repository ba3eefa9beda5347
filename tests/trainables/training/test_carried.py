"""Texts read with a carried state: scored as in one pass, trained as the definition says."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import points, small_config
from torch import nn
from torch.nn import functional

from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.cells import VARIANTS
from trainables.data.sequences import Data
from trainables.data.splits import windows
from trainables.training import carried
from trainables.training.cohort import can_batch, cohort_of
from trainables.training.trainer import Training

SYMBOLS, STEPS = 5, 131


def text_data(window: int = 10) -> Data:
    """Return parts of one text, cut into windows."""
    series = np.random.default_rng(2).integers(SYMBOLS, size=4 * STEPS)
    cut = [2 * STEPS, STEPS, STEPS]
    ends = np.cumsum(cut)
    parts = [
        windows(series[end - size : end], window, window, end - size)
        for size, end in zip(cut, ends.tolist(), strict=True)
    ]
    metric = METRICS["next-token"][0]
    info = TaskInfo("text", "next-token", SYMBOLS, SYMBOLS, window + 1, metric)
    return Data(info, *parts)


def one_pass(training: Training) -> float:
    """Return bits a symbol of the validation part in one pass of the model over all of it."""
    data = training.data
    part = np.concatenate(
        [
            data.validation.x[s : s + n - 1]
            for s, n in zip(data.validation.starts, data.validation.lengths, strict=True)
        ]
    )
    x = torch.from_numpy(np.append(part, data.validation.x[-1]))
    with training.at_best(), torch.inference_mode():
        outputs = training.model.eval()(x[:-1, None], torch.tensor([len(x) - 1]))
    return float(functional.cross_entropy(outputs[:, 0], x[1:])) / math.log(2)


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_bits_of_a_text_are_those_of_one_pass_however_it_is_cut(
    variant: tuple[str, str], monkeypatch: Any
) -> None:
    config = small_config(*variant, carry_state="evaluation", dropout=0.0)
    training = Training(config, text_data(), seed=1)
    training.advance(1)
    expected = one_pass(training)
    for window, steps in ((10, 4096), (10, 7), (33, 50)):
        monkeypatch.setattr(carried, "SCORED_STEPS", steps)
        part = text_data(window).validation
        with training.at_best():
            found = carried.evaluate(training.model, training.data, part)
        assert found["bits-per-token"] == pytest.approx(expected, rel=1e-6, abs=2e-6)


def test_every_target_of_a_text_is_scored_once_for_its_own_window() -> None:
    data = text_data()
    training = Training(small_config(carry_state="always", truncation=4), data, seed=0)
    training.advance(2)
    metrics, examples = training.evaluate_examples("test")
    assert examples.count.tolist() == (data.test.lengths - 1).tolist()
    again = examples.metrics("next-token", "bits-per-token")
    assert again == {name: pytest.approx(value, rel=1e-6) for name, value in metrics.items()}


@pytest.mark.parametrize("depth", [1, 2])
def test_truncated_training_is_that_of_torchs_own_lstm(depth: int) -> None:
    """Three epochs of plain SGD, with streams and windows cut by hand."""
    streams, steps, rate = 4, 6, 0.5
    config = small_config("lstm", "standard", carry_state="always", truncation=steps, depth=depth)
    config = config.model_copy(
        update={"batch_size": streams, "optimizer": "sgd", "learning_rate": rate, "dropout": 0.0}
    )
    data = text_data()
    training = Training(config, data, seed=3)
    lstm, readout = nn.LSTM(SYMBOLS, config.hidden_size, depth), training.model.readout
    theirs = nn.Linear(config.hidden_size, SYMBOLS)
    with torch.no_grad():
        for at, layer in enumerate(training.model.layers):
            named = dict(layer.forwards.named_parameters())  # type: ignore[union-attr,operator]
            getattr(lstm, f"weight_ih_l{at}").copy_(named["W"])
            getattr(lstm, f"weight_hh_l{at}").copy_(named["R"])
            getattr(lstm, f"bias_ih_l{at}").copy_(named["b"])
            bias = getattr(lstm, f"bias_hh_l{at}")
            bias.zero_().requires_grad_(False)
        theirs.load_state_dict(readout.state_dict())
    parameters = [p for p in [*lstm.parameters(), *theirs.parameters()] if p.requires_grad]
    x = data.train.x
    text = torch.from_numpy(
        np.concatenate(
            [x[s : s + n - 1] for s, n in zip(data.train.starts, data.train.lengths, strict=True)]
            + [x[-1:]]
        )
    )
    number = len(text) - 1
    bounds = [k * number // streams for k in range(streams + 1)]
    expected = []
    for _ in range(3):
        state: Any = [None] * streams
        total = 0.0
        for begin in range(0, -(-number // streams), steps):
            losses = []
            for s in range(streams):
                first, end = bounds[s] + begin, min(bounds[s] + begin + steps, bounds[s + 1])
                if first >= end:
                    continue
                given = functional.one_hot(text[first:end], SYMBOLS).float()
                y, state[s] = lstm(given, state[s])
                state[s] = tuple(part.detach() for part in state[s])
                wanted = text[first + 1 : end + 1]
                losses.append(
                    (functional.cross_entropy(theirs(y), wanted, reduction="sum"), len(y))
                )
            loss, count = sum(each for each, _ in losses), sum(each for _, each in losses)
            gradients = torch.autograd.grad(loss / count, parameters)
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            factor = min(1.0, float(config.gradient_clip / norm))  # type: ignore[operator]
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(rate * factor * gradient)
            total += float(loss.detach())
        expected.append(total / number)
    training.advance(3)
    assert [point.train_loss for point in training.curve] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(
    "variant", [("lstm", "standard"), ("gru", "light"), ("linear", "qrnn")], ids="-".join
)
def test_stopped_and_restored_is_never_stopped(variant: tuple[str, str], tmp_path: Path) -> None:
    config, data = small_config(*variant, carry_state="always", truncation=5), text_data()
    whole = Training(config, data, seed=3)
    whole.advance(4)
    half = Training(config, data, seed=3)
    half.advance(2)
    half.save(tmp_path / "checkpoint")
    rest = Training.restore(tmp_path / "checkpoint", config, data, seed=3)
    rest.advance(4)
    assert points(rest) == points(whole) and torch.equal(rest.weights, whole.weights)


def test_members_of_a_cohort_are_trained_as_they_are_alone() -> None:
    data = text_data()
    configs = [small_config(carry_state="always", learning_rate=rate) for rate in (0.01, 0.02)]
    assert not can_batch(configs[0])
    alone = [Training(config, data, seed=n) for n, config in enumerate(configs)]
    members = [Training(config, data, seed=n) for n, config in enumerate(configs)]
    cohort = cohort_of(members)
    cohort.advance(3)
    for one, member in zip(alone, members, strict=True):
        one.advance(3)
        assert points(one) == points(member)
    assert cohort.evaluate("test") == [one.evaluate("test") for one in alone]


def test_a_truncation_is_the_tasks_window_where_none_is_given() -> None:
    data = text_data(10)
    windows_of = carried.trained_streams(small_config(carry_state="always"), data)
    assert windows_of is not None and {len(seen.batch.x) for seen in windows_of} <= set(range(11))
    assert max(len(seen.batch.x) for seen in windows_of) == 10
    assert carried.trained_streams(small_config(carry_state="evaluation"), data) is None
