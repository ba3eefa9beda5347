"""A second implementation of every cell: plain NumPy in float64, one step, from the papers.

Nothing is shared with the package: `o.W["i"]` is the input matrix of block i, and so on. Each
function takes the layer's weights o, an input x [I] and the state as a dict, and returns the state
after the step, its fields named as the layer's, with the output under "y".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, Array]


@dataclass
class Weights:
    """A layer's tensors by block, vectors and gains by name."""

    W: dict[str, Array]
    R: dict[str, Array]
    b: dict[str, Array]
    v: dict[str, Array]
    hidden: int


def sig(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def relu(a: Array) -> Array:
    return np.where(a > 0, a, 0.0)


def ln(a: Array) -> Array:
    centred: Array = a - a.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-5)


def pre(o: Weights, k: str, x: Array, h: Array) -> Array:
    a: Array = o.W[k] @ x + o.R[k] @ h + o.b[k]
    return a


def rnn_tanh(o: Weights, x: Array, s: State) -> State:
    h = np.tanh(pre(o, "h", x, s["h"]))
    return {"h": h, "y": h}


def rnn_relu(o: Weights, x: Array, s: State) -> State:
    h = relu(pre(o, "h", x, s["h"]))
    return {"h": h, "y": h}


def indrnn(o: Weights, x: Array, s: State) -> State:
    h = relu(o.W["h"] @ x + o.v["u"] * s["h"] + o.b["h"])
    return {"h": h, "y": h}


def greff(
    peepholes: bool = True,
    one: str = "",
    linear_g: bool = False,
    linear_h: bool = False,
    coupled: bool = False,
    fgr: bool = False,
) -> Callable[[Weights, Array, State], State]:
    """Return the LSTM of Greff 2015, section 2, with one thing changed (section 4)."""

    def step(o: Weights, x: Array, s: State) -> State:
        y_, c_ = s["h"], s["c"]

        def gate(k: str, c: Array) -> Array:
            if one == k:
                return np.ones(o.hidden)
            a = pre(o, k, x, y_)
            if fgr:
                a = a + o.R[k + "i"] @ s["i"] + o.R[k + "f"] @ s["f"] + o.R[k + "o"] @ s["o"]
            if peepholes:
                a = a + o.v["p_" + k] * c
            return sig(a)

        z_raw = pre(o, "z", x, y_)
        z = z_raw if linear_g else np.tanh(z_raw)
        i = gate("i", c_)
        f = 1 - i if coupled else gate("f", c_)
        c = z * i + c_ * f
        out = gate("o", c)
        y = (c if linear_h else np.tanh(c)) * out
        return {"h": y, "c": c, "i": i, "f": f, "o": out, "y": y}

    return step


def projected(o: Weights, x: Array, s: State) -> State:
    r_, c_ = s["h"], s["c"]
    i, f, out = (sig(pre(o, k, x, r_)) for k in "ifo")
    c = f * c_ + i * np.tanh(pre(o, "z", x, r_))
    r = o.v["P"] @ (out * np.tanh(c))
    return {"h": r, "c": c, "y": r}


def layer_norm(o: Weights, x: Array, s: State) -> State:
    """Ba 2016, equations 20 to 22; all four blocks are normalised together."""
    order = "ifzo"
    from_x = ln(np.concatenate([o.W[k] @ x for k in order])) * o.v["gain_x"]
    from_h = ln(np.concatenate([o.R[k] @ s["h"] for k in order])) * o.v["gain_R"]
    a = from_x + from_h + np.concatenate([o.b[k] for k in order])
    i, f, z, out = np.split(a, 4)
    c = sig(f) * s["c"] + sig(i) * np.tanh(z)
    h = sig(out) * np.tanh(ln(c) * o.v["gain_c"] + o.v["b_c"])
    return {"h": h, "c": c, "y": h}


def janet(o: Weights, x: Array, s: State) -> State:
    forget = pre(o, "f", x, s["h"])
    c = sig(forget) * s["h"] + (1 - sig(forget - 1)) * np.tanh(pre(o, "c", x, s["h"]))
    return {"h": c, "y": c}


def gru_after(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    r, z = sig(pre(o, "r", x, h_)), sig(pre(o, "z", x, h_))
    n = np.tanh(o.W["n"] @ x + o.b["n"] + r * (o.R["n"] @ h_ + o.v["b_hn"]))
    h = (1 - z) * n + z * h_
    return {"h": h, "y": h}


def gru_before(o: Weights, x: Array, s: State) -> State:
    """Any gate may lack its input matrix, its recurrent matrix or its bias (Dey & Salem 2017)."""
    h_ = s["h"]
    zero = np.zeros(o.hidden)

    def gate(k: str) -> Array:
        a = o.W[k] @ x if k in o.W else zero
        a = a + (o.R[k] @ h_ if k in o.R else zero)
        return sig(a + o.b.get(k, zero))

    r, z = gate("r"), gate("z")
    n = np.tanh(o.W["n"] @ x + o.R["n"] @ (r * h_) + o.b["n"])
    h = (1 - z) * n + z * h_
    return {"h": h, "y": h}


def mut1(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    z = sig(o.W["z"] @ x + o.b["z"])
    r = sig(pre(o, "r", x, h_))
    h = np.tanh(o.R["n"] @ (r * h_) + np.tanh(x) + o.b["n"]) * z + h_ * (1 - z)
    return {"h": h, "y": h}


def mut2(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    z = sig(pre(o, "z", x, h_))
    r = sig(x + o.R["r"] @ h_ + o.b["r"])
    h = np.tanh(o.R["n"] @ (r * h_) + o.W["n"] @ x + o.b["n"]) * z + h_ * (1 - z)
    return {"h": h, "y": h}


def mut3(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    z = sig(pre(o, "z", x, np.tanh(h_)))
    r = sig(pre(o, "r", x, h_))
    h = np.tanh(o.R["n"] @ (r * h_) + o.W["n"] @ x + o.b["n"]) * z + h_ * (1 - z)
    return {"h": h, "y": h}


def decay(o: Weights, x: Array, s: State) -> State:
    """Che et al. 2018, with all inputs where the paper has values, masks or gaps."""
    h_ = np.exp(-np.maximum(0, o.W["d"] @ x + o.b["d"])) * s["h"]
    z = sig(pre(o, "z", x, h_))
    r = sig(pre(o, "r", x, h_))
    new = np.tanh(o.W["n"] @ x + o.R["n"] @ (r * h_) + o.b["n"])
    h = (1 - z) * h_ + z * new
    return {"h": h, "y": h}


def grud(o: Weights, x: Array, s: State) -> State:
    """Che et al. 2018, equations 7 to 12: values and masks in every gate, times in the decay alone.

    Times come behind values and masks; a gap of the step's own behind them is not read.
    """
    read, rest = np.split(x, [o.W["z"].shape[1]])
    decayed = o.v["D"] @ rest[: o.v["D"].shape[1]] if "D" in o.v else 0.0
    h_ = np.exp(-np.maximum(0, decayed + o.b["d"])) * s["h"]
    z, r = sig(pre(o, "z", read, h_)), sig(pre(o, "r", read, h_))
    new = np.tanh(o.W["n"] @ read + o.R["n"] @ (r * h_) + o.b["n"])
    h = (1 - z) * h_ + z * new
    return {"h": h, "y": h}


def cfc(mode: str) -> Callable[[Weights, Array, State], State]:
    """Return a cell of Hasani et al. 2022, equation 10 or (pure) 2; the time is the last input."""

    def step(o: Weights, x: Array, s: State) -> State:
        t = x[-1]
        u = 1.7159 * np.tanh(0.666 * pre(o, "u", x[:-1], s["h"]))

        def head(k: str) -> Array:
            value: Array = o.R[k] @ u + o.b[k]
            return value

        if mode == "pure":
            f, a = head("f"), o.v["amplitude"]
            h = -a * np.exp(-t * (np.abs(o.v["w_tau"]) + np.abs(f))) * f + a
        else:
            f, g = np.tanh(head("f")), np.tanh(head("g"))
            gate = sig(head("s") * t + head("v"))
            h = f + gate * g if mode == "no-gate" else f * (1 - gate) + gate * g
        return {"h": h, "y": h}

    return step


def light(o: Weights, x: Array, s: State) -> State:
    """Ravanelli 2018 in evaluation: running statistics stand for those of the batch."""

    def a(k: str, at: int) -> Array:
        part = slice(at * o.hidden, (at + 1) * o.hidden)
        mean, variance = o.v["running_mean"][part], o.v["running_variance"][part]
        normal = (o.W[k] @ x - mean) / np.sqrt(variance + 1e-5)
        return normal * o.v["gain_x"][part] + o.b[k] + o.R[k] @ s["h"]

    z, n = sig(a("z", 0)), relu(a("n", 1))
    h = z * s["h"] + (1 - z) * n
    return {"h": h, "y": h}


def mgu(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    a_f = np.zeros(o.hidden)
    if "f" in o.W:
        a_f = a_f + o.W["f"] @ x
    if "f" in o.R:
        a_f = a_f + o.R["f"] @ h_
    if "f" in o.b:
        a_f = a_f + o.b["f"]
    f = sig(a_f)
    h = (1 - f) * h_ + f * np.tanh(o.W["n"] @ x + o.R["n"] @ (f * h_) + o.b["n"])
    return {"h": h, "y": h}


def ugrnn(o: Weights, x: Array, s: State) -> State:
    g, n = sig(pre(o, "g", x, s["h"])), np.tanh(pre(o, "n", x, s["h"]))
    h = g * s["h"] + (1 - g) * n
    return {"h": h, "y": h}


def intersection(o: Weights, x: Array, s: State) -> State:
    h_ = s["h"]
    gy, gh = sig(pre(o, "gy", x, h_)), sig(pre(o, "gh", x, h_))
    y = gy * x + (1 - gy) * relu(pre(o, "y", x, h_))
    return {"h": gh * h_ + (1 - gh) * np.tanh(pre(o, "h", x, h_)), "y": y}


def ran(o: Weights, x: Array, s: State) -> State:
    c = sig(pre(o, "i", x, s["h"])) * (o.W["c"] @ x) + sig(pre(o, "f", x, s["h"])) * s["c"]
    h = np.tanh(c)
    return {"h": h, "c": c, "y": h}


def mingru(o: Weights, x: Array, s: State) -> State:
    z = sig(o.W["z"] @ x + o.b["z"])
    h = (1 - z) * s["h"] + z * (o.W["h"] @ x + o.b["h"])
    return {"h": h, "y": h}


def minlstm(o: Weights, x: Array, s: State) -> State:
    f, i = sig(o.W["f"] @ x + o.b["f"]), sig(o.W["i"] @ x + o.b["i"])
    h = f / (f + i) * s["h"] + i / (f + i) * (o.W["h"] @ x + o.b["h"])
    return {"h": h, "y": h}


def sru(o: Weights, x: Array, s: State) -> State:
    c_ = s["c"]
    f = sig(o.W["f"] @ x + o.v["v_f"] * c_ + o.b["f"])
    r = sig(o.W["r"] @ x + o.v["v_r"] * c_ + o.b["r"])
    c = f * c_ + (1 - f) * (o.W["c"] @ x)
    return {"c": c, "h": r * c + (1 - r) * x, "y": r * c + (1 - r) * x}


def qrnn(o: Weights, x: Array, s: State) -> State:
    """Bradbury 2017, equation 4 (fo-pooling) over convolutions of width 2."""
    both = np.concatenate([x, s.get("before", np.zeros_like(x))])
    z = np.tanh(o.W["z"] @ both + o.b["z"])
    f, out = sig(o.W["f"] @ both + o.b["f"]), sig(o.W["o"] @ both + o.b["o"])
    c = f * s["c"] + (1 - f) * z
    return {"c": c, "h": out * c, "y": out * c, "before": x}


def slstm(o: Weights, x: Array, s: State) -> State:
    """Beck 2024, equations 8 to 14: no stabiliser is needed in float64 at these sizes.

    The layer's c and n are divided by exp(m), equations 15 to 17; here they are multiplied back.
    """
    h_ = s["h"]
    before = np.exp(s["m"]) if "m" in s else np.zeros(o.hidden)
    a_i, a_f = pre(o, "i", x, h_), pre(o, "f", x, h_)
    c = sig(a_f) * s["c"] * before + np.exp(a_i) * np.tanh(pre(o, "z", x, h_))
    n = sig(a_f) * s["n"] * before + np.exp(a_i)
    scale = np.maximum(np.exp(a_i), sig(a_f) * before)
    h = sig(pre(o, "o", x, h_)) * c / n
    return {"h": h, "c": c / scale, "n": n / scale, "m": np.log(scale), "y": h}


ORACLES: dict[str, Callable[[Weights, Array, State], State]] = {
    "rnn-tanh": rnn_tanh,
    "rnn-relu": rnn_relu,
    "rnn-irnn": rnn_relu,
    "rnn-indrnn": indrnn,
    "lstm-standard": greff(peepholes=False),
    "lstm-peephole": greff(),
    "lstm-no-input-gate": greff(one="i"),
    "lstm-no-forget-gate": greff(one="f"),
    "lstm-no-output-gate": greff(one="o"),
    "lstm-no-input-activation": greff(linear_g=True),
    "lstm-no-output-activation": greff(linear_h=True),
    "lstm-coupled": greff(coupled=True),
    "lstm-full-gate-recurrence": greff(fgr=True),
    "lstm-projected": projected,
    "lstm-layer-norm": layer_norm,
    "lstm-janet": janet,
    "gru-reset-after": gru_after,
    "gru-reset-before": gru_before,
    "gru-slim-1": gru_before,
    "gru-slim-2": gru_before,
    "gru-slim-3": gru_before,
    "gru-mut1": mut1,
    "gru-mut2": mut2,
    "gru-mut3": mut3,
    "gru-d": grud,
    "gru-decay": decay,
    "gru-light": light,
    "mgu-mgu": mgu,
    "mgu-mgu-1": mgu,
    "mgu-mgu-2": mgu,
    "mgu-mgu-3": mgu,
    "ugrnn-standard": ugrnn,
    "ugrnn-intersection": intersection,
    "ran-standard": ran,
    "linear-mingru": mingru,
    "linear-minlstm": minlstm,
    "linear-sru": sru,
    "linear-qrnn": qrnn,
    "xlstm-slstm": slstm,
    "cfc-standard": cfc("standard"),
    "cfc-no-gate": cfc("no-gate"),
    "cfc-pure": cfc("pure"),
}


def weights(layer: Any) -> Weights:
    """Return a layer's tensors, cut into blocks."""
    tensors = {name: t.detach().double().numpy() for name, t in layer.state_dict().items()}
    variant = layer.variant
    of_inputs = variant.W if variant.gaps == "none" else variant.W[:-1]  # the last is of times
    cut = {
        name: dict(zip(names, np.split(tensors[name], len(names)), strict=True)) if names else {}
        for name, names in (("W", of_inputs), ("R", variant.R), ("b", variant.b))
    }
    return Weights(**cut, v=tensors, hidden=layer.hidden)


def first_state(layer: Any) -> State:
    """Return the state before the first step."""
    state: State = {name: np.zeros(layer.hidden) for name in "hcnifo"}
    state["h"] = np.zeros(layer.variant.width(layer.hidden))
    return state


def run(layer: Any, x_TI: Array) -> tuple[Array, State]:
    """Return the outputs [T, width] of a layer for one sequence, and its state at the end."""
    o, step, state = weights(layer), ORACLES[layer.variant.name], first_state(layer)
    outputs = []
    for x in x_TI:
        state = step(o, x, state)
        outputs.append(state["y"])
    return np.stack(outputs), state
