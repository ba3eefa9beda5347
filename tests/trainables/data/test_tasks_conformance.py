"""What every task promises, checked over one table of all tasks."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from spaces.archived import ARCHIVED
from spaces.errors import InputError
from spaces.forecast import ForecastSection
from spaces.kinds import has_classes
from spaces.own_data import DataSection
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
from trainables.data.sequences import Data, Sequences, fingerprint
from trainables.data.tasks import LOADERS, describe, load, scaling
from trainables.data.tasks.archive import packaged
from trainables.data.tasks.characters import text as characters_text
from trainables.data.tasks.series import read as read_series
from trainables.data.tasks.words import words


@dataclass(frozen=True)
class Row:
    """A task with options under which it loads quickly, and what is special about it."""

    spec: TaskSpec
    seeded: bool = True  #: another seed gives other data or another split
    repeats: bool = False  #: the same sequence may occur in two splits


#: Every task, by a name for the test's output.
TABLE = {
    "japanese-vowels": Row(JapaneseVowels(name="japanese-vowels")),
    "symbolic": Row(Symbolic(name="symbolic", complexity=20, length=700, window=20), repeats=True),
    "symbolic, last": Row(
        Symbolic(name="symbolic", complexity=20, length=700, window=20, scored="last"), repeats=True
    ),
    "characters": Row(Characters(name="characters", window=40, limit=20000), seeded=False),
    "words": Row(Words(name="words", window=20, vocabulary=200), seeded=False),
    "adding": Row(Adding(name="adding", length=12, examples=60)),
    "digits": Row(Digits(name="digits")),
    "digits, by pixels": Row(Digits(name="digits", by="pixels")),
    "parity": Row(Parity(name="parity", length=10, examples=200)),
    "associative-recall": Row(AssociativeRecall(name="associative-recall", pairs=3, examples=800)),
    "dyck-2": Row(Dyck(name="dyck-2", length=12, examples=60)),
    "copy-memory": Row(CopyMemory(name="copy-memory", pause=5, copied=4, examples=200)),
    "bach-chorales": Row(BachChorales(name="bach-chorales")),
    **{name: Row(Archive.model_validate({"name": name})) for name in ARCHIVED},
    **{name: Row(Series.model_validate({"name": name}), seeded=False) for name in SERIES},
    "own classification": Row(OwnData(kind="classification", data="classification.npz")),
    "own regression": Row(OwnData(kind="regression", data="regression.npz")),
    "own multi-label": Row(OwnData(kind="multi-label", data="multi-label.npz")),
    "own tagging": Row(OwnData(kind="tagging", data="tagging.npz")),
    "own forecasting": Row(OwnData(kind="forecasting", data="series.npz", horizon=2), seeded=False),
    "own next-token": Row(OwnData(kind="next-token", data="next-token.npz")),
    "own next-step": Row(OwnData(kind="next-step", data="next-step.npz")),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data file of each kind: 30 sequences of 3 to 9 steps."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 10, size=30)
    steps = int(lengths.sum())
    features = rng.normal(size=(steps, 2))
    np.savez(folder / "classification.npz", x=features, lengths=lengths, y=np.arange(30) % 3)
    np.savez(folder / "regression.npz", x=features, lengths=lengths, y=rng.normal(size=30))
    labels = np.arange(30)[:, None] % 3 == np.arange(3)
    np.savez(folder / "multi-label.npz", x=features, lengths=lengths, y=labels)
    np.savez(folder / "tagging.npz", x=features, lengths=lengths, y=np.arange(steps) % 3)
    np.savez(folder / "series.npz", x=features, lengths=[steps])
    np.savez(folder / "next-token.npz", x=rng.integers(0, 50, size=steps), lengths=lengths)
    frames = rng.integers(0, 2, size=(steps, 12), dtype=np.uint8)
    np.savez(folder / "next-step.npz", x=frames, lengths=lengths)
    return folder


@pytest.fixture(params=TABLE)
def row(request: pytest.FixtureRequest) -> Row:
    if request.param == "bach-chorales":
        pytest.importorskip("music21")
    known = SERIES.get(request.param)
    if known is not None:
        pytest.importorskip(known.package)
    return TABLE[request.param]


def splits(data: Data) -> tuple[Sequences, Sequences, Sequences]:
    return data.train, data.validation, data.test


def contents(split: Sequences) -> set[bytes]:
    """Every sequence of a split as bytes."""
    return {
        split.x[start : start + length].tobytes()
        for start, length in zip(split.starts, split.lengths, strict=True)
    }


def test_every_built_in_task_has_a_loader_and_a_row_in_this_table() -> None:
    assert set(LOADERS) == set(TASKS)
    assert {row.spec.name for row in TABLE.values() if isinstance(row.spec, BuiltIn)} == set(TASKS)


def test_every_kind_of_the_users_own_data_has_a_row_in_this_table() -> None:
    kinds = {row.spec.kind for row in TABLE.values() if isinstance(row.spec, OwnData)}
    assert kinds == set(OwnData.model_json_schema()["properties"]["kind"]["enum"])


def test_equal_specs_give_equal_data(row: Row, base: Path) -> None:
    first, second = load(row.spec, base), load(row.spec, base)
    assert first.info == second.info
    for one, other in zip(splits(first), splits(second), strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.lengths, other.lengths)
        np.testing.assert_array_equal(one.y, other.y)


def test_another_seed_gives_other_data_exactly_where_there_is_chance(row: Row, base: Path) -> None:
    other = row.spec.model_copy(update={"seed": row.spec.seed + 1})
    differs = load(row.spec, base).info.fingerprint != load(other, base).info.fingerprint
    assert differs == row.seeded


def test_arrays_are_contiguous_of_the_documented_types_and_finite(row: Row, base: Path) -> None:
    data = load(row.spec, base)
    for split in splits(data):
        for array in (split.x, split.lengths, split.y):
            assert array is None or array.flags.c_contiguous
        assert split.lengths.dtype == np.int64
        assert split.x.dtype == (np.int64 if data.info.kind == "next-token" else np.float32)
        assert split.x.ndim == (1 if data.info.kind == "next-token" else 2)
        assert np.isfinite(split.x.astype(np.float64)).all()
        if data.info.causal:
            assert split.y is None
        else:
            assert split.y is not None
            targets = len(split.x) if split.stepwise else len(split)
            several = data.info.kind in ("multi-label", "forecasting")
            assert split.y.shape == ((targets, data.info.outputs) if several else (targets,))
            wanted = np.int64 if has_classes(data.info.kind) else np.float32
            assert split.y.dtype == wanted


def test_lengths_sum_to_the_steps_and_leave_something_to_predict(row: Row, base: Path) -> None:
    data = load(row.spec, base)
    for split in splits(data):
        assert len(split) > 0
        assert split.lengths.min() >= (2 if data.info.causal else 1)
        assert split.at is not None or split.lengths.sum() == len(split.x)  # at: windows overlap


def test_info_describes_the_data(row: Row, base: Path) -> None:
    data = load(row.spec, base)
    info = data.info
    assert load(row.spec, base).info == info
    assert info.kind == row.spec.of_kind
    assert info.name == row.spec.label
    assert info.metric == info.metrics[0]
    assert info.longest == max(int(split.lengths.max()) for split in splits(data))
    assert info.fingerprint == fingerprint(*splits(data), whole=data.dealing.by == "time")
    if info.kind == "next-token":
        assert info.inputs == info.outputs > max(int(split.x.max()) for split in splits(data))
        assert min(int(split.x.min()) for split in splits(data)) >= 0
        return
    assert {info.inputs} == {split.x.shape[1] for split in splits(data)}
    if has_classes(info.kind):
        for split in splits(data):
            assert split.y is not None
            assert set(split.y.tolist()) == set(range(info.outputs))
    else:
        ahead = row.spec.steps_ahead if isinstance(row.spec, ForecastSection) else 1
        wanted = {"next-step": info.inputs, "multi-label": 3, "forecasting": ahead}
        assert info.outputs == wanted.get(info.kind, 1)


def test_splits_have_no_sequence_in_common(row: Row, base: Path) -> None:
    train, validation, test = (contents(split) for split in splits(load(row.spec, base)))
    overlap = (train & validation) | (train & test) | (validation & test)
    assert row.repeats or not overlap


def test_the_spec_chooses_the_metric(row: Row, base: Path) -> None:
    spec = row.spec.model_copy(update={"metric": "loss"})
    assert load(spec, base).info.metric.name == "loss"


def test_the_training_part_alone_decides_how_features_are_scaled(base: Path) -> None:
    data = load(JapaneseVowels(name="japanese-vowels"), base)
    steps = data.train.x.astype(np.float64)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-5)
    assert np.abs(data.test.x.astype(np.float64).mean(axis=0)).max() > 0.01


def test_scaling_turns_the_files_values_into_the_tasks(base: Path) -> None:
    spec = JapaneseVowels(name="japanese-vowels")
    known = scaling(spec, load(spec, base))
    assert known is not None
    mean, deviation = known
    raw = load(spec, base).test.x[0].astype(np.float32) * deviation + mean
    # the first frame of the official test part, as its file has it
    np.testing.assert_allclose(raw[:3], [1.635533, 0.024848, 0.432087], atol=1e-5)
    adding = Adding(name="adding", examples=20)
    assert scaling(adding, load(adding, base)) is None


def test_japanese_vowels_keep_the_official_test_part_and_equal_shares_of_speakers(
    base: Path,
) -> None:
    data = load(JapaneseVowels(name="japanese-vowels"), base)
    assert [len(split) for split in splits(data)] == [180, 90, 370]
    for split, each in ((data.train, 20), (data.validation, 10)):
        assert split.y is not None
        assert np.bincount(split.y.astype(np.int64)).tolist() == [each] * 9
    other = load(JapaneseVowels(name="japanese-vowels", seed=1), base)
    np.testing.assert_array_equal(data.test.y, other.test.y)


def test_the_marked_numbers_of_the_adding_problem_sum_to_the_target(base: Path) -> None:
    data = load(Adding(name="adding", length=11, examples=40), base)
    for split in splits(data):
        x = split.x.reshape(len(split), 11, 2)
        assert (x[:, :5, 1].sum(axis=1) == 1).all()
        assert (x[:, 5:, 1].sum(axis=1) == 1).all()
        np.testing.assert_allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=1), split.y, rtol=1e-6)


def test_words_are_the_text_s_and_their_vocabulary_the_training_part_s(base: Path) -> None:
    data = load(Words(name="words", window=20, vocabulary=300), base)
    names = data.info.labels
    assert names is not None and len(names) == 300 and names[0] == "<unknown>"
    text = words(characters_text())
    first = [names[symbol] for symbol in data.train.x[:21].tolist()]
    assert all(shown in (word, "<unknown>") for shown, word in zip(first, text, strict=False))
    assert set(names[1:]) <= set(text[: len(text) * 8 // 10 + 1])


def bits(split: Sequences, length: int) -> list[list[int]]:
    return [[int(bit) for bit in row] for row in split.x.reshape(len(split), length)]


def test_parity_counts_ones(base: Path) -> None:
    data = load(Parity(name="parity", length=9, examples=50), base)
    for split in splits(data):
        assert split.y is not None
        assert [sum(row) % 2 for row in bits(split, 9)] == split.y.tolist()


def test_associative_recall_asks_for_what_stood_beside_the_letter(base: Path) -> None:
    data = load(AssociativeRecall(name="associative-recall", pairs=5, examples=100), base)
    for split in splits(data):
        symbols = split.x.reshape(len(split), 13, 37).argmax(axis=2)
        for row, digit in zip(symbols.tolist(), split.y.tolist(), strict=True):  # type: ignore[union-attr]
            shown = dict(zip(row[0:10:2], row[1:10:2], strict=True))
            assert len(shown) == 5 and shown[row[-1]] == 26 + digit and row[10:12] == [36, 36]


@pytest.mark.parametrize("depth", [1, 3])
def test_the_bracket_that_must_close_next_is_the_last_open_one(depth: int, base: Path) -> None:
    data = load(Dyck(name="dyck-2", length=20, depth=depth, examples=60), base)
    for split in splits(data):
        symbols = split.x.argmax(axis=1)
        for start, length, due in zip(split.starts, split.lengths, split.y, strict=True):  # type: ignore[arg-type]
            still_open: list[int] = []
            for symbol in symbols[start : start + length].tolist():
                if symbol < 2:
                    still_open.append(symbol)
                else:
                    assert still_open.pop() == symbol - 2
                assert len(still_open) <= depth
            assert still_open[-1] == due


@pytest.mark.parametrize("by", ["rows", "pixels"])
def test_digits_are_the_package_s(by: Literal["rows", "pixels"], base: Path) -> None:
    from sklearn.datasets import load_digits

    official = load_digits()
    data = load(Digits(name="digits", by=by), base)
    read = {
        (tuple(pixels), int(digit))
        for part in splits(data)
        for pixels, digit in zip(
            part.x.reshape(len(part), 64).astype(int).tolist(), part.y, strict=True
        )  # type: ignore[arg-type]
    }
    wanted = zip(official.data.astype(int), official.target, strict=True)
    assert read == {(tuple(pixels.tolist()), int(digit)) for pixels, digit in wanted}


@pytest.mark.parametrize("name", ARCHIVED)
def test_an_archived_task_is_the_users_own_data_from_its_files(name: str, base: Path) -> None:
    folder = ARCHIVED[name].folder
    files = {
        key: str(packaged(folder, name) / f"{folder}_{part}.ts")
        for key, part in (("file", "TRAIN"), ("test", "TEST"))
    }
    own = load(OwnData(kind="classification", data=DataSection(**files)), base)
    built_in = load(Archive.model_validate({"name": name}), base)
    assert own.info.fingerprint == built_in.info.fingerprint
    assert built_in.dealing.official_test and built_in.info.name == name


REFUSED = {
    "too few bits": (Parity(name="parity", length=4, examples=12), "task.examples"),
    "too few letters": (
        AssociativeRecall(name="associative-recall", pairs=1, examples=200),
        "task.examples",
    ),
    "too few symbols": (
        CopyMemory(name="copy-memory", copied=3, symbols=2, examples=10),
        "task.examples",
    ),
    "too few brackets": (Dyck(name="dyck-2", length=2, depth=1, examples=60), "task.examples"),
}


@pytest.mark.parametrize(("spec", "place"), REFUSED.values(), ids=REFUSED)
def test_more_examples_than_there_are_are_refused(spec: TaskSpec, place: str, base: Path) -> None:
    with pytest.raises(InputError, match=place):
        load(spec, base)


def test_what_was_read_is_written_after_the_sign(base: Path) -> None:
    data = load(CopyMemory(name="copy-memory", pause=6, copied=4, symbols=3, examples=30), base)
    for split in splits(data):
        read = split.x.reshape(len(split), 14, 5).argmax(axis=2)
        written = np.asarray(split.y).reshape(len(split), 14)
        np.testing.assert_array_equal(written[:, -4:], read[:, :4])
        assert (written[:, :-4] == 3).all() and (read[:, :4] < 3).all()
        assert (read[:, 9] == 4).all() and (np.delete(read[:, 4:], 5, axis=1) == 3).all()


def test_without_music21_the_chorales_say_how_to_get_it(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.tasks.chorales.importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"gatesearch\[music\]"):
        load(BachChorales(name="bach-chorales"), base)


KNOWN_VALUES = {
    "airline": (144, [112, 118], [390, 432]),
    "co2": (452, [322, 321.75], [369.375, 371.02]),  # means of the weeks of a month
    "solar": (289, [0, 0], [0, 0]),
    "sunspots": (309, [5, 11], [7.5, 2.9]),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_known_series_has_the_values_of_its_file(name: str) -> None:
    pytest.importorskip(SERIES[name].package)
    found = read_series(name)
    if name == "m1-yearly":
        assert len(found) == 181 and min(map(len, found)) == 15
        np.testing.assert_allclose(np.exp(found[0][:2]), [3600, 7700])
        return
    (values,), (length, begin, end) = found, KNOWN_VALUES[name]
    assert len(values) == length
    np.testing.assert_allclose([*values[:2], *values[-2:]], [*begin, *end], atol=0.01)


def test_the_description_names_every_task_with_its_source_and_options() -> None:
    rows = {row["name"]: row for row in describe()}
    assert set(rows) == set(TASKS)
    assert all(row["source"] and row["split"] and row["summary"] for row in rows.values())
    assert rows["symbolic"]["options"]["complexity"]["required"]
    assert rows["symbolic"]["options"]["window"]["default"] == 100
    assert rows["japanese-vowels"]["metrics"][0] == "accuracy"


def test_importing_and_loading_tasks_brings_in_no_heavy_library() -> None:
    code = (
        "import sys, pathlib, spaces.tasks as s, trainables.data.tasks as t\n"
        "t.load(s.JapaneseVowels(name='japanese-vowels'), pathlib.Path())\n"
        "heavy = {'torch', 'aeon', 'numba', 'sklearn', 'scipy', 'pandas', 'ray', 'optuna'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
