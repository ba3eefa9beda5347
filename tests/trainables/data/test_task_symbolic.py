"""The symbolic task: the strings have the complexity that was asked for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import InputError
from spaces.tasks import Symbolic
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load
from trainables.data.tasks.symbolic import base_string, complexity


def lzw_codes(text: str) -> list[int]:
    """LZW as the textbook has it, on strings: the second implementation of the complexity."""
    table = {symbol: code for code, symbol in enumerate(sorted(set(text)))}
    codes, phrase = [], ""
    for symbol in text:
        if phrase + symbol in table:
            phrase += symbol
        else:
            codes.append(table[phrase])
            table[phrase + symbol] = len(table)
            phrase = symbol
    return [*codes, table[phrase]] if phrase else codes


def decoded(codes: list[int], symbols: list[str]) -> str:
    """The text that LZW codes stand for."""
    table = list(symbols)
    text = previous = table[codes[0]]
    for code in codes[1:]:
        phrase = table[code] if code < len(table) else previous + previous[0]
        table.append(previous + phrase[0])
        text, previous = text + phrase, phrase
    return text


def as_letters(symbols: np.ndarray) -> str:
    return "".join(chr(ord("A") + symbol) for symbol in symbols.tolist())


def parts(data: Data) -> tuple[Sequences, Sequences, Sequences]:
    return data.train, data.validation, data.test


@given(st.text("ABC", min_size=1, max_size=80))
def test_the_complexity_is_the_number_of_codes_from_which_lzw_restores_the_text(text: str) -> None:
    codes = lzw_codes(text)
    assert decoded(codes, sorted(set(text))) == text
    assert complexity(ord(symbol) for symbol in text) == len(codes)


def test_the_complexity_agrees_with_a_string_of_the_papers_own_library() -> None:
    assert complexity(ord(symbol) for symbol in "ABCACBBBCAAA") == 10
    assert complexity([]) == 0


@given(
    symbols=st.integers(2, 8),
    extra=st.integers(0, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_base_string_has_exactly_the_asked_complexity(
    symbols: int, extra: int, seed: int
) -> None:
    found = base_string(symbols + extra, symbols, 1000, np.random.default_rng(seed))
    assert not isinstance(found, int)
    text = as_letters(found)
    assert len(lzw_codes(text)) == symbols + extra
    assert len(set(text)) == symbols
    assert (text + text).find(text, 1) == len(text)  # no repetition of a shorter string


@given(longest=st.integers(4, 60), seed=st.integers(0, 1000))
def test_the_named_range_of_complexities_is_within_reach(longest: int, seed: int) -> None:
    highest = base_string(10**6, 2, longest, np.random.default_rng(seed))
    assert isinstance(highest, int)
    found = base_string(highest, 2, longest, np.random.default_rng(seed))
    assert not isinstance(found, int)
    assert complexity(found.tolist()) == highest
    assert len(found) <= longest


@pytest.mark.parametrize("asked", [10, 50, 110, 190, 290])
@pytest.mark.parametrize("symbols", [2, 4, 6, 8])
def test_the_papers_complexities_fit_into_the_papers_length(asked: int, symbols: int) -> None:
    spec = Symbolic(name="symbolic", complexity=asked, symbols=symbols)
    data = load(spec, Path())
    assert set(np.unique(data.train.x).tolist()) == set(range(symbols))


def test_the_string_repeats_its_base_string_across_all_parts() -> None:
    spec = Symbolic(name="symbolic", complexity=30, length=1000, window=50, seed=3)
    base = base_string(30, 4, 700, np.random.default_rng(3))
    assert not isinstance(base, int)
    repeated = as_letters(np.resize(base, 2000))
    for part in parts(load(spec, Path())):
        for start, length in zip(part.starts, part.lengths, strict=True):
            assert as_letters(part.x[start : start + length]) in repeated


def test_scored_windows_tile_their_stretch_and_training_windows_overlap() -> None:
    spec = Symbolic(name="symbolic", complexity=30, length=1000, window=50)
    train, validation, test = parts(load(spec, Path()))
    for part in (validation, test):
        assert (part.lengths - 1).sum() == 150 - 1  # each symbol but the first is a target once
        assert (part.lengths[:-1] == 51).all()
    assert (train.lengths == 51).all()
    assert len(train) == (700 - 51) // 5 + 2  # one every tenth of a window, and the end


def refusal(**options: int) -> str:
    with pytest.raises(InputError) as caught:
        load(Symbolic(name="symbolic", **options), Path())
    return str(caught.value)


def test_a_complexity_out_of_reach_is_refused_with_the_range_that_is_not() -> None:
    low = refusal(complexity=3, symbols=4)
    assert low.startswith("task.complexity: ")
    assert "from 4" in low and "3 is asked for" in low
    high = refusal(complexity=100_000)
    highest = int(high.split("at most ")[1].split(",")[0])
    assert highest > 290
    load(Symbolic(name="symbolic", complexity=highest), Path())
    assert "100000 is asked for" in high


def test_a_length_too_short_for_a_window_in_each_part_names_one_that_is_enough() -> None:
    message = refusal(complexity=10, length=300)
    assert message.startswith("task.length: ")
    enough = int(message.split("length of at least ")[1].split(",")[0])
    load(Symbolic(name="symbolic", complexity=10, length=enough), Path())


def test_more_symbols_than_steps_are_refused() -> None:
    assert refusal(complexity=900, symbols=800, length=1000).startswith("task.symbols: ")


def test_a_length_beyond_the_memory_is_refused_at_once() -> None:
    assert "memory" in refusal(complexity=10, length=10**15)


def test_a_window_that_is_scored_at_its_last_position_is_followed_by_its_class() -> None:
    spec = Symbolic(name="symbolic", complexity=12, length=400, window=30, scored="last")
    every, last = load(spec.model_copy(update={"scored": "all"}), Path()), load(spec, Path())
    assert last.info.kind == "classification" and every.info.kind == "next-token"
    for name in ("validation", "test"):
        tiled, windowed = getattr(every, name), getattr(last, name)
        series = np.concatenate(
            [
                tiled.all_steps()[:1],
                *(
                    tiled.all_steps()[start + 1 : start + length]
                    for start, length in zip(tiled.starts, tiled.lengths, strict=True)
                ),
            ]
        )
        assert len(windowed) == len(series) - spec.window, "a window begins at every step"
        steps = windowed.all_steps().reshape(len(windowed), spec.window, spec.symbols)
        for start, (window, target) in enumerate(zip(steps, windowed.targets, strict=True)):
            assert window.argmax(1).tolist() == series[start : start + spec.window].tolist()
            assert target == series[start + spec.window]
        assert (steps.sum(2) == 1).all()
