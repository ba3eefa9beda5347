"""Gated recurrent units: the two readings of Cho 2014 and the variants made of them."""

from trainables.cells.equations import State, Terms, sigmoid, tanh
from trainables.cells.variant import Variant, blocks


def _reset_after(a: Terms, s: State) -> State:
    h = s["h"]
    r, z = sigmoid(a("r")), sigmoid(a("z"))
    n = tanh(a.x("n") + r * (a.recur("n", h) + a.p("b_hn")))
    return {"h": (1 - z) * n + z * h}


VARIANTS = (
    Variant(
        "gru",
        "reset-after",
        "Cho 2014 v1",
        _reset_after,
        state=blocks("h"),
        W=blocks("rzn"),
        R=blocks("rzn"),
        b=blocks("rzn"),
        vectors={"b_hn": 0.0},
    ),
)
