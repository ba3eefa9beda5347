"""Missing values (NaN) in an ONNX graph: what a model is told of them, and what it makes of it.

As trainables.data.missing and trainables.layers.told do.
"""

from itertools import pairwise

import numpy as np
from onnx import helper

from spaces.tasks import TaskInfo
from trainables.data.missing import features, transformed
from trainables.export.onnx.expression import Expression
from trainables.export.onnx.graph import DOUBLE, END, FLOAT, Graph, tensor
from trainables.layers.model import Model
from trainables.layers.told import InputDecay


def add_transform(graph: Graph, x_TBI: str, info: TaskInfo) -> str:
    """Add the transform of raw features, in float64 as trainables.data.transforms does."""
    if info.transform is None:
        return x_TBI
    width = transformed(info)
    x = graph.add("Cast", graph.cut(x_TBI, 0, width), name="transform/wide", to=DOUBLE)
    one = graph.constant(np.array(1.0), "transform/one")
    size = x if info.transform == "log" else graph.add("Abs", x, name="transform/magnitude")
    found = graph.add("Log", graph.add("Add", size, one), name="transform/log")
    if info.transform == "signed-log":
        found = graph.add("Mul", graph.add("Sign", x), found, name="transform/signed")
    found = graph.add("Cast", found, name="transform/x", to=FLOAT)
    return graph.add("Concat", found, graph.cut(x_TBI, width, END), name="x/all", axis=-1)


def add_told(graph: Graph, x_TBI: str, info: TaskInfo) -> str:
    """Add what a model is told of what it is given; what is to be a mean stays NaN."""
    if info.missing in ("refuse", "mean"):
        return x_TBI
    gap_TB1 = None
    if info.gaps:
        x_TBI, gap_TB1 = graph.cut(x_TBI, 0, -1), graph.cut(x_TBI, -1, END)
    body = graph.body()
    # Of the state: the last values, and how long ago each was at the step before. Steps count from
    # -1, so that the first one is 0; so much time passes before the first one as well: none.
    last, since, x = (body.name(f"missing/{name}") for name in ("last", "since", "x"))
    passed = body.scalar(1.0) if gap_TB1 is None else body.name("missing/passed")
    absent = body.add("IsNaN", x, name="missing/absent")
    filled = body.add("Where", absent, last, x, name="missing/filled")
    now = body.add("Add", since, passed, name="missing/now")
    next_since = body.add("Where", absent, now, body.scalar(0.0), name="missing/next")
    told = filled
    if info.missing == "mask":
        there = body.add("Where", absent, body.scalar(0.0), body.scalar(1.0), name="missing/there")
        told = body.add("Concat", filled, there, now, name="missing/told", axis=-1)
    told = body.add("Identity", told, name="missing/out")
    shape: list[int | str] = ["batch", features(info)]
    width = features(info) * (3 if info.missing == "mask" else 1)
    scanned = [(tensor(x, FLOAT, shape), x_TBI)]
    if gap_TB1 is not None:
        later = graph.cut(gap_TB1, 1, END, axis=0, name="missing/later")
        none_first = graph.add("Pad", later, graph.ints(1, 0, 0, 0, 0, 0), name="missing/passes")
        scanned.append((tensor(passed, FLOAT, ["batch", 1]), none_first))
    step = helper.make_graph(
        body.nodes,
        "missing/step",
        [tensor(name, FLOAT, shape) for name in (last, since)] + [each for each, _ in scanned],
        [tensor(name, FLOAT, shape) for name in (filled, next_since)]
        + [tensor(told, FLOAT, ["batch", width])],
    )
    sizes = graph.add("Shape", x_TBI, name="missing/sizes")
    size = graph.cut(sizes, 1, 3, axis=0, name="missing/size")
    initial = [
        graph.add("Expand", graph.scalar(value), size, name="missing/initial")
        for value in (float("nan"), -1.0 if gap_TB1 is None else 0.0)
    ]
    names = ["missing/last_end", "missing/since_end", "missing/all"]
    values = [*initial, *(each for _, each in scanned)]
    all_told = graph.add_many("Scan", values, names, body=step, num_scan_inputs=len(scanned))[-1]
    if gap_TB1 is None:
        return all_told
    return graph.add("Concat", all_told, gap_TB1, name="missing/with_gap", axis=-1)


def add_decay(graph: Graph, decay: InputDecay, x_TBI: str) -> str:
    """Add the decay of missing values towards their mean; see InputDecay."""

    def constant(name: str) -> Expression:
        value = getattr(decay, name).detach().cpu().numpy()
        return Expression(graph, graph.constant(value, f"decay/{name}"))

    ends = [at * decay.features for at in range(4)]
    values, there, since = (
        Expression(graph, graph.cut(x_TBI, start, end)) for start, end in pairwise(ends)
    )
    g = (0 - (constant("w") * since + constant("b")).relu()).exp()
    past = g * values + (1 - g) * constant("mean")
    decayed = there * values + (1 - there) * past
    return graph.add("Concat", decayed.name, graph.cut(x_TBI, ends[1], END), name="x", axis=-1)


def add_apart(graph: Graph, model: Model, x_TBI: str) -> tuple[str, str | None]:
    """Return values and what is told of them; see Model.apart."""
    width = model.told.width
    if width == 0:
        return x_TBI, None
    if model.elapses:
        sizes = graph.add("Shape", x_TBI, name="told/sizes")
        both = graph.cut(sizes, 0, 2, axis=0, name="told/steps")
        shape = graph.add("Concat", both, graph.ints(1), name="told/shape", axis=0)
        gap = graph.add("Expand", graph.scalar(1.0), shape, name="told/gap")
        x_TBI = graph.add("Concat", x_TBI, gap, name="told/all", axis=-1)
    return graph.cut(x_TBI, 0, -width), graph.cut(x_TBI, -width, END)
