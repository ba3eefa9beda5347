"""Cells with little between one state and the next: update gate, +RNN, recurrent additive."""

from trainables.cells.equations import State, Terms, relu, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, full_blocks


def _ugrnn(a: Terms, s: State) -> State:
    g, n = sigmoid(a("g")), tanh(a("n"))
    return {"h": g * s["h"] + (1 - g) * n}


def _intersection(a: Terms, s: State) -> State:
    g_y, g_h = sigmoid(a("gy")), sigmoid(a("gh"))
    y = g_y * a.input + (1 - g_y) * relu(a("y"))
    return {"y": y, "h": g_h * s["h"] + (1 - g_h) * tanh(a("h"))}


def _ran(a: Terms, s: State) -> State:
    c = sigmoid(a("i")) * a.x("c") + sigmoid(a("f")) * s["c"]
    return {"h": tanh(c), "c": c}


VARIANTS = (
    Variant("ugrnn", "standard", _ugrnn, **full_blocks("gn"), bias={"g": 1.0}),
    Variant(
        "ugrnn",
        "intersection",
        _intersection,
        **full_blocks("gy y gh h"),
        state=blocks("yh"),
        output="y",
        bias={"gy": 1.0, "gh": 1.0},
    ),
    Variant(
        "ran",
        "standard",
        _ran,
        blocks("cif"),
        blocks("if"),
        blocks("if"),
        state=blocks("hc"),
        zoneout_fields=blocks("hc"),
        bias={"f": 1.0},
        input_gates=("i",),
    ),
)
