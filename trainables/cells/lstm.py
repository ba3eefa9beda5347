"""Long short-term memory and its variants after Greff et al. 2015."""

from trainables.cells.equations import State, Terms, sigmoid, tanh
from trainables.cells.variant import Variant, blocks


def _standard(a: Terms, s: State) -> State:
    i, f, z, o = sigmoid(a("i")), sigmoid(a("f")), tanh(a("z")), sigmoid(a("o"))
    c = z * i + s["c"] * f
    return {"h": o * tanh(c), "c": c}


VARIANTS = (
    Variant(
        "lstm",
        "standard",
        "Gers 2000; NP in Greff 2015",
        _standard,
        state=blocks("hc"),
        W=blocks("ifzo"),
        R=blocks("ifzo"),
        b=blocks("ifzo"),
        bias={"f": 1.0},
    ),
)
