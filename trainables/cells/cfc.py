"""Closed-form continuous-time cells (Hasani et al. 2022, Nature Machine Intelligence 4).

The state moves by the time t that passed in a step, in closed form: no equation is solved. Modes,
the backbone of one layer and its scaled tanh are those of ncps, the authors' package (CfCCell).
Block t is no matrix: it is the time itself, the same for all units; see layers/told.py.
"""

from trainables.cells.equations import State, Terms, Value, exp, relu, sigmoid, tanh
from trainables.cells.variant import Variant, blocks

#: LeCun's tanh, 1.7159 tanh(2/3 a), with the digits that ncps gives to two thirds.
SCALE, SLOPE = 1.7159, 0.666


def _backbone(a: Terms) -> Value:
    return SCALE * tanh(SLOPE * a("u"))


def _heads(a: Terms) -> tuple[Value, Value, Value]:
    """Return f, g and the gate s between them."""
    u = _backbone(a)

    def head(k: str) -> Value:
        return a.recur(k, u) + a.x(k)

    return tanh(head("f")), tanh(head("g")), sigmoid(head("s") * a.x("t") + head("v"))


def _standard(a: Terms, s: State) -> State:
    f, g, gate = _heads(a)
    return {"h": (1 - gate) * f + gate * g}


def _no_gate(a: Terms, s: State) -> State:
    f, g, gate = _heads(a)
    return {"h": f + gate * g}


def _magnitude(value: Value) -> Value:
    return relu(value) + relu(0 - value)


# At w_tau = 0, where ncps starts, |w_tau| has no gradient and never would: it starts in (0, 1).
def _pure(a: Terms, s: State) -> State:
    f = a.recur("f", _backbone(a)) + a.x("f")
    rate = _magnitude(a.p("w_tau")) + _magnitude(f)
    return {"h": a.p("amplitude") * (1 - f * exp(0 - a.x("t") * rate))}


_HEADS = blocks("ufgsv")

VARIANTS = (
    Variant("cfc", "standard", _standard, blocks("ut"), _HEADS, _HEADS),
    Variant("cfc", "no-gate", _no_gate, blocks("ut"), _HEADS, _HEADS),
    Variant(
        "cfc",
        "pure",
        _pure,
        blocks("ut"),
        blocks("uf"),
        blocks("uf"),
        vectors={"w_tau": "uniform", "amplitude": 1.0},
    ),
)
