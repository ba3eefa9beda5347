"""Schedules of the learning rate and patience follow from the configuration and the curve alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import points, small_config
from torch.optim import lr_scheduler

from spaces.config import TrialConfig
from spaces.kinds import Metric
from trainables.checkpoints.base import CheckpointError
from trainables.training.cohort import Cohort
from trainables.training.curve import Epoch
from trainables.training.schedule import Schedule, stops_early
from trainables.training.trainer import Training

ERROR = Metric("mse", "minimize")
#: Better, the same, worse and better again, with plateaus of several lengths.
VALUES = [5.0, 4.0, 4.0, 4.5, 4.1, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.9]

SCHEDULES: dict[str, dict[str, Any]] = {
    "cosine": {"schedule": "cosine", "max_epochs": 4},
    "cosine after a warm-up": {"schedule": "cosine", "warm_up": 1, "max_epochs": 4},
    "step": {"schedule": "step", "decay_after": 1, "decay_factor": 0.5},
    "plateau": {"schedule": "plateau", "decay_after": 1, "decay_factor": 0.1},
    "warm-up": {"warm_up": 3},
    "patience": {"schedule": "plateau", "decay_after": 1, "patience": 2},
}
by_schedule = pytest.mark.parametrize("changes", SCHEDULES.values(), ids=SCHEDULES)


def rates(config: TrialConfig, values: list[float]) -> list[float]:
    """Return the rates of the first epochs, and of the one after them."""
    schedule = Schedule(config, ERROR)
    found = [schedule.rate]
    for epoch, value in enumerate(values, 1):
        schedule.observe(Epoch(epoch, 0.0, value, 0.0, metrics={"loss": value}))
        found.append(schedule.rate)
    return found


def theirs(make: Any) -> list[float]:
    """Return the same from one of torch's schedulers."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
    scheduler = make(optimizer)
    found = [optimizer.param_groups[0]["lr"]]
    for value in VALUES:
        optimizer.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(value)
        else:
            scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


TORCH: dict[str, Any] = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=18),
    "step": lambda o: lr_scheduler.StepLR(o, step_size=5, gamma=0.3),
    # Theirs decays once more than `patience` epochs were not better.
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.3, patience=4, threshold=0.0),
}


@pytest.mark.parametrize("name", TORCH)
def test_schedules_are_those_of_torch(name: str) -> None:
    config = small_config(schedule=name, max_epochs=18)
    assert rates(config, VALUES) == pytest.approx(theirs(TORCH[name]), rel=1e-9, abs=1e-12)


def test_a_constant_rate_is_the_configuration_s_to_the_bit() -> None:
    assert set(rates(small_config(), VALUES)) == {0.02}


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "plateau"])
def test_a_warm_up_rises_to_the_rate_and_the_schedule_follows(name: str) -> None:
    config = small_config(schedule=name, warm_up=3, max_epochs=21)
    found = rates(config, [9.0, 8.0, 7.0, *VALUES])
    assert found[:3] == pytest.approx([0.005, 0.01, 0.015])
    alone = rates(config.model_copy(update={"warm_up": 0, "max_epochs": 18}), VALUES)
    assert found[3:] == pytest.approx(alone)


def test_no_rate_falls_to_nothing_before_the_last_epoch() -> None:
    found = rates(small_config(schedule="cosine", max_epochs=5), [1.0] * 4)
    assert min(found) > 0


@pytest.mark.parametrize(
    ("changes", "epoch", "best", "stops"),
    [
        ({}, 30, 1, False),
        ({"patience": 3}, 4, 1, True),
        ({"patience": 3}, 3, 1, False),
        ({"patience": 3, "warm_up": 2}, 4, 1, False),
        ({"patience": 3, "warm_up": 2}, 5, 1, True),
        ({"patience": 3, "max_epochs": 4}, 4, 1, False),
    ],
)
def test_patience_ends_what_is_no_better_before_its_last_epoch(
    changes: dict[str, Any], epoch: int, best: int, stops: bool
) -> None:
    assert stops_early(small_config(**changes), epoch, best) is stops


@by_schedule
def test_what_is_stopped_and_restored_has_the_same_rates(
    changes: dict[str, Any], make_data: Any, tmp_path: Path
) -> None:
    config, data = small_config(**{"max_epochs": 6, **changes}), make_data()
    whole = Training(config, data, seed=3)
    whole.advance(6)
    rest = Training(config, data, seed=3)
    while not rest.ended:  # cut after every epoch
        rest.advance(rest.epoch + 1)
        rest.save(tmp_path / str(rest.epoch))
        rest = Training.restore(tmp_path / str(rest.epoch), config, data, seed=3)
    assert points(rest) == points(whole)
    assert rest.evaluate("test") == whole.evaluate("test")


@by_schedule
def test_every_schedule_changes_what_is_learned(changes: dict[str, Any], make_data: Any) -> None:
    data, epochs = make_data(), changes.get("max_epochs", 12)
    constant, other = (
        Training(small_config(max_epochs=epochs, **more), data, seed=3)
        for more in ({}, {key: value for key, value in changes.items() if key != "max_epochs"})
    )
    constant.advance(epochs)
    other.advance(epochs)
    assert points(constant) != points(other)


def test_members_of_a_cohort_have_schedules_and_patience_of_their_own(make_data: Any) -> None:
    data = make_data()
    configs = [small_config(**{"max_epochs": 8, **changes}) for changes in SCHEDULES.values()]
    still = small_config(max_epochs=8, learning_rate=1e-12, patience=2)
    configs = [still, *configs]
    together = Cohort([Training(config, data, seed=3) for config in configs])
    assert together.batched
    together.advance(8)
    for config, member in zip(configs, together.members, strict=True):
        alone = Training(config, data, seed=3)
        alone.advance(8)
        assert points(member) == points(alone)
        assert torch.equal(member.weights, alone.weights)
        assert member.ended
    lengths = [member.epoch for member in together.members]
    assert lengths[0] < lengths[3] == 8


def test_a_training_that_stopped_early_keeps_its_best_weights_alone(
    make_data: Any, tmp_path: Path
) -> None:
    config, data = small_config(patience=2, learning_rate=1e-12), make_data()
    training = Training(config, data, seed=3)
    training.advance(40)
    assert training.ended and training.best is not None
    assert training.epoch == training.best.epoch + 2 < 40
    training.save(tmp_path / "checkpoint")
    again = Training.restore(tmp_path / "checkpoint", config, data, seed=3)
    assert again.ended
    assert again.advance(40) == []
    assert again.evaluate("test") == training.evaluate("test")


def test_a_cosine_goes_on_only_to_the_end_that_it_had(make_data: Any, tmp_path: Path) -> None:
    """Where the rate depends on max_epochs, its epochs so far would have been others."""
    data, config = make_data(), small_config(schedule="cosine")
    Training(config, data, seed=0).save(tmp_path / "checkpoint")
    longer = config.model_copy(update={"max_epochs": 41})
    with pytest.raises(CheckpointError, match="another config"):
        Training.restore(tmp_path / "checkpoint", longer, data, seed=0)
