"""The graph of one step: values that remember how they are made.

Every value is one number a unit, for all units alike. A "sum" stands for a bias plus products of
matrices with the input, the state or computed values; everything else is elementwise. A leaf "row"
is one number a sequence: the mean or the reciprocal deviation of values that are normalised over
all units.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

#: Operations whose results the tape stores; the backward pass computes the others again.
SAVED_OPS = frozenset({"sigmoid", "tanh", "exp", "log_sigmoid", "div", "sum"})
#: Operations without arguments: what a step is given.
LEAF_OPS = frozenset(
    {"const", "state", "vector", "input", "hoisted", "adjoint", "product", "row", "keep"}
)


@dataclass(frozen=True)
class Product:
    """One block of a stacked matrix times a value that is complete for all units."""

    matrix: str  #: "W", "R" or "P"
    block: str
    source: "Node"  #: the input, a field of the state, or a computed value


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the graph. Equal values are one node, because the graph makes each once."""

    graph: "Graph" = field(repr=False)
    number: int
    op: str
    arguments: tuple["Node", ...] = ()
    name: str = ""  #: of a leaf: field, vector, or adjoint
    value: float = 0.0  #: of a const
    bias: str | None = None  #: of a sum: the block whose bias it adds
    products: tuple[Product, ...] = ()  #: of a sum

    def _make(self, op: str, *others: "Operand", swap: bool = False) -> "Node":
        operands = (self, *(self.graph.node(other) for other in others))
        return self.graph.make(op, operands[::-1] if swap else operands)

    def __add__(self, other: "Operand") -> "Node":
        return self._make("add", other)

    def __radd__(self, other: "Operand") -> "Node":
        return self._make("add", other)

    def __sub__(self, other: "Operand") -> "Node":
        return self._make("sub", other)

    def __rsub__(self, other: "Operand") -> "Node":
        return self._make("sub", other, swap=True)

    def __mul__(self, other: "Operand") -> "Node":
        return self._make("mul", other)

    def __rmul__(self, other: "Operand") -> "Node":
        return self._make("mul", other)

    def __truediv__(self, other: "Operand") -> "Node":
        return self._make("div", other)

    def sigmoid(self) -> "Node":
        return self._make("sigmoid")

    def tanh(self) -> "Node":
        return self._make("tanh")

    def relu(self) -> "Node":
        return self._make("relu")

    def exp(self) -> "Node":
        return self._make("exp")

    def log_sigmoid(self) -> "Node":
        return self._make("log_sigmoid")

    def maximum(self, other: "Operand") -> "Node":
        return self._make("maximum", other)

    def norm(self) -> "Node":
        name = f"value {self.number}"
        self.graph.groups[name] = (self,)
        return self.graph.normalised(self, name)


Operand = Node | float | int


class Graph:
    """All values of one step of one variant."""

    def __init__(self) -> None:
        self._nodes: dict[object, Node] = {}
        self.groups: dict[str, tuple[Node, ...]] = {}  #: values normalised together, by name

    def _once(self, key: object, make: Callable[[int], Node]) -> Node:
        if key not in self._nodes:
            self._nodes[key] = make(len(self._nodes))
        return self._nodes[key]

    def node(self, value: Operand) -> Node:
        """Return a number as a node; return a node as it is."""
        if isinstance(value, Node):
            return value
        number = float(value)
        return self._once(("const", number), lambda n: Node(self, n, "const", value=number))

    def leaf(self, op: str, name: str = "") -> Node:
        """Return a value that the step is given."""
        return self._once((op, name), lambda n: Node(self, n, op, name=name))

    def sum(self, bias: str | None, products: tuple[Product, ...]) -> Node:
        """Return the bias of a block, if any, plus products."""
        key = ("sum", bias, tuple((p.matrix, p.block, p.source.number) for p in products))
        return self._once(key, lambda n: Node(self, n, "sum", bias=bias, products=products))

    def normalised(self, value: Node, group: str) -> Node:
        """Return a value of a group after the group's mean becomes 0 and its variance 1."""
        mean, scale = self.leaf("row", f"mean {group}"), self.leaf("row", f"scale {group}")
        return self.make("norm", (value, mean, scale))

    def make(self, op: str, arguments: tuple[Node, ...]) -> Node:
        """Return an operation on values. Two sums add up to one sum if one of them has no bias."""
        if op == "add":
            one, other = arguments
            if one.op == other.op == "sum" and (one.bias is None or other.bias is None):
                return self.sum(one.bias or other.bias, one.products + other.products)
        simple = _simplified(op, arguments)
        if simple is not None:
            return simple
        key = (op, tuple(argument.number for argument in arguments))
        return self._once(key, lambda n: Node(self, n, op, arguments))


def _simplified(op: str, arguments: tuple[Node, ...]) -> Node | None:
    """Return the simpler value of an addition of 0 or a multiplication by 0 or 1, or None."""
    if op not in ("add", "mul"):
        return None
    for one, other in (arguments, arguments[::-1]):
        if one.op == "const":
            if one.value == (0.0 if op == "add" else 1.0):
                return other
            if one.value == 0.0:
                return one
    return None


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Yield all values that the roots depend on, each after its own arguments."""
    visited: set[Node] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node in visited:
            return
        visited.add(node)
        for argument in (*node.arguments, *(p.source for p in node.products)):
            yield from visit(argument)
        yield node

    for root in roots:
        yield from visit(root)


def group_of(row: Node) -> str:
    """Return the group that a leaf "row" belongs to."""
    return row.name.split(" ", 1)[1]


def consecutive(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the stretches (first, last + 1) of consecutive numbers among ascending ones."""
    stretches: list[tuple[int, int]] = []
    for number in numbers:
        if stretches and stretches[-1][1] == number:
            stretches[-1] = (stretches[-1][0], number + 1)
        else:
            stretches.append((number, number + 1))
    return stretches
