"""Gated recurrent units: the two readings of Cho 2014 and the variants made of them.

z keeps the past in most papers and lets the candidate in in others; each follows its own paper.
"""

from collections.abc import Callable

from trainables.cells.equations import State, Terms, Value, exp, relu, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, full_blocks


def _reset_after(a: Terms, s: State) -> State:
    h = s["h"]
    r, z = sigmoid(a("r")), sigmoid(a("z"))
    n = tanh(a.x("n") + r * (a.recur("n", h) + a.p("b_hn")))
    return {"h": (1 - z) * n + z * h}


def _reset_before(
    gate: Callable[[Terms, str], Value] = lambda a, k: a(k),
) -> Callable[[Terms, State], State]:
    def step(a: Terms, s: State) -> State:
        h = s["h"]
        r, z = sigmoid(gate(a, "r")), sigmoid(gate(a, "z"))
        n = tanh(a.x("n") + a.recur("n", r * h))
        return {"h": (1 - z) * n + z * h}

    return step


def _mut1(a: Terms, s: State) -> State:
    h = s["h"]
    z, r = sigmoid(a.x("z")), sigmoid(a("r"))
    return {"h": tanh(a.recur("n", r * h) + tanh(a.input) + a.x("n")) * z + h * (1 - z)}


def _mut2(a: Terms, s: State) -> State:
    h = s["h"]
    z, r = sigmoid(a("z")), sigmoid(a.input + a("r"))
    return {"h": tanh(a.recur("n", r * h) + a.x("n")) * z + h * (1 - z)}


def _mut3(a: Terms, s: State) -> State:
    h = s["h"]
    z, r = sigmoid(a.x("z") + a.recur("z", tanh(h))), sigmoid(a("r"))
    return {"h": tanh(a.recur("n", r * h) + a.x("n")) * z + h * (1 - z)}


def _decay(a: Terms, s: State) -> State:
    # GRU-D too: there blocks of gates read values and masks, and d reads times (layers/told.py).
    h = exp(0 - relu(a.x("d"))) * s["h"]
    r, z = sigmoid(a.x("r") + a.recur("r", h)), sigmoid(a.x("z") + a.recur("z", h))
    n = tanh(a.x("n") + a.recur("n", r * h))
    return {"h": (1 - z) * h + z * n}


def _light(a: Terms, s: State) -> State:
    z, n = sigmoid(a("z")), relu(a("n"))
    return {"h": z * s["h"] + (1 - z) * n}


_RZN = blocks("rzn")

VARIANTS = (
    Variant("gru", "reset-after", _reset_after, **full_blocks("rzn"), vectors={"b_hn": 0.0}),
    Variant("gru", "reset-before", _reset_before(), **full_blocks("rzn")),
    Variant("gru", "slim-1", _reset_before(), ("n",), _RZN, _RZN),
    Variant("gru", "slim-2", _reset_before(), ("n",), _RZN, ("n",)),
    Variant("gru", "slim-3", _reset_before(lambda a, k: a.x(k)), ("n",), ("n",), _RZN),
    Variant("gru", "mut1", _mut1, blocks("zr"), blocks("rn"), blocks("zrn")),
    Variant("gru", "mut2", _mut2, blocks("zn"), blocks("zrn"), blocks("zrn")),
    Variant("gru", "mut3", _mut3, **full_blocks("zrn")),
    Variant("gru", "d", _decay, blocks("rznd"), blocks("rzn"), blocks("rznd")),
    Variant("gru", "decay", _decay, blocks("drzn"), blocks("rzn"), blocks("drzn")),
    Variant("gru", "light", _light, **full_blocks("zn"), norm="batch"),
)
