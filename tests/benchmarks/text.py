"""Bits per character of recurrent models on English prose, beside compressors and n-grams.

    python tests/benchmarks/text.py [--units 128] [--epochs 12] [--seeds 1] [--book FILE]

The text is that of the task `characters`, and what a figure means is told by what others reach on
the same split, which anybody can compute:

    bz2, xz     bits that the test part adds to what comes before it, compressed; these go on
                learning within the test part, which the models do not
    n-gram      counts of the training part, shorter contexts blended in as Witten & Bell 1991 do
                (method C, IEEE Transactions on Information Theory 37); the order by validation
    lstm, gru   carry_state always: trained in 16 streams by back-propagation truncated at 50 steps,
                the best epoch by validation; the test part is read as one text

With --book it is Project Gutenberg's War and Peace, which FILE holds (its number 2600, or Norvig's
big.txt), and models alone are trained, in 16 streams of 100 steps. Karpathy, Johnson & Fei-Fei
2015 (arXiv 1506.02078, the table of test losses) have figures for it: one layer, 50 epochs, 80 %
of the book for training, 10 % each for validation and test. Their program, char-rnn, takes these
shares of each hundredth of the book; so does this one. Their figures are printed beside ours.
"""

import argparse
import bz2
import lzma
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from spaces.config import TrialConfig
from spaces.tasks import Characters
from trainables.data import tasks
from trainables.data.sequences import Data
from trainables.data.stretches import whole
from trainables.data.tasks import characters
from trainables.training.trainer import Training

ORDERS = range(2, 8)
CELLS = (("lstm", "standard"), ("gru", "reset-after"))
#: Test losses of Karpathy et al. in nats a character: one layer of so many units.
#: Written down without the paper at hand: to be checked there before they are cited.
PUBLISHED = {
    "lstm": {64: 1.449, 128: 1.277, 256: 1.189, 512: 1.161},
    "gru": {64: 1.398, 128: 1.230, 256: 1.198, 512: 1.170},
}
TITLE = "War and Peace"


class Ngram:
    """Counts of a text, and the shares of the next symbol that they tell."""

    def __init__(self, text: NDArray[np.int64], order: int, symbols: int) -> None:
        """order: symbols of the longest context."""
        self._order, self._symbols = order, symbols
        self._counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        symbols_of = text.tolist()
        for at, symbol in enumerate(symbols_of):
            for length in range(min(order, at) + 1):
                self._counts[tuple(symbols_of[at - length : at])][symbol] += 1

    def bits(self, text: NDArray[np.int64]) -> float:
        """Return the mean bits of all symbols of a text but the first."""
        symbols, total = text.tolist(), 0.0
        for at in range(1, len(symbols)):
            share = 1 / self._symbols
            for length in range(min(self._order, at) + 1):
                seen = self._counts.get(tuple(symbols[at - length : at]))
                if seen is None:
                    break
                new, number = len(seen), seen.total()
                share = (seen[symbols[at]] + new * share) / (number + new)
            total -= math.log2(share)
        return total / (len(symbols) - 1)


def book(path: Path) -> str:
    """Return War and Peace without what Project Gutenberg writes around it."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    marks = [
        at
        for at, line in enumerate(lines)
        if line.startswith("***") and TITLE.lower() in line.lower()
    ]
    if len(marks) != 2:
        sys.exit(f"{path}: the file must hold {TITLE} between two lines of *** that name it")
    return "\n".join(lines[marks[0] + 1 : marks[1]]).strip() + "\n"


def dealt(text: str) -> str:
    """Return a text in another order: the first 80 % of each hundredth, then the next 10 %, …."""
    ends = np.linspace(0, len(text), 101).astype(int)
    hundredths = [text[begin:end] for begin, end in pairwise(ends)]
    shares = (0, 0.8, 0.9, 1)
    return "".join(
        each[round(low * len(each)) : round(high * len(each))]
        for low, high in pairwise(shares)
        for each in hundredths
    )


def train(data: Data, asked: argparse.Namespace, streams: int, steps: int, dropout: float) -> None:
    """Train both cells; print a line for each training, with the published figure if there is."""
    for cell, gates in CELLS:
        config = TrialConfig(
            cell=cell,
            gates=gates,
            depth=1,
            hidden_size=asked.units,
            learning_rate=0.005,
            dropout=dropout,
            batch_size=streams,
            max_epochs=asked.epochs,
            schedule="cosine",
            carry_state="always",
            truncation=steps,
        )
        nats = PUBLISHED[cell].get(asked.units) if asked.book else None
        beside = f"; published {nats / math.log(2):.3f}" if nats else ""
        for seed in range(asked.seeds):
            training, began = Training(config, data, seed=seed), time.perf_counter()
            training.advance(asked.epochs)
            found, seconds = training.evaluate("test"), time.perf_counter() - began
            bits, size = found["bits-per-token"], training.parameters
            told = f"{cell:5} {bits:.3f} ({size:,} parameters, {seconds:.0f} s){beside}"
            print(told, flush=True)


def others(data: Data, parts: Sequence[NDArray[np.int64]], text: str) -> None:
    """Print what compressors and n-grams reach on the same split."""
    ends = np.cumsum([len(part) for part in parts])
    before, after = text[: ends[1]].encode(), text.encode()
    for name, compress in (("bz2", bz2.compress), ("xz", lzma.compress)):
        added = 8 * (len(compress(after)) - len(compress(before)))
        print(f"{name:5} {added / len(parts[2]):.3f}", flush=True)
    models = {order: Ngram(parts[0], order, data.info.inputs) for order in ORDERS}
    order = min(models, key=lambda each: models[each].bits(parts[1]))
    print(f"n-gram of {order + 1} characters {models[order].bits(parts[2]):.3f}", flush=True)


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--book", type=Path, metavar="FILE", help="a text that has War and Peace")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    text = dealt(book(asked.book)) if asked.book else characters.text()
    with mock.patch.object(characters, "text", lambda: text):  # the same split of either text
        data = tasks.load(Characters(name="characters"), Path())
    parts = [whole(part).x for part in data.parts]
    print(f"{len(text):,} characters: {', '.join(f'{len(p):,}' for p in parts)}", flush=True)
    if asked.book:
        train(data, asked, streams=16, steps=100, dropout=0.0)
    else:
        others(data, parts, text)
        train(data, asked, streams=16, steps=50, dropout=0.1)


if __name__ == "__main__":
    main()
