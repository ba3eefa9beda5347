"""Vocabularies that are learned: of the training part alone, and the text said again by them."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from spaces.own_data import TrainedVocabulary
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo, Words
from trainables.data.formats.own import read_new
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data
from trainables.data.stretches import whole
from trainables.data.tasks import load
from trainables.data.vocabulary import UNKNOWN, Vocabulary, pieces

KINDS: tuple[TrainedVocabulary, ...] = get_args(TrainedVocabulary)
ENGLISH = "low lower lowest, new newer newest; wide wider widest.\n" * 9
DESIGNS: tuple[Any, ...] = ("splits", "nested")


def load_text(folder: Path, text: str, **data: Any) -> Data:
    (folder / "own.txt").write_text(text, "utf-8")
    return load(OwnData(kind="next-token", data={"file": "own.txt", "window": 6, **data}), folder)


def said(data: Data, symbols: np.ndarray) -> str:
    assert data.info.labels is not None
    return "".join(str(data.info.labels[code]) for code in symbols)


@given(st.text(max_size=60))
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_pieces_are_words_numbers_and_marks_with_the_space_before_them() -> None:
    found = pieces("In 1997, LSTM's\n  cell_2!")
    assert found == ["In", " 1997", ",", " LSTM", "'", "s", "\n ", " cell", "_", "2", "!"]


@given(st.text(alphabet="abc d", min_size=1, max_size=80), st.integers(2, 20))
def test_byte_pairs_say_the_text_again(text: str, size: int) -> None:
    vocabulary = Vocabulary.learn("bpe", size, pieces(text))
    symbols, characters = vocabulary.encode(pieces(text))
    assert len(vocabulary.symbols) <= size and characters.sum() == len(text)
    ends = np.cumsum(characters)
    for symbol, end, count in zip(symbols, ends, characters, strict=True):
        part = text[end - count : end]
        assert vocabulary.symbols[symbol] == part or (symbol == 0 and count == 1)


def test_merges_are_those_of_sennrichs_example() -> None:
    """Its figure 1; of r with the end (here a space) and e with r, 9 times each, one goes first."""
    counts = {"low ": 5, "lowest ": 2, "newer ": 6, "wider ": 3}
    text = [word for word, count in counts.items() for _ in range(count)]
    vocabulary = Vocabulary.learn("bpe", 1 + 11 + 4, text)
    assert vocabulary.symbols[-4:] == ("er", "er ", "lo", "low")
    symbols, _ = vocabulary.encode(["lower "])
    assert [vocabulary.symbols[symbol] for symbol in symbols] == ["low", "er "]


def test_the_most_frequent_words_are_symbols_and_others_are_unknown() -> None:
    vocabulary = Vocabulary.learn("words", 3, ["b", "a", "b", "c", "a", "b"])
    assert vocabulary.symbols == (UNKNOWN, "a", "b")
    symbols, characters = vocabulary.encode(["a", "longer", "b"])
    assert symbols.tolist() == [1, 0, 2] and characters.tolist() == [1, 6, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_knows_the_training_part_alone(kind: str, tmp_path: Path) -> None:
    text = "abc abd " * 60
    with_end = load_text(tmp_path, text + "xyz xyq " * 30, vocabulary=kind, size=9)
    labels = with_end.info.labels
    assert labels is not None and not any(set("xyzq") & set(str(label)) for label in labels[1:])
    assert (whole(with_end.test).x == 0).mean() > 0.3
    assert said(with_end, whole(with_end.train).x) in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("design", DESIGNS)
def test_each_split_has_the_vocabulary_of_its_own_training_part(
    kind: str, design: Any, tmp_path: Path
) -> None:
    text = "".join(f" {chr(97 + n // 30)}{'xyz'[n % 3]}" for n in range(600))
    data = load_text(tmp_path, text, vocabulary=kind, size=40)
    for seed in range(4):
        dealt = redeal(data, Split(design, seed))
        assert (dealt.info.inputs, dealt.info.outputs) == (data.info.inputs, data.info.outputs)
        labels = dealt.info.labels
        assert labels is not None and len(labels) == len(set(labels)) == data.info.outputs
        known = {str(label) for label in labels if not str(label).startswith("<")}
        stretches = whole(dealt.train)
        spoken = said(dealt, stretches.x)
        assert all(label in spoken or len(label) == 1 for label in known if kind == "words")
        used = {int(code) for part in dealt.parts for code in part.x}
        assert max(used) < data.info.outputs
        characters = sum(int(p.characters.sum()) for p in dealt.parts if p.characters is not None)
        assert len(text) - 12 <= characters <= len(text)
        assert dealt.info.labels != data.info.labels or seed == 0 or kind == "bpe"
        if design == "splits":
            test = whole(dealt.test)
            assert sum(p.characters.sum() for p in [dealt.test] if p.characters is not None) == sum(
                p.characters.sum() for p in [data.test] if p.characters is not None
            )
            assert len(test) == 1


def test_words_of_the_built_in_task_are_learned_anew_in_design_nested(tmp_path: Path) -> None:
    data = load(Words(name="words", vocabulary=200), tmp_path)
    dealt = redeal(data, Split("nested", 1))
    assert dealt.info.labels != data.info.labels and dealt.info.outputs == 200
    assert dealt.info.labels is not None and dealt.info.labels[0] == UNKNOWN
    assert [len(part) for part in dealt.parts] == pytest.approx(
        [len(part) for part in data.parts], abs=2
    )


@pytest.mark.parametrize("kind", KINDS)
def test_raw_text_is_read_by_the_task_s_description(kind: str, tmp_path: Path) -> None:
    data = load_text(tmp_path, ENGLISH, vocabulary=kind, size=30)
    plain = {**vars(data.info), "metric": vars(data.info.metric)}
    info = TaskInfo.from_dict(plain)
    (tmp_path / "new.txt").write_text("low lowest, newer", "utf-8")
    found, ragged = read_new(tmp_path / "new.txt", info)
    assert said(data, whole(found).x) == "low lowest, newer" and ragged.in_order
    (tmp_path / "new.txt").write_text("low Qq", "utf-8")
    assert 0 in read_new(tmp_path / "new.txt", info)[0].x


def test_a_test_file_is_read_with_the_vocabulary_of_the_other_file(tmp_path: Path) -> None:
    (tmp_path / "last.txt").write_text("newest newest wide?" * 3, "utf-8")
    data = load_text(tmp_path, ENGLISH, vocabulary="bpe", size=30, test="last.txt")
    assert data.dealing.official_test
    (begin,) = np.flatnonzero([part is data.test for part in data.parts])
    assert begin == 2 and data.test.characters is not None
    assert data.test.characters.sum() + len(said(data, data.test.x[:1])) == 19 * 3


def test_what_makes_no_vocabulary_is_refused(tmp_path: Path) -> None:
    refused(lambda: load_text(tmp_path, "a b", vocabulary="words"), "own.txt", "two symbols")
    for data, rule in (
        ({"file": "own.csv", "vocabulary": "bpe"}, r"vocabulary must be given for a \.txt alone"),
        ({"file": "own.txt", "size": 9}, "size must be given for a vocabulary that is learned"),
        ({"file": "own.txt", "vocabulary": "bpe", "size": 1}, "size"),
    ):
        with pytest.raises(ValueError, match=rule):
            OwnData(kind="next-token", data=data)
    spec = OwnData(kind="classification", data={"file": "own.txt", "vocabulary": "bpe"})
    refused(lambda: load(spec, tmp_path), "a .txt is for next-token")


def test_characters_are_read_as_before_where_the_vocabulary_says_so(tmp_path: Path) -> None:
    plain = load_text(tmp_path, ENGLISH)
    told = load_text(tmp_path, ENGLISH, vocabulary="characters")
    assert plain.info == told.info
    assert OwnData(kind="next-token", data="own.txt").model_dump(mode="json")["data"] == "own.txt"
