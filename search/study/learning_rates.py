"""Which learning rates are good before anything was tried: what the literature says of them.

Of all hyperparameters of recurrent models the learning rate matters most; the good ones span one to
two orders of magnitude, much the same on different data (Greff et al. 2017, section V.C).
"""

import math
from dataclasses import dataclass

#: Decimal logarithms of the rates that papers give by default for models of _WIDTH units:
#: Kingma & Ba 2015 (algorithm 1), Loshchilov & Hutter 2019, Tieleman & Hinton 2012 (lecture 6.5),
#: and Bengio 2012 (section 3.1.1) for plain gradient descent.
_USUAL = {"adam": -3.0, "adamw": -3.0, "rmsprop": -3.0, "sgd": -2.0}
_WIDTH = 512
_DEVIATION = 1.0


@dataclass(frozen=True)
class LearningRates:
    """A normal distribution of decimal logarithms of good learning rates."""

    mean: float
    deviation: float


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
