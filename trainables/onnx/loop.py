"""Any recurrent cell as an ONNX Scan: its equations are run once, on values that write nodes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from trainables.cells import Layer
from trainables.onnx.expression import Expression
from trainables.onnx.graph import BOOL, FLOAT, Graph, tensor
from trainables.onnx.operators import stacked
from trainables.onnx.steps import Steps


class _Terms:
    """The terms of one step (see trainables.cells.equations.Terms), as nodes of a loop's body."""

    def __init__(
        self, body: Graph, prefix: str, layer: Layer, h: Expression, a_BK: str, x_BI: str
    ) -> None:
        self._body, self._prefix, self._layer, self._h = body, prefix, layer, h
        self._a_BK, self._x_BI = a_BK, x_BI
        self._a: Mapping[str, Expression] | None = None
        self._Rh: Mapping[str, Expression] | None = None
        self._parameters: dict[str, Expression] = {}
        self.reads_a = self.reads_x = False

    def __call__(self, block: str) -> Expression:
        recurrent = self.recur(block, self._h)
        variant = self._layer.variant
        if block in variant.W or block in variant.b:
            return self.x(block) + recurrent
        return recurrent

    def x(self, block: str) -> Expression:
        variant = self._layer.variant
        if block not in variant.W:
            return self._parameter(f"b_{block}", stacked(self._layer, "b", [block]))
        if self._a is None:
            self._a, self.reads_a = self._split(self._a_BK, variant.W, "a"), True
        return self._a[block]

    def recur(self, block: str, value: Expression) -> Expression:
        variant = self._layer.variant
        if value is not self._h:
            R_HH = self._parameter(f"R_{block}", stacked(self._layer, "R", [block]).T)
            return Expression(self._body, self._body.add("MatMul", value.name, R_HH.name))
        if self._Rh is None:
            R_HK = self._parameter("R", stacked(self._layer, "R", variant.R).T)
            Rh_BK = self._body.add("MatMul", value.name, R_HK.name, name=f"{self._prefix}/Rh")
            self._Rh = self._split(Rh_BK, variant.R, "Rh")
        return self._Rh[block]

    def p(self, name: str) -> Expression:
        return self._parameter(name, self._layer.get_parameter(name).detach().cpu().numpy())

    @property
    def input(self) -> Expression:
        self.reads_x = True
        return Expression(self._body, self._x_BI)

    def _parameter(self, name: str, value: NDArray[np.float32]) -> Expression:
        if name not in self._parameters:
            constant = self._body.constant(value, f"{self._prefix}/{name}")
            self._parameters[name] = Expression(self._body, constant)
        return self._parameters[name]

    def _split(self, stacked_BK: str, blocks: tuple[str, ...], word: str) -> dict[str, Expression]:
        if len(blocks) == 1:
            return {blocks[0]: Expression(self._body, stacked_BK)}
        outputs = [f"{self._prefix}/{word}_{block}" for block in blocks]
        names = self._body.add_many("Split", [stacked_BK], outputs, axis=-1)
        return {
            block: Expression(self._body, name) for block, name in zip(blocks, names, strict=True)
        }


def add_loop(
    graph: Graph, prefix: str, layer: Layer, x_TBI: str, steps: Steps, *, backwards: bool
) -> str:
    """Add one layer in one direction and return its outputs y_TBH.

    On padding the state stands still: read backwards, it is still the initial state where a
    sequence's own end is reached.
    """
    variant, hidden = layer.variant, layer.hidden
    body = graph.body()
    old = {field: body.name(f"{prefix}/{field}_old") for field in variant.state}
    a_BK, x_BI = body.name(f"{prefix}/a"), body.name(f"{prefix}/x")
    running_B1 = body.name(f"{prefix}/running")
    state = {field: Expression(body, name) for field, name in old.items()}
    terms = _Terms(body, prefix, layer, state[variant.state[0]], a_BK, x_BI)
    after = variant.step(terms, state)
    new = {
        field: body.add(
            "Where", running_B1, after[field].name, old[field], name=f"{prefix}/{field}"
        )
        for field in variant.state
    }
    y_BH = body.add("Identity", new[variant.state[0]], name=f"{prefix}/h_out")

    valid_TB1 = graph.add("Unsqueeze", steps.valid, graph.ints(2), name=f"{prefix}/valid")
    scanned = [(tensor(running_B1, BOOL, ["batch", 1]), valid_TB1)]
    if terms.reads_a:
        W_IK = graph.constant(stacked(layer, "W", variant.W).T, f"{prefix}/W")
        b_K = graph.constant(stacked(layer, "b", variant.W), f"{prefix}/b")
        Wx_TBK = graph.add("MatMul", x_TBI, W_IK, name=f"{prefix}/Wx")
        a_TBK = graph.add("Add", Wx_TBK, b_K, name=f"{prefix}/hoisted")
        width = len(variant.W) * hidden
        scanned.append((tensor(a_BK, FLOAT, ["batch", width]), a_TBK))
    if terms.reads_x:
        scanned.append((tensor(x_BI, FLOAT, ["batch", layer.inputs]), x_TBI))

    fields = list(variant.state)
    step = helper.make_graph(
        body.nodes,
        f"{prefix}/step",
        [tensor(old[f], FLOAT, ["batch", hidden]) for f in fields] + [info for info, _ in scanned],
        [tensor(new[f], FLOAT, ["batch", hidden]) for f in fields]
        + [tensor(y_BH, FLOAT, ["batch", hidden])],
    )
    shape = graph.add(
        "Concat", steps.batch, graph.ints(hidden), name=f"{prefix}/state_shape", axis=0
    )
    zeros_BH = graph.add("Expand", graph.scalar(0.0), shape, name=f"{prefix}/zeros")
    return graph.add_many(
        "Scan",
        [zeros_BH] * len(fields) + [name for _, name in scanned],
        [f"{prefix}/{f}_last" for f in fields] + [f"{prefix}/y"],
        body=step,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(backwards)] * len(scanned),
        scan_output_directions=[int(backwards)],
    )[-1]
