"""Any recurrent cell as an ONNX Scan: its equations run once, on values that add nodes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from trainables.cells.equations import NORM_EPSILON
from trainables.cells.zoneout import zoned
from trainables.export.onnx.expression import Expression
from trainables.export.onnx.graph import BOOL, END, FLOAT, Graph, tensor
from trainables.export.onnx.operators import parameter, stacked
from trainables.export.onnx.steps import Steps
from trainables.layers.layer import Layer


class _Terms:
    """The terms of one step (see trainables.cells.equations.Terms), as nodes of a loop's body."""

    def __init__(
        self, body: Graph, prefix: str, layer: Layer, h: Expression, a_BK: str, x_BI: str
    ) -> None:
        self._body, self._prefix, self._layer, self._h = body, prefix, layer, h
        self._a_BK, self._x_BI = a_BK, x_BI
        self._made: dict[str, Mapping[str, Expression]] = {}
        self._constants: dict[str, Expression] = {}
        self.reads_a = self.reads_x = False

    def __call__(self, block: str) -> Expression:
        variant = self._layer.variant
        recurrent = self.recur(block, self._h)
        if block in variant.W or block in variant.b:
            return self.x(block) + recurrent
        return recurrent

    def x(self, block: str) -> Expression:
        variant = self._layer.variant
        if block not in variant.W:
            return self._constant(f"b_{block}", stacked(self._layer, "b", [block]))
        self.reads_a = True
        return self._parts("a", Expression(self._body, self._a_BK), variant.W)[block]

    def recur(self, block: str, value: Expression) -> Expression:
        if value is self._h:
            return self._parts("Rh", self._recur_all(), self._layer.variant.R)[block]
        return value.matmul(self._constant(f"R_{block}", stacked(self._layer, "R", [block]).T))

    def p(self, name: str) -> Expression:
        return self._constant(name, parameter(self._layer, name))

    @property
    def input(self) -> Expression:
        self.reads_x = True
        return Expression(self._body, self._x_BI)

    def normed(self, block: str) -> Expression:
        if "normed" not in self._made:
            scaled_BK = self._recur_all().norm() * self.p("gain_R")
            self._parts("normed", scaled_BK, self._layer.variant.R)
        return self.x(block) + self._made["normed"][block]

    def project(self, value: Expression) -> Expression:
        return value.matmul(self._constant("P", parameter(self._layer, "P").T))

    def keep(self, name: str) -> float:
        return self._layer.zoneout

    def _recur_all(self) -> Expression:
        R_HK = self._constant("R", stacked(self._layer, "R", self._layer.variant.R).T)
        return self._h.matmul(R_HK)

    def _constant(self, name: str, value: NDArray[np.float32]) -> Expression:
        if name not in self._constants:
            added = self._body.constant(value, f"{self._prefix}/{name}")
            self._constants[name] = Expression(self._body, added)
        return self._constants[name]

    def _parts(
        self, name: str, stacked_BK: Expression, blocks: Sequence[str]
    ) -> Mapping[str, Expression]:
        """Return the blocks of a stacked value; they are cut once."""
        if name not in self._made:
            parts = [stacked_BK.name]
            if len(blocks) > 1:
                outputs = [f"{self._prefix}/{name}_{block}" for block in blocks]
                parts = self._body.add_many("Split", parts, outputs, axis=-1)
            values = [Expression(self._body, part) for part in parts]
            self._made[name] = dict(zip(blocks, values, strict=True))
        return self._made[name]


def add_loop(
    graph: Graph, prefix: str, layer: Layer, x_TBI: str, steps: Steps, *, backwards: bool
) -> str:
    """Add one layer in one direction and return its outputs y_TBH.

    On padding the state does not change: a layer that reads backwards reaches a sequence's own end
    in the initial state.
    """
    variant, hidden = layer.variant, layer.hidden
    widths = {
        name: variant.width(hidden) if name == variant.output else hidden for name in variant.state
    }
    body = graph.body()
    old = {name: Expression(body, body.name(f"{prefix}/{name}_old")) for name in widths}
    a_BK, x_BI = body.name(f"{prefix}/a"), body.name(f"{prefix}/x")
    running_B1 = body.name(f"{prefix}/running")
    terms = _Terms(body, prefix, layer, old["h"], a_BK, x_BI)
    after = (zoned(variant) if layer.zoneout else variant).step(terms, old)
    new = {
        name: body.add(
            "Where", running_B1, after[name].name, old[name].name, name=f"{prefix}/{name}"
        )
        for name in widths
    }
    y_BH = body.add("Identity", new[variant.output], name=f"{prefix}/out")

    valid_TB1 = graph.add("Unsqueeze", steps.valid, graph.ints(2), name=f"{prefix}/valid")
    scanned = [(tensor(running_B1, BOOL, ["batch", 1]), valid_TB1)]
    if terms.reads_a:
        seen = _seen(graph, prefix, layer, x_TBI, valid_TB1, backwards=backwards)
        a_TBK = _hoist(graph, prefix, layer, seen)
        scanned.append((tensor(a_BK, FLOAT, ["batch", len(variant.W) * hidden]), a_TBK))
    if terms.reads_x:
        scanned.append((tensor(x_BI, FLOAT, ["batch", layer.inputs]), x_TBI))

    step = helper.make_graph(
        body.nodes,
        f"{prefix}/step",
        [tensor(old[name].name, FLOAT, ["batch", widths[name]]) for name in widths]
        + [info for info, _ in scanned],
        [tensor(new[name], FLOAT, ["batch", widths[name]]) for name in widths]
        + [tensor(y_BH, FLOAT, ["batch", widths[variant.output]])],
    )
    initial = [
        _initial(graph, f"{prefix}/{name}", width, variant.initial.get(name, 0.0), steps)
        for name, width in widths.items()
    ]
    return graph.add_many(
        "Scan",
        [*initial, *(name for _, name in scanned)],
        [*(f"{prefix}/{name}_last" for name in widths), f"{prefix}/y"],
        body=step,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(backwards)] * len(scanned),
        scan_output_directions=[int(backwards)],
    )[-1]


def _initial(graph: Graph, name: str, width: int, value: float, steps: Steps) -> str:
    """Add a state field [B, width] before the first step."""
    shape = graph.add("Concat", steps.batch, graph.ints(width), name=f"{name}_shape", axis=0)
    return graph.add("Expand", graph.scalar(value), shape, name=f"{name}_initial")


def _seen(
    graph: Graph, prefix: str, layer: Layer, x_TBI: str, valid_TB1: str, *, backwards: bool
) -> str:
    """Add what W multiplies: the input, and those read before it where the cell has a window."""
    if layer.variant.window == 1:
        return x_TBI
    if backwards:  # what is read before a sequence's last step is zero, not padding
        x_TBI = graph.add("Where", valid_TB1, x_TBI, graph.scalar(0.0), name=f"{prefix}/masked")
    shifted = [x_TBI]
    for back in range(1, layer.variant.window):
        pads = graph.ints(*((0, 0, 0, back, 0, 0) if backwards else (back, 0, 0, 0, 0, 0)))
        padded = graph.add("Pad", x_TBI, pads, name=f"{prefix}/padded")
        start, end = (back, END) if backwards else (0, -back)
        shifted.append(graph.cut(padded, start, end, axis=0, name=f"{prefix}/shifted"))
    return graph.add("Concat", *shifted, name=f"{prefix}/seen", axis=-1)


def _hoist(graph: Graph, prefix: str, layer: Layer, x_TBI: str) -> str:
    """Add the input's part of all blocks at once, as trainables.layers.scan.hoist does."""
    variant = layer.variant

    def constant(name: str, value: NDArray[np.float32]) -> Expression:
        return Expression(graph, graph.constant(value, f"{prefix}/{name}"))

    a_TBK = Expression(graph, x_TBI).matmul(constant("W", stacked(layer, "W", variant.W).T))
    if variant.norm == "layer":
        a_TBK = a_TBK.norm() * constant("gain_x", parameter(layer, "gain_x"))
    elif variant.norm == "batch":
        variance = parameter(layer, "running_variance").astype(np.float64)
        gain = parameter(layer, "gain_x") / np.sqrt(variance + NORM_EPSILON)
        centred = a_TBK - constant("mean", parameter(layer, "running_mean"))
        a_TBK = centred * constant("gain_x", gain.astype(np.float32))
    return (a_TBK + constant("b", stacked(layer, "b", variant.W))).name
