"""The simple recurrent network: one block, one activation (Elman 1990)."""

from trainables.cells.equations import State, Terms, relu, tanh
from trainables.cells.variant import Variant


def _tanh(a: Terms, s: State) -> State:
    return {"h": tanh(a("h"))}


def _relu(a: Terms, s: State) -> State:
    return {"h": relu(a("h"))}


def _indrnn(a: Terms, s: State) -> State:
    return {"h": relu(a.x("h") + a.p("u") * s["h"])}


_H = ("h",)

VARIANTS = (
    Variant("rnn", "tanh", _tanh, W=_H, R=_H, b=_H),
    Variant("rnn", "relu", _relu, W=_H, R=_H, b=_H),
    Variant("rnn", "irnn", _relu, W=_H, R=_H, b=_H),
    Variant("rnn", "indrnn", _indrnn, W=_H, b=_H, vectors={"u": "uniform"}),
)
