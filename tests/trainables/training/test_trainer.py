"""What training promises: the same again wherever it was cut, and an end when it diverges."""

import json
import math
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from small_trainings import points, small_config

from spaces.config import TrialConfig
from spaces.kinds import METRICS, TaskKind
from trainables.cells import VARIANTS
from trainables.checkpoints.base import CheckpointError
from trainables.checkpoints.format import read_checkpoint
from trainables.data.sequences import Data
from trainables.training.trainer import Training

KINDS: tuple[TaskKind, ...] = get_args(TaskKind)


CELL_CONFIGS = [small_config(*variant) for variant in VARIANTS] + [
    small_config("transformer", "encoder")
]
CONFIGS = CELL_CONFIGS + [
    small_config(optimizer=optimizer, weight_decay=decay)
    for optimizer in ("adam", "adamw", "sgd", "rmsprop")
    for decay in (0.0, 0.01)
]
CONFIGS += [
    small_config(*cell, weight_drop=0.4, zoneout=0.2, bidirectional=both)
    for cell in (("lstm", "peephole"), ("gru", "light"), ("linear", "mingru"))
    for both in (False, True)
]


#: What test names leave out.
NAMELESS = ("cell", "gates", "depth", "hidden_size", "learning_rate", "batch_size", "max_epochs")


def name(config: TrialConfig) -> str:
    changed = config.model_dump(exclude_defaults=True, exclude=set(NAMELESS))
    return "-".join(map(str, (config.cell, config.gates, *changed.values())))


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_stopped_and_restored_is_never_stopped(
    config: TrialConfig, make_data: Any, tmp_path: Path
) -> None:
    data = make_data()
    whole = Training(config, data, seed=3)
    whole.advance(4)
    half = Training(config, data, seed=3)
    half.advance(2)
    half.save(tmp_path / "checkpoint")
    rest = Training.restore(tmp_path / "checkpoint", config, data, seed=3)
    assert rest.epoch == 2
    assert [point.epoch for point in rest.advance(4)] == [3, 4]
    assert points(rest) == points(whole)
    assert torch.equal(rest.weights, whole.weights)
    assert rest.evaluate("test") == whole.evaluate("test")
    assert rest.best is not None
    assert whole.best is not None
    assert rest.best.epoch == whole.best.epoch


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_what_has_ended_keeps_its_best_weights_alone(
    config: TrialConfig, make_data: Any, tmp_path: Path
) -> None:
    data = make_data()
    whole = Training(config, data, seed=3)
    whole.advance(config.max_epochs)
    whole.save(tmp_path / "checkpoint")
    tensors, _ = read_checkpoint(tmp_path / "checkpoint")
    weights = sum(tensor.nbytes for name, tensor in tensors.items() if "buffer" not in name)
    assert weights == 4 * whole.parameters
    again = Training.restore(tmp_path / "checkpoint", config, data, seed=3)
    assert again.ended
    assert points(again) == points(whole)
    assert again.evaluate("test") == whole.evaluate("test")
    longer = config.model_copy(update={"max_epochs": config.max_epochs + 1})
    with pytest.raises(CheckpointError, match="does not fit"):
        Training.restore(tmp_path / "checkpoint", longer, data, seed=3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_run_and_another_does_not(
    kind: TaskKind, make_data: Any
) -> None:
    data = make_data(kind)
    first, again, other = (Training(small_config(), data, seed=seed) for seed in (0, 0, 1))
    for training in (first, again, other):
        training.advance(2)
    assert points(first) == points(again)
    assert torch.equal(first.weights, again.weights)
    assert points(first) != points(other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_reports_all_its_metrics(kind: TaskKind, make_data: Any) -> None:
    training = Training(small_config(), make_data(kind), seed=0)
    (point,) = training.advance(1)
    assert set(point.metrics) == {metric.name for metric in training.data.info.metrics}
    assert point.value == point.metrics[METRICS[kind][0].name]
    assert set(training.evaluate("test")) == set(point.metrics)
    assert point.seconds > 0
    assert point.time > 0
    if kind == "next-token":
        bits = point.metrics["bits-per-token"]
        assert bits == pytest.approx(point.metrics["loss"] / math.log(2))


@pytest.mark.parametrize(
    ("kind", "metric", "limit"),
    [("classification", "loss", 0.2), ("regression", "loss", 0.1), ("next-token", "loss", 0.2)],
)
@pytest.mark.parametrize("gates", ["lstm-standard", "gru-reset-after", "rnn-tanh"])
def test_something_is_learned(
    kind: TaskKind, metric: str, limit: float, gates: str, make_data: Any
) -> None:
    cell, _, gates = gates.partition("-")
    data = make_data(kind, count=64, longest=5)
    chosen = small_config(cell, gates, dropout=0.0, depth=1, hidden_size=16, learning_rate=0.03)
    training = Training(chosen, data, seed=0)
    training.advance(40)
    assert training.best is not None
    first = training.curve[0].metrics[metric]
    assert min(point.metrics[metric] for point in training.curve) < min(limit, first / 2)


def test_a_batch_larger_than_the_data_is_all_of_it(make_data: Any) -> None:
    training = Training(small_config(batch_size=1000), make_data(), seed=0)
    assert len(training.advance(2)) == 2


def test_advance_stops_at_the_last_epoch_and_when_time_is_up(make_data: Any) -> None:
    training = Training(small_config(max_epochs=3), make_data(), seed=0)
    assert len(training.advance(100, seconds=0.0)) == 1
    assert len(training.advance(100)) == 2
    assert training.advance(100) == []
    assert training.epoch == 3


def test_the_best_epoch_follows_the_metric_s_direction(make_data: Any) -> None:
    for kind, choose in (("classification", max), ("regression", min)):
        training = Training(small_config(learning_rate=0.05), make_data(kind), seed=0)
        training.advance(6)
        assert training.best is not None
        assert training.best.value == choose(point.value for point in training.curve)


def test_evaluate_uses_the_best_epoch_s_weights_and_training_goes_on_from_the_last(
    make_data: Any,
) -> None:
    data = make_data("regression")
    chosen = small_config(dropout=0.0, learning_rate=0.1)
    training, undisturbed = Training(chosen, data, seed=0), Training(chosen, data, seed=0)
    training.advance(8)
    assert training.best is not None
    assert training.evaluate("validation") == training.best.metrics
    training.advance(10)
    undisturbed.advance(10)
    assert points(training) == points(undisturbed)


def test_the_best_model_is_a_copy_that_gives_the_best_value(make_data: Any) -> None:
    data: Data = make_data("regression")
    training = Training(small_config(), data, seed=0)
    training.advance(3)
    model = training.best_model()
    assert training.best is not None
    errors = []
    split = data.validation
    assert split.y is not None
    for start, length, y in zip(split.starts, split.lengths, split.y, strict=True):
        x_TBI = torch.tensor(split.x[start : start + length]).unsqueeze(1)
        with torch.no_grad():
            errors.append(float((model(x_TBI, torch.tensor([length]))[0, 0] - y) ** 2))
    assert np.mean(errors) == pytest.approx(training.best.value, rel=1e-5)


def test_a_diverged_run_ends_at_once_and_keeps_its_best(make_data: Any, tmp_path: Path) -> None:
    chosen = small_config("rnn", "relu", optimizer="sgd", gradient_clip=None, learning_rate=1e12)
    data = make_data("regression")
    training = Training(chosen, data, seed=0)
    points = training.advance(40)
    assert training.diverged
    assert all(math.isfinite(point.value) for point in points)
    assert training.advance(40) == []
    training.save(tmp_path / "checkpoint")
    restored = Training.restore(tmp_path / "checkpoint", chosen, data, seed=0)
    assert restored.diverged
    assert restored.advance(40) == []


def test_one_batch_that_is_not_a_number_is_divergence(make_data: Any) -> None:
    data: Data = make_data()
    x = data.train.x.copy()
    x[17] = np.nan
    poisoned = Data(
        data.info, type(data.train)(x, data.train.lengths, data.train.y), *[data.test] * 2
    )
    training = Training(small_config(), poisoned, seed=0)
    assert training.advance(5) == []
    assert training.diverged
    assert training.epoch == 0
    with pytest.raises(ValueError, match="no epoch was finished"):
        training.evaluate("test")


def test_no_warning_and_no_write_reaches_shared_read_only_data(make_data: Any) -> None:
    data = make_data("next-token")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Training(small_config(), data, seed=0).advance(1)
    assert not data.train.x.flags.writeable


def test_training_leaves_the_global_generators_alone(make_data: Any) -> None:
    before = torch.get_rng_state()
    Training(small_config(), make_data(), seed=0).advance(1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_checkpoint_of_another_trial_is_refused(make_data: Any, tmp_path: Path) -> None:
    data = make_data()
    folder = tmp_path / "checkpoint"
    Training(small_config(), data, seed=0).save(folder)
    Training.restore(folder, small_config(max_epochs=99), data, seed=0)
    with pytest.raises(CheckpointError, match="another config"):
        Training.restore(folder, small_config(hidden_size=9), data, seed=0)
    with pytest.raises(CheckpointError, match="another seed"):
        Training.restore(folder, small_config(), data, seed=1)
    with pytest.raises(CheckpointError, match="another data"):
        Training.restore(folder, small_config(), make_data(count=9), seed=0)


def test_a_checkpoint_of_an_earlier_version_is_continued(make_data: Any, tmp_path: Path) -> None:
    """It was written before some settings were there, and so with their defaults."""
    data, folder = make_data(), tmp_path / "checkpoint"
    whole = Training(small_config(), data, seed=0)
    whole.advance(1)
    whole.save(folder)
    path = folder / "state.json"
    state = json.loads(path.read_text())
    for name in ("forget_bias", "recurrent_init", "weight_drop", "zoneout"):
        del state["config"][name]
    path.write_text(json.dumps(state))
    assert points(Training.restore(folder, small_config(), data, seed=0)) == points(whole)


def test_among_equally_good_epochs_the_one_of_least_validation_loss_is_the_best(
    make_data: Any,
) -> None:
    """The data have 24 validation sequences: accuracies tie."""
    training = Training(small_config(dropout=0.0), make_data(), seed=0)
    training.advance(30)
    top = max(point.value for point in training.curve)
    tied = [point for point in training.curve if point.value == top]
    assert len(tied) > 1
    assert training.best == min(tied, key=lambda point: point.metrics["loss"]) != tied[0]
    with training.at_best():
        assert training._evaluate(training.data.validation) == training.best.metrics


def record(training: Training, accuracy: float, loss: float) -> None:
    """Add an epoch of these figures, with weights that tell which one it was."""
    training.weights.fill_(training.epoch + 1)
    training.record_epoch(0.5, {"accuracy": accuracy, "loss": loss}, 0.1)


def test_among_epochs_of_equal_value_and_loss_the_first_is_the_best(make_data: Any) -> None:
    training = Training(small_config(), make_data(), seed=0)
    for _ in range(3):
        record(training, 0.9, 0.4)
    assert training.best == training.curve[0]


@pytest.mark.parametrize("known", [True, False], ids=["with losses", "without losses"])
def test_a_checkpoint_whose_best_epoch_is_the_first_of_a_tie_keeps_it_until_a_better_one(
    known: bool, make_data: Any, tmp_path: Path
) -> None:
    """So versions before wrote it: they kept no weights of the other epochs."""
    training = Training(small_config(), make_data(), seed=0)
    record(training, 0.9, 0.4)
    training.save(tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    state["curve"].append({**state["curve"][0], "epoch": 2, "metrics": {"loss": 0.1}})
    for point in state["curve"]:
        point["metrics"] = point["metrics"] if known else {}
    path.write_text(json.dumps({**state, "epoch": 2}))
    again = Training.restore(path.parent, training.config, training.data, seed=0)
    assert again.best == again.curve[0]
    record(again, 0.9, 0.5)
    assert again.best == again.curve[0 if known else 2]
    record(again, 0.9, 0.3)
    assert again.best == again.curve[3]
    assert float(again._best_weights[0]) == 4.0


def test_an_epoch_tells_the_mean_norm_of_its_gradients_before_they_are_clipped(
    make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = make_data(), []

    def norms(gradients: list[torch.Tensor]) -> list[torch.Tensor]:
        found = [gradient.norm() for gradient in gradients]
        seen.extend(norm.item() for norm in found)
        return found

    monkeypatch.setattr("trainables.torch_compat.norms", norms)
    training = Training(small_config(gradient_clip=1e-3), data, seed=3)
    training.advance(2)
    steps = len(seen) // 2
    assert steps > 1 and min(seen) > 1e-3
    told = [point.gradient_norm for point in training.curve]
    assert told == pytest.approx([sum(seen[:steps]) / steps, sum(seen[steps:]) / steps])
