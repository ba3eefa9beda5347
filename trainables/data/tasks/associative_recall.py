"""Associative recall: some letters are shown, each before its digit; then one letter again.

"c9k8j3f1??c" asks for 9: Ba et al., "Using fast weights to attend to the recent past", arXiv
1610.06258 (2016), section 4.1. One answer in ten is right by chance.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import AssociativeRecall
from trainables.data.splits import Parts
from trainables.data.tasks.generated import check_size, dealt, distinct

LETTERS, DIGITS = 26, 10
ASKED = LETTERS + DIGITS  # the symbol ?


def load(spec: AssociativeRecall, base: Path) -> Parts:
    """Return spec.examples different questions, 2 x pairs + 3 steps of 37 one-hot symbols."""
    n, pairs = spec.examples, spec.pairs
    steps = 2 * pairs + 3
    check_size(n, steps, ASKED + 1, "number of pairs")
    possible = LETTERS * DIGITS if pairs == 1 else LETTERS * (LETTERS - 1) * DIGITS**2
    if 2 * n > possible:
        raise InputError.of(
            "task.examples",
            f"examples must be at most {possible // 2} with {pairs} pairs, not {n}",
            "give fewer examples, or more pairs",
        )
    rng = np.random.default_rng(spec.seed)
    symbols = np.zeros((0, steps), np.int64)
    while len(symbols) < n:
        symbols = distinct(np.concatenate([symbols, _draw(2 * n, pairs, rng)]), n)
    asked = symbols[:, -1]
    at = (symbols[:, 0 : 2 * pairs : 2] == asked[:, None]).argmax(axis=1)
    y = symbols[np.arange(n), 2 * at + 1] - LETTERS
    x = np.eye(ASKED + 1, dtype=np.float32)[symbols]
    return dealt(spec, "classification", x, np.full(n, steps, dtype=np.int64), y, DIGITS)


def _draw(
    n: int, pairs: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    symbols = np.full((n, 2 * pairs + 3), ASKED, dtype=np.int64)
    letters = rng.permuted(np.tile(np.arange(LETTERS), (n, 1)), axis=1)[:, :pairs]
    symbols[:, 0 : 2 * pairs : 2] = letters
    symbols[:, 1 : 2 * pairs : 2] = LETTERS + rng.integers(0, DIGITS, size=(n, pairs))
    symbols[:, -1] = letters[np.arange(n), rng.integers(0, pairs, size=n)]
    return symbols
