"""Texts whose vocabulary is learned from the training part, however they are dealt. NumPy only.

Parts are contiguous stretches of a text's pieces, in which windows are cut that tile them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spaces.errors import InputError
from spaces.own_data import TrainedVocabulary
from trainables.data.sequences import Data, Dealing, Sequences
from trainables.data.splits import Parts, windows
from trainables.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainedText:
    """A text in pieces, and what becomes of it."""

    pieces: tuple[str, ...]
    ends: tuple[int, int, int]  #: pieces up to the end of training, validation and test part
    kind: TrainedVocabulary
    size: int  #: symbols of the vocabulary, at most
    window: int  #: targets of a sequence
    #: Characters between two pieces that are in none of them.
    between: int = 0

    def parts(self, name: str, place: str, *, official_test: bool = False) -> Parts:
        """Return the text's parts in its order. Raises InputError where one has no target.

        name: of the task. place: the user's file, or a field of a built-in task.
        """
        begins = (0, *self.ends[:-1])
        spans = [[(begin, end)] for begin, end in zip(begins, self.ends, strict=True)]
        vocabulary, parts = self._encoded(spans, self.size)
        if min(len(part) for part in parts) == 0:
            shown = ", ".join(str(len(part)) for part in parts)
            raise InputError.of(
                place,
                "training, validation and test part must have two symbols at least; they have "
                f"{shown} windows",
                "give a longer text",
            )
        size = len(vocabulary.symbols)
        dealing = Dealing("stretches", official_test=official_test, text=self)
        return Parts(
            name,
            "next-token",
            size,
            size,
            *parts,
            dealing=dealing,
            labels=vocabulary.symbols,
        )

    def redealt(self, data: Data, design: Literal["splits", "nested"], seed: int) -> Data:
        """Return a task's data with parts that begin at a drawn place, and its vocabulary anew.

        The text is a circle; with design splits its test part stays. The vocabulary has as many
        symbols as before: models of all splits are of one size.
        """
        last = self.ends[1] if design == "splits" else self.ends[2]
        first = int(np.random.default_rng(seed).integers(last))
        sizes = np.diff((0, *self.ends)).tolist()
        spans, begin = [], first
        for size in sizes if design == "nested" else sizes[:2]:
            end = begin + size
            inside = [(begin, min(end, last))] if begin < last else []
            over = [(max(begin, last) - last, end - last)] if end > last else []
            spans.append([*over, *inside])
            begin = end
        if design == "splits":
            spans.append([(self.ends[1], self.ends[2])])
        vocabulary, parts = self._encoded(spans, data.info.outputs)
        info = replace(data.info, labels=vocabulary.padded(data.info.outputs).symbols)
        train, validation, test = parts
        return replace(data, info=info, train=train, validation=validation, test=test)

    def _encoded(
        self, spans: Sequence[list[tuple[int, int]]], size: int
    ) -> tuple[Vocabulary, list[Sequences]]:
        """Return the vocabulary of the first of some parts, and all of them in its symbols."""
        training = (piece for begin, end in spans[0] for piece in self.pieces[begin:end])
        vocabulary = Vocabulary.learn(self.kind, size, training)
        return vocabulary, [
            windowed(vocabulary, each, self.pieces, self.window, self.between) for each in spans
        ]


def windowed(
    vocabulary: Vocabulary,
    spans: Sequence[tuple[int, int]],
    pieces: Sequence[str],
    window: int,
    between: int = 0,
) -> Sequences:
    """Return the windows of some stretches of a text's pieces, which tile each of them."""
    found, place = [], 0
    for begin, end in spans:
        symbols, characters = vocabulary.encode(pieces[begin:end])
        cut = windows(symbols, window, window, place)
        assert cut.offsets is not None
        before = np.concatenate([[0], np.cumsum(characters + between)])
        firsts = cut.offsets - place
        told = before[firsts + cut.lengths] - before[firsts + 1]
        found.append(replace(cut, characters=told))
        place += len(symbols)
    x, lengths, offsets, told = (
        np.concatenate([getattr(each, name) for each in found])
        for name in ("x", "lengths", "offsets", "characters")
    )
    return Sequences(x, lengths, offsets=offsets, characters=told)
