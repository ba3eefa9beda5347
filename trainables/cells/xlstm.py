"""The scalar-memory cell of the extended LSTM, stabilised (Beck 2024, equations 8 to 17)."""

from trainables.cells.equations import State, Terms, exp, log_sigmoid, maximum, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, full_blocks

#: The stabiliser m before the first step; it stands for minus infinity. The first input then counts
#: in full, and the normaliser n is never below 1.
_MINUS_INFINITY = -1e30


def _slstm(a: Terms, s: State) -> State:
    log_i, log_f = a("i"), log_sigmoid(a("f")) + s["m"]
    m = maximum(log_i, log_f)
    i, f = exp(log_i - m), exp(log_f - m)
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
        initial={"m": _MINUS_INFINITY},
        bias={"f": 1.0},
        input_gates=("i",),
    ),
)
