"""Values that write themselves into an ONNX graph when cell equations are run on them."""

from typing import Union

from trainables.cells.equations import NORM_EPSILON
from trainables.export.onnx.graph import Graph

Operand = Union["Expression", float, int]


class Expression:
    """A float32 value of a graph under construction; arithmetic on it adds nodes.

    It understands what the equations of cells are written in: + - * /, unary minus, and the
    functions of trainables.cells.equations, which look them up here by name.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def _node(self, operator: str, *operands: Operand) -> "Expression":
        names = [
            operand.name if isinstance(operand, Expression) else self.graph.scalar(float(operand))
            for operand in operands
        ]
        return Expression(self.graph, self.graph.add(operator, *names))

    def __add__(self, other: Operand) -> "Expression":
        return self._node("Add", self, other)

    def __radd__(self, other: Operand) -> "Expression":
        if other == 0:  # where sum() begins
            return self
        return self._node("Add", other, self)

    def __sub__(self, other: Operand) -> "Expression":
        return self._node("Sub", self, other)

    def __rsub__(self, other: Operand) -> "Expression":
        return self._node("Sub", other, self)

    def __mul__(self, other: Operand) -> "Expression":
        return self._node("Mul", self, other)

    def __rmul__(self, other: Operand) -> "Expression":
        return self._node("Mul", other, self)

    def __truediv__(self, other: Operand) -> "Expression":
        return self._node("Div", self, other)

    def __rtruediv__(self, other: Operand) -> "Expression":
        return self._node("Div", other, self)

    def __neg__(self) -> "Expression":
        return self._node("Neg", self)

    def sigmoid(self) -> "Expression":
        return self._node("Sigmoid", self)

    def tanh(self) -> "Expression":
        return self._node("Tanh", self)

    def relu(self) -> "Expression":
        return self._node("Relu", self)

    def exp(self) -> "Expression":
        return self._node("Exp", self)

    def log_sigmoid(self) -> "Expression":
        return -self._node("Softplus", -self)

    def maximum(self, other: Operand) -> "Expression":
        return self._node("Max", self, other)

    def norm(self) -> "Expression":
        """Return the value with mean 0 and variance 1 over its last axis."""
        centred = self - self._mean()
        variance = (centred * centred)._mean()
        return centred / self._node("Sqrt", variance + NORM_EPSILON)

    def matmul(self, matrix: "Expression") -> "Expression":
        """Return the product of the last axis with a matrix's first one."""
        return self._node("MatMul", self, matrix)

    def _mean(self) -> "Expression":
        mean = self.graph.add("ReduceMean", self.name, axes=[-1])
        return Expression(self.graph, mean)
