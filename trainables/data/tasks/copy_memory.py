"""Copy memory: some symbols, a pause, a sign, and then the same symbols are to be written down.

    reads    3 1 4 1 5 . . . . . . ! . . . .       . a blank, ! the sign
    writes   . . . . . . . . . . . . 3 1 4 1 …     (copied = 5 here; pause = 7 steps with the sign)

After Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997); in the form
of Arjovsky, Shah & Bengio, "Unitary evolution recurrent neural networks", arXiv 1511.06464 (2016),
section 4.1: 8 symbols, 10 of them copied. Who remembers nothing can still write blanks until the
sign and guess then: a loss of copied x ln(symbols) / (pause + 2 x copied) a step, which is what
the baseline `by-step` reaches.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import CopyMemory
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive
from trainables.data.tasks.generated import SHARES, check_size, distinct


def load(spec: CopyMemory, base: Path) -> Parts:
    """Return spec.examples different sequences of pause + 2 x copied steps, one-hot.

    Classes are the symbols 0 to symbols - 1, and a blank; the sign is read alone.
    """
    n, copied = spec.examples, spec.copied
    steps, blank, sign = spec.pause + 2 * copied, spec.symbols, spec.symbols + 1
    check_size(n, steps, sign + 1, "pause")
    possible = float(spec.symbols) ** copied
    if 2 * n > possible:
        raise InputError.of(
            "task.examples",
            f"examples must be at most {int(possible) // 2} for {copied} of {spec.symbols} "
            f"symbols, not {n}",
            "give fewer examples, or copy more symbols",
        )
    rng = np.random.default_rng(spec.seed)
    shown = np.zeros((0, copied), np.int64)
    while len(shown) < n:
        drawn = rng.integers(0, spec.symbols, size=(2 * n, copied))
        shown = distinct(np.concatenate([shown, drawn]), n)
    read = np.full((n, steps), blank, np.int64)
    read[:, :copied] = shown
    read[:, -copied - 1] = sign
    write = np.full((n, steps), blank, np.int64)
    write[:, -copied:] = shown
    parts = []
    for cut in consecutive(n, SHARES):
        x = np.eye(sign + 1, dtype=np.float32)[read[cut].ravel()]
        lengths = np.full(cut.stop - cut.start, steps, np.int64)
        parts.append(Sequences(x, lengths, write[cut].ravel(), stepwise=True))
    dealing = Dealing("draws", spec=spec)
    return Parts(spec.label, "tagging", sign + 1, blank + 1, *parts, dealing=dealing)
