"""Handwritten digits of 8x8 pixels, read row by row or pixel by pixel.

1,797 digits, the test part of Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI
Machine Learning Repository (1998), as the scikit-learn package has them. They are of 13 writers,
and the file does not say whose each one is: training, validation and test share writers. Pixel by
pixel it is a small version of the task of Le, Jaitly & Hinton, arXiv 1504.00941 (2015).
"""

import csv
import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.tasks import Digits
from trainables.data.sequences import Dealing
from trainables.data.splits import Parts, select, stratified

SIDE = 8
SHARES = (0.6, 0.2, 0.2)


def load(spec: Digits, base: Path) -> Parts:
    """Return all digits: 8 steps of 8 features, or 64 steps of one feature."""
    pixels, y = _read()
    features = SIDE if spec.by == "rows" else 1
    x = pixels.reshape(-1, features).astype(np.float32)
    lengths = np.full(len(y), SIDE * SIDE // features, dtype=np.int64)
    chosen = stratified(y, SHARES, np.random.default_rng(spec.seed))
    parts = (select(x, lengths, y, part) for part in chosen)
    order = np.concatenate(chosen)
    return Parts(spec.name, "classification", features, 10, *parts, dealing=Dealing(order=order))


def _read() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pixels [n, 64] from 0 to 16 and digits [n]: importing scikit-learn takes a second."""
    found = importlib.util.find_spec("sklearn")
    for location in (found and found.submodule_search_locations) or ():
        file = Path(location, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            with gzip.open(file, "rt", encoding="ascii") as lines:
                rows = np.array(list(csv.reader(lines)), dtype=np.float64).astype(np.int64)
            return rows[:, :-1], rows[:, -1]
    raise InputError.of(
        "task.name",
        "the scikit-learn package must be installed: digits are read from its file",
        "install it with: pip install scikit-learn",
    )
