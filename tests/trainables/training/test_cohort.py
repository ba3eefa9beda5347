"""A cohort: each member is, to the bit, what it would be alone, whoever trains beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from small_trainings import points, small_config

from spaces.config import OWN, SHARED, TrialConfig
from spaces.kinds import TaskKind
from spaces.own_task import OwnData
from trainables import engine as scan_engine
from trainables.cells import VARIANTS
from trainables.data.batches import Batches
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data, Dealing
from trainables.data.tasks import load
from trainables.training import batching
from trainables.training.batching import batching_pays
from trainables.training.cohort import Cohort, can_batch
from trainables.training.trainer import Training

CELLS = [*VARIANTS, ("transformer", "encoder")]

needs_engine = pytest.mark.skipif(
    not scan_engine.available(), reason="the scan engine does not run on this processor"
)


def assert_same(member: Training, alone: Training) -> None:
    assert points(member) == points(alone)
    assert torch.equal(member.weights, alone.weights)
    assert member.diverged == alone.diverged
    assert (member.best and member.best.epoch) == (alone.best and alone.best.epoch)


def assert_each_is_as_alone(configs: list[TrialConfig], data: Data, epochs: int = 2) -> Cohort:
    """Train the configurations with seeds of their own, together and alone, and compare."""
    together = Cohort([Training(c, data, seed=seed) for seed, c in enumerate(configs)])
    found = together.advance(epochs)
    tests = together.evaluate("test")
    for seed, (c, member) in enumerate(zip(configs, together.members, strict=True)):
        alone = Training(c, data, seed=seed)
        assert [p.epoch for p in found[seed]] == [p.epoch for p in alone.advance(epochs)]
        assert_same(member, alone)
        assert tests[seed] == (alone.evaluate("test") if alone.best else None)
    return together


@needs_engine
def test_members_read_buckets_as_they_do_alone(make_data: Any) -> None:
    configs = [small_config(buckets=True, learning_rate=rate) for rate in (0.01, 0.02)]
    together = assert_each_is_as_alone(configs, make_data("classification"))
    assert together.batched
    plain = Training(small_config(learning_rate=0.01), make_data("classification"), seed=0)
    plain.advance(2)
    assert points(plain) != points(together.members[0]), "other sequences share a batch"


@needs_engine
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_cells_that_the_scan_holds_whole_are_trained_together(cell: tuple[str, str]) -> None:
    whole = cell in VARIANTS and VARIANTS[cell].norm != "batch"
    assert can_batch(small_config(*cell)) == whole
    assert batching_pays(small_config(*cell), longest=29) == whole


def test_batching_does_not_pay_where_one_batch_fills_the_caches() -> None:
    assert batching_pays(small_config(hidden_size=64, batch_size=32), longest=29)
    assert batching_pays(small_config(hidden_size=128, batch_size=32, depth=3), longest=29)
    assert not batching_pays(small_config(hidden_size=128, batch_size=256), longest=100)


def test_every_setting_is_either_shared_or_a_members_own() -> None:
    assert set(TrialConfig.model_fields) == SHARED | OWN
    assert not SHARED & OWN


@pytest.mark.parametrize("changes", [{}, {"weight_drop": 0.4}, {"zoneout": 0.2}], ids=str)
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_cell_trains_in_a_cohort_as_alone(
    cell: tuple[str, str], changes: dict[str, Any], make_data: Any
) -> None:
    assert_each_is_as_alone([small_config(*cell, **changes)] * 3, make_data())


@pytest.mark.parametrize("kind", get_args(TaskKind))
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    "cell", [("lstm", "peephole"), ("gru", "mut1"), ("linear", "qrnn")], ids="-".join
)
def test_every_kind_of_task_trains_in_a_cohort_as_alone(
    kind: TaskKind, residual: bool, cell: tuple[str, str], make_data: Any
) -> None:
    assert_each_is_as_alone([small_config(*cell, residual=residual)] * 3, make_data(kind))


@pytest.mark.parametrize("hidden_size", [5, 16])
@pytest.mark.parametrize(
    "cell",
    [("lstm", "standard"), ("lstm", "projected"), ("gru", "mut3"), ("linear", "qrnn")],
    ids="-".join,
)
def test_both_directions_train_in_a_cohort_as_alone(
    hidden_size: int, cell: tuple[str, str], make_data: Any
) -> None:
    shape = {"bidirectional": True, "residual": True, "depth": 3, "hidden_size": hidden_size}
    chosen = small_config(*cell, **shape, weight_drop=0.3, zoneout=0.1)
    assert_each_is_as_alone([chosen] * 3, make_data())


@pytest.mark.parametrize("residual", [False, True])
def test_the_first_step_may_be_the_last_in_both_directions(residual: bool, make_data: Any) -> None:
    data = make_data(shortest=1, longest=3)
    assert (data.train.lengths == 1).any()
    both = small_config(bidirectional=True, residual=residual, depth=3)
    dropouts = ({"dropout": 0.4}, {"dropout": 0.0})
    assert_each_is_as_alone([both.model_copy(update=changes) for changes in dropouts], data)


def test_members_may_differ_in_all_that_is_not_their_shape(make_data: Any) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"learning_rate": 0.1},
        {"dropout": 0.0},
        {"weight_drop": 0.5, "forget_bias": "chrono", "recurrent_init": "xavier"},
        {"optimizer": "sgd", "weight_decay": 0.01},
        {"optimizer": "rmsprop", "gradient_clip": None},
        {"optimizer": "adamw", "gradient_clip": 0.01},
        {"max_epochs": 2},
    ]
    assert_each_is_as_alone([small_config(**change) for change in changes], make_data(), epochs=3)


def test_sequences_of_one_length_need_no_padding(make_data: Any) -> None:
    assert_each_is_as_alone([small_config()] * 2, make_data(longest=2))


def test_members_that_do_not_fit_into_memory_at_once_take_turns(
    make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_COHORT_NUMBERS", 2 * 9 * 7 * 6 * 2)  # two members' batches
    assert_each_is_as_alone([small_config()] * 5, make_data())


def test_among_equally_good_epochs_a_cohort_keeps_that_of_least_validation_loss(
    make_data: Any,
) -> None:
    configs = [small_config(dropout=0.0, learning_rate=rate) for rate in (1e-6, 1e-2)]
    together = assert_each_is_as_alone(configs, make_data(), epochs=10)
    still = together.members[0]
    assert len({point.value for point in still.curve}) == 1
    assert still.best == min(still.curve, key=lambda point: point.loss) != still.curve[0]


def test_a_diverged_member_leaves_and_changes_nothing_for_the_others(make_data: Any) -> None:
    steady = small_config("rnn", "relu", optimizer="sgd", gradient_clip=None)
    wild = steady.model_copy(update={"learning_rate": 1e12})
    configs = [steady, wild, steady]
    together = assert_each_is_as_alone(configs, make_data("regression"), epochs=4)
    assert [member.diverged for member in together.members] == [False, True, False]
    assert [len(new) for new in together.advance(6)] == [2, 0, 2]


def test_a_first_member_that_diverges_within_an_epoch_changes_no_mean_loss(make_data: Any) -> None:
    """Members' batches differ in their number of targets where every step has one."""
    steady = small_config("rnn", "relu", optimizer="sgd", gradient_clip=None)
    wild = steady.model_copy(update={"learning_rate": 1e12})
    together = assert_each_is_as_alone([wild, steady, steady], make_data("next-token"))
    assert [member.diverged for member in together.members] == [True, False, False]


def test_members_may_all_diverge_in_one_epoch(make_data: Any) -> None:
    wild = small_config("rnn", "relu", optimizer="sgd", gradient_clip=None, learning_rate=1e12)
    together = assert_each_is_as_alone([wild] * 3, make_data("regression"))
    assert all(member.diverged for member in together.members)


def test_what_a_member_saves_is_continued_alone_or_in_another_cohort(
    make_data: Any, tmp_path: Path
) -> None:
    data, chosen = make_data(), small_config()
    first = Cohort([Training(chosen, data, seed=seed) for seed in range(3)])
    first.advance(2)
    for seed, member in enumerate(first.members):
        member.save(tmp_path / str(seed))

    def restored(seed: int) -> Training:
        return Training.restore(tmp_path / str(seed), chosen, data, seed=seed)

    latecomer = Training(chosen, data, seed=9)
    single, others = restored(0), Cohort([latecomer, restored(2), restored(1)])
    single.advance(4)
    assert [len(new) for new in others.advance(4)] == [4, 2, 2]
    for seed, member in [(0, single), (9, latecomer), (2, others.members[1])]:
        alone = Training(chosen, data, seed=seed)
        alone.advance(4)
        assert_same(member, alone)


def test_time_that_is_up_ends_an_advance_for_all(make_data: Any) -> None:
    together = Cohort([Training(small_config(), make_data(), seed=seed) for seed in range(2)])
    assert [len(found) for found in together.advance(5, seconds=0.0)] == [1, 1]
    assert all(point.seconds > 0 for member in together.members for point in member.curve)


@needs_engine
@pytest.mark.parametrize("kind", get_args(TaskKind))
@pytest.mark.parametrize("by", ["splits", "nested", "draws"])
def test_members_on_splits_of_their_own_train_as_alone(
    by: str, kind: TaskKind, make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few steps at a time: evaluations of other splits fall into other batches.
    for ordered in (Batches.ordered, Batches.ordered_choices):
        monkeypatch.setattr(ordered, "__defaults__", (40,))
    loaded = make_data(kind, longest=20)
    if by == "draws":
        splits = [make_data(kind, longest=longest) for longest in (20, 19, 18)]
    else:
        standardised = kind in ("classification", "regression")
        dealing = Dealing(standardised=standardised)
        given = replace(loaded, dealing=dealing)
        splits = [redeal(given, Split(by, seed)) for seed in range(3)]
    chosen = small_config(dropout=0.2, forget_bias="chrono")
    data = [*splits, splits[0]]
    together = Cohort([Training(chosen, each, seed=seed) for seed, each in enumerate(data)])
    assert together.batched
    together.advance(2)
    tests = together.evaluate("test")
    for seed, (each, member) in enumerate(zip(data, together.members, strict=True)):
        alone = Training(chosen, each, seed=seed)
        alone.advance(2)
        assert_same(member, alone)
        assert tests[seed] == alone.evaluate("test")


def test_members_on_splits_of_other_sizes_train_one_after_the_other(make_data: Any) -> None:
    config, data = small_config(), [make_data(count=24), make_data(count=23)]
    together = Cohort([Training(config, each, seed=0) for each in data])
    assert not together.batched
    together.advance(1)
    for each, member in zip(data, together.members, strict=True):
        alone = Training(config, each, seed=0)
        alone.advance(1)
        assert_same(member, alone)


def test_other_shapes_and_other_tasks_are_refused(make_data: Any) -> None:
    data = make_data()
    first = Training(small_config(), data, seed=0)
    with pytest.raises(ValueError, match="differ in hidden_size: 6 and 8"):
        Cohort([first, Training(small_config(hidden_size=8), data, seed=1)])
    with pytest.raises(ValueError, match="differ in their task"):
        Cohort([first, Training(small_config(), make_data("regression"), seed=1)])


@pytest.mark.parametrize("cell", [("gru", "d"), ("cfc", "standard")], ids="-".join)
def test_cells_that_read_gaps_train_in_a_cohort_as_alone(
    cell: tuple[str, str], tmp_path: Path
) -> None:
    draw = np.random.default_rng(3)
    lengths = draw.integers(1, 7, 40)
    x = draw.normal(size=(int(lengths.sum()), 3)).astype(np.float32)
    x[draw.random(x.shape) < 0.4] = np.nan
    np.savez(tmp_path / "gaps.npz", x=x, lengths=lengths, y=np.arange(40) % 2)
    section = {"file": "gaps.npz", "missing": "mask"}
    data = load(OwnData(kind="classification", data=section), tmp_path)  # type: ignore[arg-type]
    for changes in ({"depth": 2, "dropout": 0.2}, {"zoneout": 0.2, "residual": True}):
        assert_each_is_as_alone([small_config(*cell, **changes)] * 3, data)
    others = [redeal(data, Split("splits", seed)) for seed in range(2)]
    config = small_config(*cell)
    together = Cohort([Training(config, each, seed=1) for each in others])
    together.advance(2)
    for each, member in zip(others, together.members, strict=True):
        alone = Training(config, each, seed=1)
        alone.advance(2)
        assert_same(member, alone)
