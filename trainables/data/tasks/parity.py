"""Parity: whether the number of ones in a sequence of bits is odd.

Graves, "Adaptive computation time for recurrent neural networks", arXiv 1603.08983 (2016), section
3.1, one bit a step. One bit that is missed or forgotten turns the answer round: half of the answers
are right by chance.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import Parity
from trainables.data.splits import Parts
from trainables.data.tasks.generated import check_size, dealt, distinct


def load(spec: Parity, base: Path) -> Parts:
    """Return spec.examples different sequences of spec.length bits."""
    n, steps = spec.examples, spec.length
    check_size(n, steps, 1, "length")
    if 2 * n > 2**steps:
        raise InputError.of(
            "task.examples",
            f"examples must be at most half of the {2**steps} sequences of {steps} bits, not {n}",
            f"give at most {2 ** (steps - 1)} examples, or a greater length",
        )
    rng = np.random.default_rng(spec.seed)
    bits = np.zeros((0, steps), np.int8)
    while len(bits) < n:
        more = rng.integers(0, 2, size=(2 * n, steps), dtype=np.int8)
        bits = distinct(np.concatenate([bits, more]), n)
    y = bits.sum(axis=1, dtype=np.int64) % 2
    x = bits[:, :, None].astype(np.float32)
    return dealt(spec, "classification", x, np.full(n, steps, dtype=np.int64), y, 2)
