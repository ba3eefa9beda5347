"""The adding problem: remember two marked numbers of a long sequence and return their sum.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), experiment 4, in
the form that later work reports (Le, Jaitly & Hinton, arXiv 1504.00941; Bai, Kolter & Koltun,
arXiv 1803.01271): values uniform in [0, 1], all sequences of one length, one mark in each half,
target their plain sum. Answering 1 always gives a mean squared error of 1/6, about 0.167.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import Adding
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive

SHARES = (0.8, 0.1, 0.1)


def load(spec: Adding, base: Path) -> Parts:
    """Return spec.examples sequences of spec.length steps with two features, value and mark."""
    n, steps = spec.examples, spec.length
    cuts = consecutive(n, SHARES)
    if any(cut.start == cut.stop for cut in cuts):
        raise InputError.of(
            "task.examples",
            f"the examples are split 80/10/10 and no part may be empty; {n} are too few",
            "give at least 10 examples",
        )
    refuse_unless_it_fits(
        n * steps * 2 * 4, "task.examples", "give fewer examples or a smaller length"
    )
    rng = np.random.default_rng(spec.seed)
    x = np.zeros((n, steps, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((n, steps), dtype=np.float32)
    rows = np.arange(n)
    first = rng.integers(0, steps // 2, size=n)
    second = rng.integers(steps // 2, steps, size=n)
    x[rows, first, 1] = x[rows, second, 1] = 1.0
    y = x[rows, first, 0] + x[rows, second, 0]
    parts = (
        Sequences(
            x[cut].reshape(-1, 2), np.full(cut.stop - cut.start, steps, dtype=np.int64), y[cut]
        )
        for cut in cuts
    )
    return Parts(spec.name, "regression", 2, 1, *parts, dealing=Dealing("draws", spec=spec))
