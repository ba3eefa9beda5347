"""The next-character task: real text, no paragraph twice, contiguous splits."""

from pathlib import Path

import numpy as np
import pytest

from spaces.errors import InputError
from spaces.tasks import Characters
from trainables.data.sequences import Sequences
from trainables.data.tasks import load
from trainables.data.tasks.characters import text


def joined(part: Sequences, vocabulary: list[str]) -> str:
    """The stretch that the windows of a part tile."""
    first = part.x[:1].tolist()
    symbols = first + [
        symbol
        for start, length in zip(part.starts, part.lengths, strict=True)
        for symbol in part.x[start + 1 : start + length].tolist()
    ]
    return "".join(vocabulary[symbol] for symbol in symbols)


def test_the_parts_are_consecutive_stretches_of_the_text() -> None:
    used = text()[:20000]
    data = load(Characters(name="characters", limit=20000), Path())
    vocabulary = sorted(set(used))
    assert data.info.inputs == len(vocabulary)
    stretches = [joined(part, vocabulary) for part in (data.train, data.validation, data.test)]
    assert "".join(stretches) == used
    assert [len(stretch) for stretch in stretches] == [16000, 2000, 2000]


def test_no_paragraph_occurs_twice() -> None:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text().split("\n\n")]
    assert len(paragraphs) > 1000
    assert len(set(paragraphs)) == len(paragraphs)


def test_the_whole_text_is_used_by_default() -> None:
    data = load(Characters(name="characters"), Path())
    targets = sum(
        int((part.lengths - 1).sum()) for part in (data.train, data.validation, data.test)
    )
    assert targets == len(text()) - 3
    assert targets > 300_000
    assert np.unique(data.train.x).size > 60


def test_a_window_longer_than_a_part_is_refused_with_the_longest_that_fits() -> None:
    with pytest.raises(InputError) as caught:
        load(Characters(name="characters", limit=1000, window=200), Path())
    (problem,) = caught.value.problems
    assert problem.place == "task.window"
    assert "they get 100" in problem.rule
    assert "at most 99, or a higher limit" in problem.remedy
    load(Characters(name="characters", limit=1000, window=99), Path())
