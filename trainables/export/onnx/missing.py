"""Missing values (NaN) in an ONNX graph: what trainables.data.missing tells a model."""

from onnx import helper

from spaces.own_data import Missing
from trainables.export.onnx.graph import FLOAT, Graph, tensor


def add_told(graph: Graph, x_TBI: str, features: int, missing: Missing) -> str:
    """Add what a model is told of raw features; what is to be a mean stays NaN."""
    if missing in ("refuse", "mean"):
        return x_TBI
    body = graph.body()
    last, gap, x = (body.name(f"missing/{name}") for name in ("last", "gap", "x"))
    absent = body.add("IsNaN", x, name="missing/absent")
    filled = body.add("Where", absent, last, x, name="missing/filled")
    longer = body.add("Add", gap, body.scalar(1.0), name="missing/longer")
    next_gap = body.add("Where", absent, longer, body.scalar(1.0), name="missing/next")
    told = filled
    if missing == "mask":
        there = body.add("Where", absent, body.scalar(0.0), body.scalar(1.0), name="missing/there")
        told = body.add("Concat", filled, there, gap, name="missing/told", axis=-1)
    told = body.add("Identity", told, name="missing/out")
    shape: list[int | str] = ["batch", features]
    width = features * (3 if missing == "mask" else 1)
    step = helper.make_graph(
        body.nodes,
        "missing/step",
        [tensor(name, FLOAT, shape) for name in (last, gap, x)],
        [tensor(name, FLOAT, shape) for name in (filled, next_gap)]
        + [tensor(told, FLOAT, ["batch", width])],
    )
    sizes = graph.add("Shape", x_TBI, name="missing/sizes")
    size = graph.add("Slice", sizes, graph.ints(1), graph.ints(3), name="missing/size")
    initial = [
        graph.add("Expand", graph.scalar(value), size, name="missing/initial")
        for value in (float("nan"), 0.0)
    ]
    names = ["missing/last_end", "missing/gap_end", "missing/all"]
    return graph.add_many("Scan", [*initial, x_TBI], names, body=step, num_scan_inputs=1)[-1]
