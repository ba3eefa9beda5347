"""The simple recurrent network: one block, one activation (Elman 1990)."""

from trainables.cells.equations import State, Terms, relu, tanh
from trainables.cells.variant import Variant, blocks


def _tanh(a: Terms, s: State) -> State:
    return {"h": tanh(a("h"))}


def _relu(a: Terms, s: State) -> State:
    return {"h": relu(a("h"))}


_H = blocks("h")

VARIANTS = (
    Variant("rnn", "tanh", "Elman 1990", _tanh, state=_H, W=_H, R=_H, b=_H),
    Variant("rnn", "relu", "Elman 1990", _relu, state=_H, W=_H, R=_H, b=_H),
)
