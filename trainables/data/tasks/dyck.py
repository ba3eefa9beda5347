"""Dyck-2 of a bounded depth: which of two kinds of brackets must close next, as in "([](" : ")".

Which bracket closes is a question to a stack: Suzgun et al., "LSTM networks can perform dynamic
counting", arXiv 1906.03648 (2019); Hewitt et al., "RNNs can generate bounded hierarchical languages
with optimal memory", arXiv 2010.07515 (2020), whose measure this is. Half of the answers are right
by chance; that the last open bracket is often the last symbol makes many of them easy.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import Dyck
from trainables.data.splits import Parts
from trainables.data.tasks.generated import check_size, dealt

KINDS = 2
SYMBOLS = 2 * KINDS  # opening brackets 0 and 1, closing ones 2 and 3
PATIENCE = 200  # draws for each example, before there seem to be no more


def load(spec: Dyck, base: Path) -> Parts:
    """Return spec.examples different beginnings of words, each of which leaves a bracket open."""
    n, steps = spec.examples, spec.length
    check_size(n, steps, SYMBOLS, "length")
    rng = np.random.default_rng(spec.seed)
    found: dict[tuple[int, ...], int] = {}
    for _ in range(PATIENCE * n):
        if len(found) == n:
            break
        word, due = _beginning(steps, spec.depth, rng)
        found.setdefault(word, due)
    if len(found) < n:
        raise InputError.of(
            "task.examples",
            f"there must be as many different words as examples, {n}; there seem to be "
            f"{len(found)} of length {steps} and depth {spec.depth}",
            "give fewer examples, a greater length or a greater depth",
        )
    lengths = np.array([len(word) for word in found], dtype=np.int64)
    x = np.zeros((n, steps, SYMBOLS), dtype=np.float32)
    for number, word in enumerate(found):
        x[number, np.arange(len(word)), list(word)] = 1.0
    y = np.array(list(found.values()), dtype=np.int64)
    return dealt(spec, "classification", x, lengths, y, KINDS)


def _beginning(steps: int, depth: int, rng: np.random.Generator) -> tuple[tuple[int, ...], int]:
    """Return a beginning of a word that leaves a bracket open, and that bracket's kind."""
    length = int(rng.integers(1 + steps // 2, steps + 1))
    coins, kinds = rng.random(length).tolist(), rng.integers(0, KINDS, size=length).tolist()
    word: list[int] = []
    still_open: list[int] = []
    for coin, kind in zip(coins, kinds, strict=True):
        if not still_open or (coin < 0.5 and len(still_open) < depth):
            still_open.append(kind)
            word.append(kind)
        else:
            word.append(KINDS + still_open.pop())
    while not still_open:  # a whole word: its last bracket opens instead
        word.pop()
        still_open = _open_after(word)
    return tuple(word), still_open[-1]


def _open_after(word: list[int]) -> list[int]:
    still_open: list[int] = []
    for symbol in word:
        if symbol < KINDS:
            still_open.append(symbol)
        else:
            still_open.pop()
    return still_open
