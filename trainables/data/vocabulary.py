"""Vocabularies that are learned from a text: its words, or pieces merged from its characters.

A text is cut into pieces first, of which it is made without a gap: words, numbers and runs of
marks, each with the space before it, and other white space (as for GPT-2; Radford et al. 2019).

    words  the pieces that occur most often are symbols
    bpe    byte-pair encoding (Sennrich, Haddow & Birch 2016, ACL, algorithm 1), of characters: of
           two neighbours within pieces that occur together most often one symbol is made, again
           and again. A piece is encoded by merging those neighbours first that were merged first.

What has no symbol is UNKNOWN: a piece of `words`, a character of `bpe`. NumPy only.
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import TrainedVocabulary

UNKNOWN = "<unknown>"
_PIECES = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def pieces(text: str) -> list[str]:
    """Return the pieces of a text; joined they are the text."""
    return _PIECES.findall(text)


@dataclass(frozen=True)
class Vocabulary:
    """Symbols by their numbers; the first is UNKNOWN, those of bpe stand in the order of merges."""

    kind: TrainedVocabulary
    symbols: tuple[str, ...]
    _known: dict[str, tuple[list[int], list[int]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def learn(cls, kind: TrainedVocabulary, size: int, text: Iterable[str]) -> Self:
        """Return a vocabulary of at most `size` symbols for the pieces of a training part."""
        counts = Counter(text)
        if kind == "bpe":
            return cls(kind, (UNKNOWN, *_merged(counts, size - 1)))
        return cls(kind, (UNKNOWN, *sorted(_frequent(counts, size - 1))))

    def padded(self, size: int) -> Self:
        """Return the vocabulary with symbols that stand for nothing, so that it has `size`."""
        empty = (f"<unused {number}>" for number in range(1, size - len(self.symbols) + 1))
        return type(self)(self.kind, (*self.symbols, *empty))

    def encode(self, text: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the symbols of a text's pieces, and the characters that each stands for."""
        numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        of_bpe = self.kind == "bpe"
        symbols: list[int] = []
        characters: list[int] = []
        for piece in text:
            found = self._known.get(piece)
            if found is None:
                parts = _encoded(piece, numbers) if of_bpe else [piece]
                found = [numbers.get(part, 0) for part in parts], [len(part) for part in parts]
                self._known[piece] = found
            symbols += found[0]
            characters += found[1]
        return np.array(symbols, dtype=np.int64), np.array(characters, dtype=np.int64)


def _frequent(counts: Counter[str], number: int) -> list[str]:
    """Return what occurs most often; of equally frequent ones the first in alphabetical order."""
    return sorted(counts, key=lambda each: (-counts[each], each))[:number]


def _encoded(piece: str, numbers: dict[str, int]) -> list[str]:
    """Return the symbols that the characters of a piece are merged to, by age of the symbols."""
    parts = list(piece)
    while len(parts) > 1:
        ages = [numbers.get(a + b, len(numbers)) for a, b in pairwise(parts)]
        first = min(range(len(ages)), key=ages.__getitem__)
        if ages[first] == len(numbers):
            break
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts


def _merged(counts: Counter[str], number: int) -> list[str]:
    """Return characters, then what their most frequent neighbours are merged to."""
    characters: Counter[str] = Counter()
    for piece, count in counts.items():
        for character in piece:
            characters[character] += count
    found = dict.fromkeys(_frequent(characters, number))
    words = list(map(list, counts))
    frequency = list(counts.values())
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for at, word in enumerate(words):
        for pair in _neighbours(word, found):
            pairs[pair] += frequency[at]
            where[pair].add(at)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while len(found) < number and heap:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair]:
            continue  # it has been counted anew since
        if -count < 2:
            break
        found.setdefault("".join(pair))
        changed: set[tuple[str, str]] = set()
        for at in where.pop(pair):
            for old in _neighbours(words[at], found):
                pairs[old] -= frequency[at]
                changed.add(old)
            words[at] = _joined(words[at], pair)
            for new in _neighbours(words[at], found):
                pairs[new] += frequency[at]
                where[new].add(at)
                changed.add(new)
        for each in changed:
            if pairs[each] > 0:
                heapq.heappush(heap, (-pairs[each], each))
    return list(found)


def _neighbours(word: list[str], known: dict[str, None]) -> list[tuple[str, str]]:
    """Return the neighbours in a word that may be merged: both are symbols."""
    return [pair for pair in pairwise(word) if pair[0] in known and pair[1] in known]


def _joined(word: list[str], pair: tuple[str, str]) -> list[str]:
    """Return a word in which two neighbours are one, wherever they stand together."""
    joined: list[str] = []
    at = 0
    while at < len(word):
        if at + 1 < len(word) and (word[at], word[at + 1]) == pair:
            joined.append(word[at] + word[at + 1])
            at += 2
        else:
            joined.append(word[at])
            at += 1
    return joined
