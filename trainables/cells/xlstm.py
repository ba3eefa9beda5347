"""The scalar-memory cell of the extended LSTM, stabilised (Beck 2024, equations 8 to 17)."""

from trainables.cells.equations import State, Terms, exp, log_sigmoid, maximum, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, forgets, full_blocks

#: Stands for minus infinity as the first stabiliser: the first input then counts in full, and the
#: normaliser n is never below 1.
_NOTHING = -1e30


def _slstm(a: Terms, s: State) -> State:
    i_raw, kept = a("i"), log_sigmoid(a("f")) + s["m"]
    m = maximum(i_raw, kept)
    i, f = exp(i_raw - m), exp(kept - m)
    c = f * s["c"] + i * tanh(a("z"))
    n = f * s["n"] + i
    return {"h": sigmoid(a("o")) * c / n, "c": c, "n": n, "m": m}


VARIANTS = (
    Variant(
        "xlstm",
        "slstm",
        _slstm,
        **full_blocks("ifzo"),
        state=blocks("hcnm"),
        initial={"m": _NOTHING},
        **forgets("f", input_gates="i"),
    ),
)
