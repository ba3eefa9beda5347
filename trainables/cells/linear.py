"""Linear recurrences: gates that see the input alone, or the past elementwise."""

from trainables.cells.equations import State, Terms, sigmoid, tanh
from trainables.cells.variant import Variant, blocks

#: Steps of the input that a quasi-recurrent cell's convolution sees.
QRNN_WINDOW = 2


def _mingru(a: Terms, s: State) -> State:
    z = sigmoid(a.x("z"))
    return {"h": (1 - z) * s["h"] + z * a.x("h")}


def _minlstm(a: Terms, s: State) -> State:
    f, i = sigmoid(a.x("f")), sigmoid(a.x("i"))
    return {"h": (f * s["h"] + i * a.x("h")) / (f + i)}


def _sru(a: Terms, s: State) -> State:
    f = sigmoid(a.x("f") + a.p("v_f") * s["c"])
    r = sigmoid(a.x("r") + a.p("v_r") * s["c"])
    c = f * s["c"] + (1 - f) * a.x("c")
    return {"h": r * c + (1 - r) * a.input, "c": c}


def _qrnn(a: Terms, s: State) -> State:
    z, f, o = tanh(a.x("z")), sigmoid(a.x("f")), sigmoid(a.x("o"))
    c = f * s["c"] + (1 - f) * z
    return {"h": o * c, "c": c}


VARIANTS = (
    Variant("linear", "mingru", _mingru, blocks("zh"), b=blocks("zh")),
    Variant(
        "linear",
        "minlstm",
        _minlstm,
        blocks("fih"),
        b=blocks("fih"),
        bias={"f": 1.0},
        input_gates=("i",),
    ),
    Variant(
        "linear",
        "sru",
        _sru,
        blocks("fcr"),
        b=blocks("fr"),
        state=blocks("hc"),
        zoneout_fields=("c",),
        vectors={"v_f": 0.0, "v_r": 0.0},
    ),
    Variant(
        "linear",
        "qrnn",
        _qrnn,
        blocks("zfo"),
        b=blocks("zfo"),
        state=blocks("hc"),
        zoneout_fields=("c",),
        window=QRNN_WINDOW,
    ),
)
