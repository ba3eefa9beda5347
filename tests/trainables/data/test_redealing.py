"""What a dealing anew promises, checked over one table of tasks, and for groups."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.archived import ARCHIVED
from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.series import SERIES
from spaces.tasks import (
    TASKS,
    Adding,
    Archive,
    AssociativeRecall,
    BachChorales,
    BuiltIn,
    Characters,
    CopyMemory,
    Digits,
    Dyck,
    JapaneseVowels,
    Parity,
    Series,
    Symbolic,
    TaskSpec,
    Words,
)
from trainables.data.batches import Batches
from trainables.data.redealing import Split, check, deal, notes, pooled, redeal
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load


@dataclass(frozen=True)
class Row:
    """A task with options under which it loads quickly, and how it is dealt anew."""

    spec: TaskSpec
    by: str = "sequences"


TABLE = {
    "japanese-vowels": Row(JapaneseVowels(name="japanese-vowels")),
    "symbolic": Row(Symbolic(name="symbolic", complexity=8, length=700, window=20), "draws"),
    "characters": Row(Characters(name="characters", window=40, limit=20000), "stretches"),
    "words": Row(Words(name="words", window=20, vocabulary=200), "stretches"),
    "adding": Row(Adding(name="adding", length=12, examples=60), "draws"),
    "digits": Row(Digits(name="digits")),
    "parity": Row(Parity(name="parity", length=10, examples=200), "draws"),
    "associative-recall": Row(
        AssociativeRecall(name="associative-recall", pairs=3, examples=800), "draws"
    ),
    "dyck-2": Row(Dyck(name="dyck-2", length=12, examples=60), "draws"),
    "copy-memory": Row(CopyMemory(name="copy-memory", pause=5, copied=4, examples=60), "draws"),
    "bach-chorales": Row(BachChorales(name="bach-chorales")),
    **{name: Row(Series.model_validate({"name": name}), "time") for name in SERIES},
    **{name: Row(Archive.model_validate({"name": name})) for name in ARCHIVED},
    "own classification": Row(OwnData(kind="classification", data="classification.npz")),
    "own tagging": Row(OwnData(kind="tagging", data="tagging.npz")),
    "own multi-label": Row(OwnData(kind="multi-label", data="multi-label.npz")),
    "own forecasting": Row(OwnData(kind="forecasting", data="series.npz", horizon=2), "time"),
    "own regression": Row(OwnData(kind="regression", data="regression.npz")),
    "own next-token": Row(OwnData(kind="next-token", data="next-token.npz"), "stretches"),
    "own next-step": Row(OwnData(kind="next-step", data="next-step.npz"), "stretches"),
    "groups of a series": Row(OwnData(kind="next-step", data="grouped-series.npz")),
    "groups": Row(OwnData(kind="classification", data="grouped.npz")),
    "groups with a given split": Row(OwnData(kind="classification", data="grouped-split.npz")),
}
DEALT = [name for name, row in TABLE.items() if row.by not in ("draws", "time")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data files: 60 sequences of 3 to 9 steps, each told by its first value."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 10, size=60)
    steps = int(lengths.sum())
    x = rng.normal(size=(steps, 2))
    frames = rng.integers(0, 2, size=(steps, 12))
    y, group = np.arange(60) % 3, np.repeat(np.arange(12), 5)
    np.savez(folder / "classification.npz", x=x, lengths=lengths, y=y)
    np.savez(folder / "regression.npz", x=x, lengths=lengths, y=rng.normal(size=60))
    np.savez(folder / "series.npz", x=x, lengths=[steps])
    np.savez(folder / "tagging.npz", x=x, lengths=lengths, y=np.arange(steps) % 3)
    np.savez(folder / "multi-label.npz", x=x, lengths=lengths, y=y[:, None] == np.arange(3))
    np.savez(folder / "next-token.npz", x=rng.integers(0, 50, size=steps), lengths=lengths)
    np.savez(folder / "next-step.npz", x=frames, lengths=lengths)
    np.savez(folder / "grouped-series.npz", x=frames, lengths=lengths, group=group)
    names = np.array([f"speaker {number}" for number in group])
    np.savez(folder / "grouped.npz", x=x, lengths=lengths, y=y, group=names)
    split = np.where(group < 8, "train", np.where(group < 10, "val", "test"))
    np.savez(folder / "grouped-split.npz", x=x, lengths=lengths, y=y, group=names, split=split)
    return folder


@pytest.fixture(params=DEALT)
def data(request: pytest.FixtureRequest, base: Path) -> Data:
    if request.param == "bach-chorales":
        pytest.importorskip("music21")
    return load(TABLE[request.param].spec, base)


def labels(data: Data) -> NDArray[np.generic]:
    return np.concatenate([part.y for part in data.parts if part.y is not None])


def targets(part: Sequences) -> list[object]:
    """Return the target of each sequence, or the list of its steps'."""
    if part.y is None:
        return []
    if not part.stepwise:
        return list(part.y.tolist())
    ends = np.cumsum(part.lengths)[:-1]
    return [each.tolist() for each in np.split(part.step_targets(), ends)]


def values(part: Sequences) -> list[bytes]:
    steps, ends = part.all_steps(), np.cumsum(part.lengths)
    return [
        steps[end - length : end].tobytes() for end, length in zip(ends, part.lengths, strict=True)
    ]


def test_every_task_has_a_row_in_this_table() -> None:
    assert {row.spec.name for row in TABLE.values() if isinstance(row.spec, BuiltIn)} == set(TASKS)
    kinds = {row.spec.kind for row in TABLE.values() if isinstance(row.spec, OwnData)}
    assert kinds == set(OwnData.model_json_schema()["properties"]["kind"]["enum"])


@pytest.mark.parametrize("name", TABLE)
def test_a_task_is_dealt_the_way_that_its_data_asks_for(name: str, base: Path) -> None:
    assert load(TABLE[name].spec, base).dealing.by == TABLE[name].by


@pytest.mark.parametrize("design", ["splits", "nested"])
def test_parts_are_disjoint_whole_and_of_the_size_they_had(design: str, data: Data) -> None:
    for seed in range(5):
        parts = deal(data, Split(design, seed))
        assert np.sort(np.concatenate(parts)).tolist() == list(range(sum(map(len, data.parts))))
        if data.dealing.group is None:
            assert [len(part) for part in parts] == [len(part) for part in data.parts]


def test_no_sequence_of_the_test_part_is_moved_by_splits(data: Data) -> None:
    before = len(data.train) + len(data.validation)
    for seed in range(5):
        train, validation, test = deal(data, Split("splits", seed))
        assert max(train.max(), validation.max()) < before
        assert test.tolist() == list(range(before, before + len(data.test)))


def test_every_sequence_comes_to_every_part_of_a_nested_design(data: Data) -> None:
    number = sum(map(len, data.parts))
    draws = 20 * number // min(map(len, data.parts))  # a sequence is left out in e^-20 of jobs
    seen = [set[int](), set[int](), set[int]()]
    for seed in range(draws):
        for found, part in zip(seen, deal(data, Split("nested", seed)), strict=True):
            found.update(part.tolist())
    assert [len(found) for found in seen] == [number] * 3


@pytest.mark.parametrize("design", ["splits", "nested"])
def test_equal_splits_are_equal_and_others_differ(design: str, data: Data) -> None:
    first, again = redeal(data, Split(design, 3)), redeal(data, Split(design, 3))
    assert first.info == again.info
    assert [values(part) for part in first.parts] == [values(part) for part in again.parts]
    trains = {tuple(deal(data, Split(design, seed))[0].tolist()) for seed in range(8)}
    assert len(trains) > 1
    assert redeal(data, Split(design, 4)).info.fingerprint != first.info.fingerprint


@pytest.mark.parametrize("name", ["japanese-vowels", "own classification"])
@pytest.mark.parametrize("design", ["splits", "nested"])
def test_classes_stay_in_proportion(name: str, design: str, base: Path) -> None:
    data = load(TABLE[name].spec, base)
    whole = np.bincount(labels(data).astype(np.int64))
    taken = data.parts[:2] if design == "splits" else data.parts
    if design == "splits":
        assert data.test.y is not None
        whole = whole - np.bincount(data.test.y.astype(np.int64), minlength=len(whole))
    for seed in range(3):
        for part, before in zip(redeal(data, Split(design, seed)).parts, taken, strict=False):
            assert part.y is not None
            found = np.bincount(part.y.astype(np.int64), minlength=len(whole))
            assert np.abs(found - whole * len(before) / whole.sum()).max() < 2


def test_a_class_of_one_sequence_stays_in_training(base: Path) -> None:
    data = load(TABLE["own classification"].spec, base)
    y = labels(data).copy()
    y[0] = 3  # of the training part
    cuts = np.cumsum([0, *map(len, data.parts)])
    parts = [replace(p, y=y[cuts[at] : cuts[at + 1]]) for at, p in enumerate(data.parts)]
    for seed in range(20):
        assert 0 in deal(Data(data.info, *parts), Split("nested", seed))[0]


def test_sequences_keep_their_values_and_targets(data: Data) -> None:
    if data.dealing.text is not None:
        return  # symbols are others: see test_vocabulary.py
    parts = [replace(part, scaling=None, y_scaling=None) for part in data.parts]
    data = Data(data.info, *parts, dealing=replace(data.dealing, standardised=False))
    whole = [value for part in data.parts for value in values(part)]
    wanted = [target for part in data.parts for target in targets(part)]
    split = Split("nested", 1)
    for part, positions in zip(redeal(data, split).parts, deal(data, split), strict=True):
        assert values(part) == [whole[at] for at in positions]
        if part.y is not None:
            assert targets(part) == [wanted[at] for at in positions]


def test_values_are_in_memory_once_however_often_they_are_dealt(data: Data) -> None:
    if data.dealing.text is not None:
        return  # each split has symbols of its own
    shared = pooled(data)
    dealt = [redeal(shared, Split("splits", seed)) for seed in range(3)]
    assert len({id(part.x) for each in dealt for part in each.parts}) == 1


def test_batches_of_dealt_data_hold_what_its_sequences_hold(data: Data) -> None:
    dealt = redeal(data, Split("nested", 0))
    part = dealt.train
    y = part.step_targets() if part.stepwise else part.targets
    plain = Sequences(part.all_steps(), part.lengths, y, stepwise=part.stepwise)
    kind = dealt.info.kind
    for one, other in zip(
        Batches(part, kind).shuffled(8, 1, 1), Batches(plain, kind).shuffled(8, 1, 1), strict=True
    ):
        np.testing.assert_array_equal(one.x.numpy(), other.x.numpy())
        np.testing.assert_array_equal(one.targets.numpy(), other.targets.numpy())


def test_features_are_standardised_anew_on_the_new_training_part(base: Path) -> None:
    data = load(TABLE["japanese-vowels"].spec, base)
    dealt = redeal(data, Split("splits", 5))
    steps = dealt.train.all_steps().astype(np.float64)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-5)
    assert dealt.test.scaling is dealt.train.scaling
    assert values(dealt.test) != values(data.test)


@pytest.mark.parametrize("name", ["characters", "own next-token", "own next-step"])
@pytest.mark.parametrize("design", ["splits", "nested"])
def test_texts_and_series_are_cut_in_contiguous_stretches(
    name: str, design: str, base: Path
) -> None:
    data = load(TABLE[name].spec, base)
    number = sum(map(len, data.parts if design == "nested" else data.parts[:2]))
    order = data.dealing.order
    place = np.arange(number) if order is None else np.argsort(np.argsort(order[:number]))
    for seed in range(10):
        parts = deal(data, Split(design, seed))
        for part in parts[: 3 if design == "nested" else 2]:
            places = np.sort(place[part])
            jumps = (np.diff(places) != 1).sum() + (places[0] + number - places[-1] != 1)
            assert jumps <= 1, "one stretch of a circle"


@pytest.mark.parametrize("name", ["adding", "symbolic"])
@pytest.mark.parametrize("design", ["splits", "nested"])
def test_generated_tasks_draw_new_data_of_the_same_sizes(
    name: str, design: str, base: Path
) -> None:
    data = load(TABLE[name].spec, base)
    first, second = (redeal(data, Split(design, seed)) for seed in (1, 2))
    for part, one, other in zip(data.parts, first.parts, second.parts, strict=True):
        assert len(part) == len(one) == len(other)
        assert not np.array_equal(one.x, other.x)
    assert any("draws new data" in note for note in notes(data, design))


@pytest.mark.parametrize("name", [name for name in TABLE if "group" in name])
@pytest.mark.parametrize("design", ["splits", "nested"])
def test_groups_stay_whole_and_parts_near_their_sizes(name: str, design: str, base: Path) -> None:
    data = load(TABLE[name].spec, base)
    group = data.dealing.group
    assert group is not None
    for parts in ([np.arange(len(data.train))], *(deal(data, Split(design, s)) for s in range(20))):
        for part in parts:
            rest = np.setdiff1d(np.arange(len(group)), part)
            assert not set(group[part]) & set(group[rest])
    for seed in range(20):
        for part, before in zip(deal(data, Split(design, seed)), data.parts, strict=True):
            assert len(part) > 0
            assert abs(len(part) - len(before)) <= 10, "two groups"


def test_too_few_groups_are_refused_with_a_remedy(base: Path) -> None:
    data = load(TABLE["groups with a given split"].spec, base)
    few = np.where(np.arange(60) < 50, 0, 1)
    data = replace(data, dealing=replace(data.dealing, group=few))
    with pytest.raises(InputError) as refused:
        check(data, "nested")
    (problem,) = refused.value.problems
    assert problem.place == "grouped-split: group"
    assert "too few" in problem.rule
    assert "give more, smaller groups" in problem.remedy
    check(data, "seeds")


def test_an_official_test_part_that_is_dealt_anew_is_told(base: Path) -> None:
    official = load(TABLE["japanese-vowels"].spec, base)
    assert any("official test part" in note for note in notes(official, "nested"))
    assert notes(official, "splits") == notes(official, "seeds") == []
    assert notes(load(TABLE["own classification"].spec, base), "nested") == []


BAD_GROUPS = {
    "too short": (np.arange(59), "group must be [n] whole numbers or strings"),
    "fractions": (np.linspace(0, 1, 60), "group must be [n] whole numbers or strings"),
    "two columns": (np.zeros((60, 2), int), "group must be [n] whole numbers or strings"),
    "one group": (np.zeros(60, int), "too few"),
}


@pytest.mark.parametrize("fault", BAD_GROUPS)
def test_groups_that_break_a_rule_are_refused(fault: str, base: Path, tmp_path: Path) -> None:
    group, rule = BAD_GROUPS[fault]
    with np.load(base / "classification.npz") as known:
        np.savez(tmp_path / "bad.npz", group=group, **known)
    with pytest.raises(InputError) as refused:
        load(OwnData(kind="classification", data="bad.npz"), tmp_path)
    (problem,) = refused.value.problems
    assert problem.place == "bad.npz: group"
    assert rule in problem.rule


def test_a_group_that_the_given_split_tears_apart_is_refused(base: Path, tmp_path: Path) -> None:
    with np.load(base / "grouped-split.npz") as known:
        arrays = dict(known)
    arrays["split"][2] = "test"
    np.savez(tmp_path / "torn.npz", **arrays)
    with pytest.raises(InputError) as refused:
        load(OwnData(kind="classification", data="torn.npz"), tmp_path)
    (problem,) = refused.value.problems
    assert problem.place == "torn.npz: split[2]"
    assert "group 'speaker 0' is in train and in test" in problem.rule
