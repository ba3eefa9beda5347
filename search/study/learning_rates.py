"""Which learning rates are good before anything was tried: what the literature says of them.

Of all hyperparameters of recurrent models the learning rate matters most; the good ones span one to
two orders of magnitude, much the same on different data (Greff et al. 2017, section V.C).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from spaces.arms import Arm
from spaces.domains import Choices, Domain, Fixed, Range

Floats = NDArray[np.float64]

#: Decimal logarithms of the rates that papers give by default for models of _WIDTH units:
#: Kingma & Ba 2015 (algorithm 1), Loshchilov & Hutter 2019, Tieleman & Hinton 2012 (lecture 6.5),
#: and Bengio 2012 (section 3.1.1) for plain gradient descent.
_USUAL = {"adam": -3.0, "adamw": -3.0, "rmsprop": -3.0, "sgd": -2.0}
_WIDTH = 512
_DEVIATION = 0.75  #: the good ones span one to two orders of magnitude


@dataclass(frozen=True)
class LearningRates:
    """A normal distribution of decimal logarithms of good learning rates."""

    mean: float
    deviation: float

    def away(self, decimal_logarithms: Floats) -> Floats:
        """Return minus the logarithm of the density of rates, 0 for the best; at most 4.5."""
        deviations = (decimal_logarithms - self.mean) / self.deviation
        found: Floats = np.minimum(deviations**2 / 2, 4.5)
        return found


NOT_KNOWN = LearningRates(0.0, math.inf)  #: all rates are equally good


def literature(cell: str, hidden_size: int | None, optimizer: str) -> LearningRates:
    """Return which learning rates the literature has good for a model.

    Smaller models bear larger rates: where every weight's step is of a size, the rate goes with 1 /
    width (Yang et al. 2021, table 3); half of that is taken, since recurrent models start as usual.
    A gradient's step grows with the gradient itself, and plain descent is left as it is. Plain
    recurrent cells need smaller rates than gated ones (Le et al. 2015, section 4): a third.

    cell: a family of the catalogue. hidden_size: None where it is not known: 128.
    """
    mean = _USUAL[optimizer]
    if optimizer != "sgd":
        mean += 0.5 * math.log10(_WIDTH / (hidden_size or 128))
    if cell == "rnn":
        mean -= 0.5
    return LearningRates(mean, _DEVIATION)


def of_arm(arm: Arm, decades: Mapping[str, float]) -> LearningRates:
    """Return which learning rates are good for the models of an arm, on average.

    decades: by family, by how many former jobs' good rates are above those of the literature.
    """
    hidden_size = _middle(arm.space.get("hidden_size"))
    optimizers = arm.space["optimizer"]
    assert isinstance(optimizers, Choices | Fixed)
    names = optimizers.values if isinstance(optimizers, Choices) else (optimizers.value,)
    found = [
        literature(family, hidden_size, str(name))
        for family in {cell.family: None for cell in arm.cells}
        for name in names
    ]
    above = fmean(decades.get(cell.family, 0.0) for cell in arm.cells)
    return LearningRates(
        fmean(rates.mean for rates in found) + above, max(rates.deviation for rates in found)
    )


def _middle(domain: Domain | None) -> int | None:
    """Return the geometric mean of a domain of sizes."""
    match domain:
        case Fixed(value):
            sizes = [value]
        case Choices(values):
            sizes = list(values)
        case Range(low, high):
            sizes = [low, high]
        case _:
            return None
    return round(math.exp(fmean(math.log(float(size or 1)) for size in sizes)))
