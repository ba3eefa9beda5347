"""The adding problem: remember two marked numbers of a long sequence and return their sum.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), experiment 4, in
the form that later work reports (Le, Jaitly & Hinton, arXiv 1504.00941; Bai, Kolter & Koltun,
arXiv 1803.01271): values uniform in [0, 1], all sequences of one length, one mark in each half,
target their plain sum. Answering 1 always gives a mean squared error of 1/6, about 0.167.
"""

from pathlib import Path

import numpy as np

from spaces.tasks import Adding
from trainables.data.splits import Parts
from trainables.data.tasks.generated import check_size, dealt


def load(spec: Adding, base: Path) -> Parts:
    """Return spec.examples sequences of spec.length steps with two features, value and mark."""
    n, steps = spec.examples, spec.length
    check_size(n, steps, 2, "length")
    rng = np.random.default_rng(spec.seed)
    x = np.zeros((n, steps, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((n, steps), dtype=np.float32)
    rows = np.arange(n)
    first = rng.integers(0, steps // 2, size=n)
    second = rng.integers(steps // 2, steps, size=n)
    x[rows, first, 1] = x[rows, second, 1] = 1.0
    y = x[rows, first, 0] + x[rows, second, 0]
    return dealt(spec, "regression", x, np.full(n, steps, dtype=np.int64), y, 1)
