"""A small writer of ONNX graphs: values are names, parameters are initializers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

#: Opset 17 with IR version 8 is read by onnxruntime 1.12 and later; nothing newer is needed.
OPSET, IR_VERSION = 17, 8

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
INT32, INT64, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
#: The end of a slice that goes to the end of its axis.
END = 2**62


class Graph:
    """Nodes in the order they are added; every value has a name of its own.

    Names say which part of the model a value belongs to ("layer0/lstm"), for people who look at
    the graph in a viewer.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._taken: set[str] = set()

    def body(self) -> "Graph":
        """Return an empty graph for the body of a loop of this one.

        It shares the names, so that none of the outer graph's is hidden, and the initializers,
        which a body may read.
        """
        inner = Graph()
        inner.initializers, inner._taken = self.initializers, self._taken
        return inner

    def name(self, wanted: str) -> str:
        """Take the name `wanted`, or the first of wanted_1, wanted_2 … that is free; return it."""
        name, number = wanted, 0
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def constant(self, value: NDArray[Any], name: str) -> str:
        """Add an initializer of the value's own type and return its name."""
        name = self.name(name)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """Return the name of an int64 vector: axes, a shape, the ends of a slice."""
        return self._shared("ints/" + ",".join(map(str, values)), np.array(values, np.int64))

    def index(self, value: int) -> str:
        """Return the name of an int64 scalar."""
        return self._shared(f"index/{value}", np.array(value, np.int64))

    def scalar(self, value: float) -> str:
        """Return the name of a float32 scalar."""
        return self._shared(f"scalar/{value!r}", np.array(value, np.float32))

    def _shared(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._taken:
            self._taken.add(name)
            self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.add_many(operator, inputs, [name or operator.lower()], **attributes)[0]

    def cut(self, value: str, begin: int, end: int, *, axis: int = -1, name: str = "part") -> str:
        """Add the part of a value from `begin` to before `end` along an axis."""
        bounds = (self.ints(begin), self.ints(end), self.ints(axis))
        return self.add("Slice", value, *bounds, name=name)

    def add_many(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node and return the names of its outputs; "" leaves an optional input out."""
        names = [self.name(output) for output in outputs]
        self.nodes.append(
            helper.make_node(operator, list(inputs), names, name=names[0], **attributes)
        )
        return names

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Return the finished model, checked by onnx with its shapes inferred.

        Nodes and initializers that no output depends on are left out.
        """
        nodes = self._needed({output.name for output in outputs})
        used = _used(nodes)
        graph = helper.make_graph(
            nodes,
            "gatesearch",
            list(inputs),
            list(outputs),
            initializer=[value for value in self.initializers if value.name in used],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="gatesearch"
        )
        model.ir_version = IR_VERSION
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _needed(self, names: set[str]) -> list[onnx.NodeProto]:
        needed = []
        for node in reversed(self.nodes):
            if names.isdisjoint(node.output):
                continue
            needed.append(node)
            names.update(node.input)
            for attribute in node.attribute:  # a loop's body reads outer values by name
                for inner in attribute.g.node:
                    names.update(inner.input)
        return needed[::-1]


def tensor(name: str, element: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Return the type of a graph's input or output; a dimension given by a name is dynamic."""
    return helper.make_tensor_value_info(name, element, list(shape))


def _used(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names that nodes read, those inside of loop bodies included."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= _used(attribute.g.node)
                names.update(output.name for output in attribute.g.output)
    return names
