"""Values of a graph that all its layers read: lengths, step numbers, padding."""

from dataclasses import dataclass

from trainables.export.onnx.graph import INT32, Graph


@dataclass(frozen=True)
class Steps:
    """Names of values that follow from the batch alone. T steps and B sequences are dynamic."""

    lengths: str  #: [B] int64
    lengths_int32: str  #: [B] as the recurrent operators want them
    numbers: str  #: [T] int64, 0 … T - 1
    valid: str  #: [T, B] bool, false on padding
    batch: str  #: [1] int64, B

    @classmethod
    def of(cls, graph: Graph, x_TBI: str, lengths_B: str) -> "Steps":
        """Add them to the graph, for sequences x [T, B, I] with lengths [B]."""
        shape = graph.add("Shape", x_TBI, name="steps/shape")
        steps = graph.add("Gather", shape, graph.index(0), name="steps/count")
        numbers_T = graph.add("Range", graph.index(0), steps, graph.index(1), name="steps/numbers")
        numbers_T1 = graph.add("Unsqueeze", numbers_T, graph.ints(1), name="steps/column")
        return cls(
            lengths=lengths_B,
            lengths_int32=graph.add("Cast", lengths_B, name="steps/lengths", to=INT32),
            numbers=numbers_T,
            valid=graph.add("Less", numbers_T1, lengths_B, name="steps/valid"),
            batch=graph.add("Gather", shape, graph.ints(1), name="steps/batch"),
        )
