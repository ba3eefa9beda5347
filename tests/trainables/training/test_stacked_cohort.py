"""Members of a cohort on a GPU train as they do alone, and as the CPU trains them."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from interpreted import needs_interpreter
from small_trainings import points, small_config

from spaces.config import TrialConfig
from spaces.kinds import TaskKind
from trainables.data.redealing import Split, redeal
from trainables.data.scaling import standardised
from trainables.data.sequences import Data
from trainables.training import stacked_cohort
from trainables.training.cohort import cohort_of
from trainables.training.stacked_cohort import StackedCohort
from trainables.training.stacked_step import WARM_UP
from trainables.training.trainer import Training

pytestmark = needs_interpreter

MakeData = Callable[..., Data]
#: Two batches an epoch, the last one not full.
TINY = {"count": 8, "longest": 4, "shortest": 1}
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
#: What a configuration may have that a batch's step sees.
OPTIONS: dict[str, dict[str, Any]] = {
    "class weights": {"class_weights": "balanced"},
    "lstm": {"cell": "lstm", "gates": "standard"},
    "two layers in both directions": {"depth": 2, "bidirectional": True},
    "residual": {"residual": True, "depth": 2},
    "square, with an input projection": {"cell": "gru", "gates": "mut1"},
    "batch norm": {"cell": "gru", "gates": "light", "bidirectional": True},
    "projected": {"cell": "lstm", "gates": "projected"},
    "window": {"cell": "linear", "gates": "qrnn", "bidirectional": True},
    "sgd": {"optimizer": "sgd"},
    "rmsprop": {"optimizer": "rmsprop", "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "no clipping": {"gradient_clip": None},
    "a schedule": {"schedule": "step", "decay_after": 1, "decay_factor": 0.1},
}


def config(**changes: Any) -> TrialConfig:
    fields = {"depth": 1, "dropout": 0.0, "max_epochs": 2, "batch_size": 5}
    return small_config(**{**fields, **changes})


def close(one: Training, other: Training, tolerance: float = 1e-4) -> None:
    """Check that two trainings have the same curve within rounding."""
    assert one.epoch == other.epoch
    for (_, loss, metrics), (_, other_loss, others) in zip(points(one), points(other), strict=True):
        assert loss == pytest.approx(other_loss, rel=tolerance, abs=tolerance)
        assert metrics == pytest.approx(others, rel=tolerance, abs=tolerance)


def test_standardised_targets_count_in_the_units_of_the_data(make_data: MakeData) -> None:
    data = standardised(make_data("regression", **TINY))
    assert data.unit(data.train) != 1
    alone, stacked = (Training(config(), data, seed=3) for _ in range(2))
    alone.advance(2)
    cohort_of([stacked]).advance(2)
    close(stacked, alone)
    assert stacked.curve[0].metrics["mse"] != stacked.curve[0].metrics["loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cohort_of_one_trains_as_the_cpu_does(kind: TaskKind, make_data: MakeData) -> None:
    data = make_data(kind, **TINY)
    alone, stacked = (Training(config(), data, seed=3) for _ in range(2))
    alone.advance(2)
    cohort_of([stacked]).advance(2)
    close(stacked, alone)
    assert stacked.path == "generated/cpu/float32"


@pytest.mark.parametrize(("kind", "metric"), [("tagging", "auroc"), ("regression", "mae")])
def test_metrics_of_whole_parts_are_those_of_the_cpu(
    kind: TaskKind, metric: str, make_data: MakeData
) -> None:
    data = make_data(kind, metric=metric, **TINY)
    alone, stacked = (Training(config(), data, seed=3) for _ in range(2))
    alone.advance(1)
    cohort_of([stacked]).advance(1)
    close(stacked, alone)
    assert metric in stacked.curve[0].metrics


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_every_option_trains_as_the_cpu_does(changes: dict[str, Any], make_data: MakeData) -> None:
    data = make_data(**TINY)
    alone, stacked = (Training(config(**changes), data, seed=3) for _ in range(2))
    alone.advance(2)
    cohort_of([stacked]).advance(2)
    close(stacked, alone)


#: Where masks of dropout and weight drop are drawn.
NOISY: dict[str, tuple[TaskKind, dict[str, Any]]] = {
    "two layers": ("regression", {"depth": 2}),
    "both directions": ("classification", {"bidirectional": True}),
    "symbols": ("next-token", {"cell": "lstm", "gates": "standard"}),
    "zoneout": ("next-step", {"zoneout": 0.1}),
}


@pytest.mark.parametrize(("kind", "shape"), NOISY.values(), ids=NOISY)
def test_members_differ_in_all_that_is_their_own(
    kind: TaskKind, shape: dict[str, Any], make_data: MakeData
) -> None:
    data = make_data(kind, **TINY)
    configs = [
        config(learning_rate=0.01, dropout=0.3, weight_drop=0.2, **shape),
        config(learning_rate=0.05, optimizer="sgd", weight_drop=0.4, **shape),
        config(learning_rate=0.002, optimizer="rmsprop", gradient_clip=0.1, **shape),
    ]
    together = [Training(one, data, seed=seed) for seed, one in enumerate(configs)]
    cohort_of(together).advance(2)
    for seed, one in enumerate(configs):
        alone = Training(one, data, seed=seed)
        cohort_of([alone]).advance(2)
        close(together[seed], alone, 1e-5)


def test_a_member_that_diverges_or_ends_changes_no_other(make_data: MakeData) -> None:
    data = make_data("regression", **TINY)  # a large error squared is infinite
    configs = [
        config(max_epochs=3),
        config(learning_rate=1e38, optimizer="sgd", gradient_clip=None),
    ]
    configs += [config(max_epochs=1)]
    members = [Training(one, data, seed=1) for one in configs]
    cohort_of(members).advance(3)
    alone = Training(configs[0], data, seed=1)
    cohort_of([alone]).advance(3)
    assert [member.epoch for member in members] == [3, members[1].epoch, 1]
    assert members[1].diverged and members[1].epoch < 3
    close(members[0], alone, 1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_member_goes_on_from_its_checkpoint_in_another_cohort(
    optimizer: str, make_data: MakeData, tmp_path: Any
) -> None:
    data, one = make_data(**TINY), config(optimizer=optimizer, dropout=0.2)
    whole, first = (Training(one, data, seed=2) for _ in range(2))
    cohort_of([whole]).advance(2)
    cohort_of([first, Training(one, data, seed=9)]).advance(1)
    first.save(tmp_path / "saved")
    again = Training.restore(tmp_path / "saved", one, data, seed=2)
    cohort_of([again]).advance(2)
    close(again, whole, 1e-5)


def test_an_epochs_seconds_are_a_share_of_what_all_trainings_on_the_device_took(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = itertools.count(step=12.0)
    clock = SimpleNamespace(perf_counter=lambda: next(readings))
    members = [Training(config(), make_data(**TINY), seed=seed) for seed in range(2)]
    cohort = cohort_of(members)
    cohort.beside = 4
    monkeypatch.setattr(stacked_cohort, "time", clock)
    for _ in cohort.epoch():
        pass
    assert [member.curve[0].seconds for member in members] == [2.0, 2.0]


def test_the_best_epochs_weights_are_evaluated(make_data: MakeData) -> None:
    data = make_data(**TINY)
    members = [Training(config(), data, seed=seed) for seed in range(2)]
    cohort = cohort_of(members)
    cohort.advance(2)
    found = cohort.evaluate("test")
    for member, metrics in zip(members, found, strict=True):
        assert metrics == pytest.approx(member.evaluate("test"), rel=1e-5, abs=1e-6)
    wanted = pytest.approx(members[1].evaluate("train"), rel=1e-5, abs=1e-6)
    assert cohort.evaluate("train", [1]) == [None, wanted], "one member alone, as asked for"


def test_among_equally_good_epochs_that_of_least_validation_loss_is_kept(
    make_data: MakeData,
) -> None:
    member = Training(config(learning_rate=3e-4, max_epochs=3), make_data(**TINY), seed=2)
    cohort = cohort_of([member])
    cohort.advance(3)
    assert len({point.value for point in member.curve}) == 1
    assert member.best == min(member.curve, key=lambda point: point.loss) != member.curve[0]
    (found,) = cohort.evaluate("validation")
    assert found == pytest.approx(member.best.metrics, rel=1e-5, abs=1e-6)


def test_before_a_step_is_captured_it_runs_on_its_own_batch_and_changes_nothing(
    make_data: MakeData,
) -> None:
    """Another batch may have longer sequences than the step is padded to."""
    members = [Training(config(dropout=0.2), make_data(**TINY), seed=seed) for seed in (1, 2)]
    cohort = cohort_of(members)
    assert isinstance(cohort, StackedCohort)
    cohort.advance(1)
    _, step = cohort._step([0, 1])
    step._batch.fill_(1)
    weights, seen = step.weights.clone(), list[int]()

    def run() -> None:
        seen.append(int(step._batch))
        step._run(TINY["longest"])

    step.warm_up(run)
    assert seen == [1] * WARM_UP and int(step._batch) == 1
    assert torch.equal(step.weights, weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["splits", "nested", "draws", "other sizes"])
def test_members_on_splits_of_their_own_train_as_alone(
    by: str, kind: TaskKind, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few steps at a time: evaluations of other splits fall into other batches.
    monkeypatch.setattr(stacked_cohort, "EVALUATION_STEPS", 24)
    loaded = make_data(kind, **TINY)
    if by == "draws":
        splits = [make_data(kind, **TINY | {"longest": longest}) for longest in (4, 3)]
    elif by == "other sizes":
        splits = [make_data(kind, **TINY | {"count": count}) for count in (8, 11)]
    else:
        given = standardised(loaded)
        splits = [redeal(given, Split(by, seed)) for seed in range(2)]
    data = [*splits, splits[0]]
    together = cohort_of([Training(config(), each, seed=seed) for seed, each in enumerate(data)])
    assert isinstance(together, StackedCohort)
    together.advance(2)
    tests = together.evaluate("test")
    for seed, (each, member) in enumerate(zip(data, together.members, strict=True)):
        alone = Training(config(), each, seed=seed)
        alone.advance(2)
        close(member, alone)
        assert tests[seed] == pytest.approx(alone.evaluate("test"), rel=1e-4, abs=1e-4)
