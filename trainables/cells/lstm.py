"""Long short-term memory and its variants, most after Greff et al. 2015 (NP, V and those of V)."""

from collections.abc import Callable

from trainables.cells.equations import State, Terms, Value, norm, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, full_blocks

#: JANET's shift β of the forget gate's logit in the weight of the new value, 1 - σ(a_f - β).
JANET_BETA = 1.0


def _standard(a: Terms, s: State) -> State:
    i, f, z, o = sigmoid(a("i")), sigmoid(a("f")), tanh(a("z")), sigmoid(a("o"))
    c = z * i + s["c"] * f
    return {"h": o * tanh(c), "c": c}


def _identity(value: Value) -> Value:
    return value


def _peephole(
    without: str = "",
    g: Callable[[Value], Value] = tanh,
    h: Callable[[Value], Value] = tanh,
) -> Callable[[Terms, State], State]:
    """Return V with one gate held at 1, or another input activation g, or output activation h."""

    def step(a: Terms, s: State) -> State:
        z = g(a("z"))
        if without != "i":
            z = z * sigmoid(a("i") + a.p("p_i") * s["c"])
        past = s["c"]
        if without != "f":
            past = past * sigmoid(a("f") + a.p("p_f") * s["c"])
        c = z + past
        out = h(c)
        if without != "o":
            out = out * sigmoid(a("o") + a.p("p_o") * c)
        return {"h": out, "c": c}

    return step


def _coupled(a: Terms, s: State) -> State:
    i = sigmoid(a("i") + a.p("p_i") * s["c"])
    c = tanh(a("z")) * i + s["c"] * (1 - i)
    return {"h": sigmoid(a("o") + a.p("p_o") * c) * tanh(c), "c": c}


def _full_gate_recurrence(a: Terms, s: State) -> State:
    def gate(k: str, c: Value) -> Value:
        gates = sum(a.recur(f"{k}{source}", s[source]) for source in "ifo")
        return sigmoid(a(k) + gates + a.p(f"p_{k}") * c)

    i, f = gate("i", s["c"]), gate("f", s["c"])
    c = tanh(a("z")) * i + s["c"] * f
    o = gate("o", c)
    return {"h": o * tanh(c), "c": c, "i": i, "f": f, "o": o}


def _projected(a: Terms, s: State) -> State:
    state = _standard(a, s)
    return {"h": a.project(state["h"]), "c": state["c"]}


def _layer_norm(a: Terms, s: State) -> State:
    i, f, o = (sigmoid(a.normed(k)) for k in "ifo")
    c = tanh(a.normed("z")) * i + s["c"] * f
    return {"h": o * tanh(a.p("gain_c") * norm(c) + a.p("b_c")), "c": c}


def _janet(a: Terms, s: State) -> State:
    f = a("f")
    return {"h": sigmoid(f) * s["h"] + (1 - sigmoid(f - JANET_BETA)) * tanh(a("c"))}


_HC, _IFZO = blocks("hc"), blocks("ifzo")
_OPEN_FORGET_GATE = {"f": 1.0}
_GATE_MATRICES = tuple(f"{k}{source}" for k in "ifo" for source in "ifo")


def _of_v(gates: str, names: str, step: Callable[[Terms, State], State]) -> Variant:
    return Variant(
        "lstm",
        gates,
        step,
        **full_blocks(names),
        state=_HC,
        zoneout_fields=_HC,
        vectors={f"p_{k}": 0.0 for k in names if k != "z"},
        bias=_OPEN_FORGET_GATE if "f" in names else {},
        input_gates=("i",) if {"i", "f"} <= set(names) else (),
    )


VARIANTS = (
    Variant(
        "lstm",
        "standard",
        _standard,
        **full_blocks("ifzo"),
        state=_HC,
        zoneout_fields=_HC,
        bias=_OPEN_FORGET_GATE,
        input_gates=("i",),
    ),
    _of_v("peephole", "ifzo", _peephole()),
    _of_v("no-input-gate", "fzo", _peephole("i")),
    _of_v("no-forget-gate", "izo", _peephole("f")),
    _of_v("no-output-gate", "ifz", _peephole("o")),
    _of_v("no-input-activation", "ifzo", _peephole(g=_identity)),
    _of_v("no-output-activation", "ifzo", _peephole(h=_identity)),
    Variant(
        "lstm",
        "coupled",
        _coupled,
        **full_blocks("izo"),
        state=_HC,
        zoneout_fields=_HC,
        vectors={"p_i": 0.0, "p_o": 0.0},
        bias={"i": -1.0},
    ),
    Variant(
        "lstm",
        "full-gate-recurrence",
        _full_gate_recurrence,
        _IFZO,
        _IFZO + _GATE_MATRICES,
        _IFZO,
        state=blocks("hcifo"),
        zoneout_fields=_HC,
        vectors={"p_i": 0.0, "p_f": 0.0, "p_o": 0.0},
        bias=_OPEN_FORGET_GATE,
        input_gates=("i",),
    ),
    Variant(
        "lstm",
        "projected",
        _projected,
        **full_blocks("ifzo"),
        state=_HC,
        zoneout_fields=_HC,
        bias=_OPEN_FORGET_GATE,
        input_gates=("i",),
    ),
    Variant(
        "lstm",
        "layer-norm",
        _layer_norm,
        **full_blocks("ifzo"),
        state=_HC,
        zoneout_fields=_HC,
        vectors={"gain_c": 1.0, "b_c": 0.0},
        bias=_OPEN_FORGET_GATE,
        input_gates=("i",),
        norm="layer",
    ),
    Variant("lstm", "janet", _janet, **full_blocks("fc"), bias=_OPEN_FORGET_GATE),
)
