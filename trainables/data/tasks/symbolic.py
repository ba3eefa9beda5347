"""Symbolic strings of a chosen complexity: predict the next symbol of a repeated random string.

After Cahuantzi, Chen & Güttel, "A comparison of LSTM and GRU networks for learning symbolic
sequences", arXiv 2107.02248 (2021): a base string of given complexity is repeated to a given
length, and a network has to memorise it. Their complexity, and ours, is the number of codes that
LZW emits for the base string (Welch, "A technique for high-performance data compression",
Computer 17, 1984: a parsing of the LZ78 type, not the LZ76 count of the same name).

With `scored: last`, as in the paper, one symbol is predicted for each window: the one after it, by
a model that has seen the whole window. Windows then begin at every step. Otherwise the next symbol
is predicted at each position of a window, at the first ones from little context.

Two things differ from their benchmark on purpose: a string is reproducible from the seed, and it
has exactly the complexity that was asked for.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.tasks import Symbolic
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive, windows

SHARES = (0.7, 0.15, 0.15)  # of the string, in time order
OVERLAP = 10  # training windows begin at every tenth of a window
DRAWS = 32


class _Parser:
    """LZW, one symbol at a time: `codes` is the complexity of what has been fed so far.

    A code is counted when its phrase begins, so the count is that of the text if it ended here.
    It never falls and rises by at most one with each symbol, and so passes every complexity.
    """

    def __init__(self) -> None:
        self.codes = 0
        self._phrase: int | None = None
        self._longer: dict[tuple[int, int], int] = {}  # (phrase, next symbol) -> phrase

    def feed(self, symbol: int) -> None:
        if self._phrase is not None:
            known = self._longer.get((self._phrase, symbol))
            if known is not None:
                self._phrase = known
                return
            self._longer[self._phrase, symbol] = -1 - len(self._longer)
        self._phrase = symbol  # symbols are phrases 0, 1, …; longer ones -1, -2, …
        self.codes += 1


def complexity(text: Iterable[int]) -> int:
    """Return the number of codes that LZW emits for a text of non-negative symbols."""
    parser = _Parser()
    for symbol in text:
        parser.feed(symbol)
    return parser.codes


def base_string(
    asked: int, symbols: int, longest: int, rng: np.random.Generator
) -> NDArray[np.int64] | int:
    """Return a random string of the asked complexity, or the highest complexity within reach.

    The string begins with all `symbols` in random order (complexity: symbols, the least that a
    string with so many different ones can have), goes on with symbols drawn uniformly until the
    complexity is reached, has at most `longest` symbols and is no repetition of a shorter string.
    """
    highest = symbols
    for draw in rng.spawn(DRAWS):  # a draw fails when it grows too long, or is a repetition
        parser, text = _Parser(), []
        for symbol in _endless(symbols, draw):
            text.append(symbol)
            parser.feed(symbol)
            if parser.codes == asked or len(text) == longest:
                break
        if parser.codes == asked and len(text) >= symbols and _primitive(text):
            return np.array(text, dtype=np.int64)
        highest = max(highest, min(parser.codes, asked - 1))
    return highest


def _endless(symbols: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield every symbol once in random order, then symbols at random without end."""
    yield from rng.permutation(symbols).tolist()
    while True:
        yield from rng.integers(symbols, size=1024).tolist()


def load(spec: Symbolic, base: Path) -> Parts:
    """Return windows of spec.window + 1 symbols of the string, split in time order.

    The string is cut into 70 % training, 15 % validation and 15 % test first and then into
    windows, so none reaches over a cut. Training windows overlap; validation and test windows
    tile their stretch, and every symbol is scored once. The whole base string lies within the
    training stretch: what is measured is memorisation, so what follows repeats it.
    """
    stretches = consecutive(spec.length, SHARES)
    shortest = min(stretch.stop - stretch.start for stretch in stretches)
    if shortest <= spec.window:
        enough = math.ceil((spec.window + 2) / min(SHARES))
        raise InputError.of(
            "task.length",
            f"validation and test take {min(SHARES):.0%} of the string each and must hold at least "
            f"one window and its last target, {spec.window + 1} symbols; "
            f"of a length of {spec.length} they get {shortest}",
            f"give a length of at least {enough}, or a smaller window",
        )
    each = 4 * spec.window * spec.symbols if spec.scored == "last" else 8 * (OVERLAP + 1)
    refuse_unless_it_fits(spec.length * each, "task.length", "give a smaller length")
    longest = stretches[0].stop
    if spec.symbols > longest:
        raise InputError.of(
            "task.symbols",
            f"all symbols must occur in the training part, {longest} steps of a length of "
            f"{spec.length}; {spec.symbols} do not fit",
            f"give at most {longest} symbols, or a greater length",
        )
    repeated = _draw(spec, longest)
    text = np.resize(repeated, spec.length)
    train, validation, test = (text[stretch] for stretch in stretches)
    if spec.scored == "last":
        parts = [_last(part, spec.window, spec.symbols) for part in (train, validation, test)]
    else:
        parts = [
            windows(train, spec.window, max(1, spec.window // OVERLAP)),
            windows(validation, spec.window, spec.window),
            windows(test, spec.window, spec.window),
        ]
    dealing = Dealing("draws", spec=spec)
    return Parts(spec.name, spec.of_kind, spec.symbols, spec.symbols, *parts, dealing=dealing)


def _last(series: NDArray[np.int64], window: int, symbols: int) -> Sequences:
    """Return all windows of a series, one-hot, each with the symbol after it as its class."""
    spans = np.lib.stride_tricks.sliding_window_view(series, window + 1)
    one_hot = np.eye(symbols, dtype=np.float32)[spans[:, :-1].ravel()]
    return Sequences(one_hot, np.full(len(spans), window, np.int64), spans[:, -1].copy())


def _draw(spec: Symbolic, longest: int) -> NDArray[np.int64]:
    rule = (
        f"a string of {spec.symbols} symbols that fits into the training part, {longest} of "
        f"{spec.length} steps, must have a complexity from {spec.symbols}"
    )
    if spec.complexity >= spec.symbols:
        found = base_string(
            spec.complexity, spec.symbols, longest, np.random.default_rng(spec.seed)
        )
        if not isinstance(found, int):
            return found
        raise InputError.of(
            "task.complexity",
            f"{rule} to {found} with seed {spec.seed}; {spec.complexity} is asked for",
            f"give a complexity of at most {found}, more symbols, or a greater length",
        )
    raise InputError.of(
        "task.complexity",
        f"{rule}, one code for each symbol at least; {spec.complexity} is asked for",
        f"give a complexity of at least {spec.symbols}, or fewer symbols",
    )


def _primitive(text: list[int]) -> bool:
    """Return whether a text is no repetition of a shorter one (Knuth, Morris & Pratt 1977)."""
    border = [0] * len(text)
    k = 0
    for i in range(1, len(text)):
        while k and text[i] != text[k]:
            k = border[k - 1]
        k += text[i] == text[k]
        border[i] = k
    period = len(text) - border[-1]
    return period == len(text) or len(text) % period != 0
