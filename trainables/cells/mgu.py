"""The minimal gated unit and what is left of it (Zhou 2016; Heck & Salem 2017)."""

from collections.abc import Callable

from trainables.cells.equations import State, Terms, Value, sigmoid, tanh
from trainables.cells.variant import Variant, blocks, full_blocks


def _mgu(
    gate: Callable[[Terms, str], Value] = lambda a, k: a(k),
) -> Callable[[Terms, State], State]:
    def step(a: Terms, s: State) -> State:
        h = s["h"]
        f = sigmoid(gate(a, "f"))
        n = tanh(a.x("n") + a.recur("n", f * h))
        return {"h": (1 - f) * h + f * n}

    return step


_FN = blocks("fn")

VARIANTS = (
    Variant("mgu", "mgu", _mgu(), **full_blocks("fn")),
    Variant("mgu", "mgu-1", _mgu(), ("n",), _FN, _FN),
    Variant("mgu", "mgu-2", _mgu(), ("n",), _FN, ("n",)),
    Variant("mgu", "mgu-3", _mgu(lambda a, k: a.x(k)), ("n",), ("n",), _FN),
)
