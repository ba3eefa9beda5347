"""The equations of one step as a graph, found by running them on values that only remember.

Every value of the graph is one number a unit, for all units alike. A Sum stands for products of
matrices with the input, the state or other values, and what they are added to; all else is done
unit by unit. A Sum whose product reads a computed value has to wait until that value is there for
all units, so that the graph falls into stages: 1, and 2 for candidates behind a reset gate; stage 0
is for what is done to the state before any product. Normalisation over units waits for its values
too: a leaf "row" is a number of a sequence, mean or reciprocal deviation of a group of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, permutations

from trainables.cells.equations import Blocks
from trainables.cells.variant import Variant

#: Words whose results are kept for the backward pass rather than made again.
HEAVY = frozenset({"sigmoid", "tanh", "exp", "log_sigmoid", "div", "sum"})
#: Words of what a step is given.
LEAVES = frozenset({"const", "state", "vector", "input", "adjoint", "product", "row", "keep"})


#: Sums of which all orders are tried.
MANY = 6


@dataclass(frozen=True)
class Product:
    """A stacked matrix's block times a value that is there for all units."""

    matrix: str  #: "W", "R" or "P"
    block: str
    source: "Node"  #: the input, a field of the state, or a computed value


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the graph. Equal values are one node: the graph makes each once."""

    graph: "Graph" = field(repr=False)
    number: int
    word: str
    arguments: tuple["Node", ...] = ()
    name: str = ""  #: of a leaf: field, vector, or adjoint
    value: float = 0.0  #: of a const
    start: str | None = None  #: of a sum: the block whose bias it begins with
    products: tuple[Product, ...] = ()  #: of a sum

    def _make(self, word: str, *others: "Operand", swap: bool = False) -> "Node":
        operands = (self, *(self.graph.node(other) for other in others))
        return self.graph.make(word, operands[::-1] if swap else operands)

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
        """Return a number as a node; a node as it is."""
        if isinstance(value, Node):
            return value
        number = float(value)
        return self._once(("const", number), lambda n: Node(self, n, "const", value=number))

    def leaf(self, word: str, name: str = "") -> Node:
        """Return a value that the step is given."""
        return self._once((word, name), lambda n: Node(self, n, word, name=name))

    def sum(self, start: str | None, products: tuple[Product, ...]) -> Node:
        """Return a bias, or none, plus products."""
        key = ("sum", start, tuple((p.matrix, p.block, p.source.number) for p in products))
        return self._once(key, lambda n: Node(self, n, "sum", start=start, products=products))

    def normalised(self, value: Node, group: str) -> Node:
        """Return a value of a group with the group's mean 0 and variance 1."""
        mean, scale = self.leaf("row", f"mean {group}"), self.leaf("row", f"scale {group}")
        return self.make("norm", (value, mean, scale))

    def make(self, word: str, arguments: tuple[Node, ...]) -> Node:
        """Return a word applied to values; sums add up to one sum."""
        if word == "add":
            one, other = arguments
            if one.word == other.word == "sum" and (one.start is None or other.start is None):
                return self.sum(one.start or other.start, one.products + other.products)
        simple = _simplified(word, arguments)
        if simple is not None:
            return simple
        key = (word, tuple(argument.number for argument in arguments))
        return self._once(key, lambda n: Node(self, n, word, arguments))


def _simplified(word: str, arguments: tuple[Node, ...]) -> Node | None:
    """Return what adding zero or multiplying with zero or one comes to."""
    if word not in ("add", "mul"):
        return None
    for one, other in (arguments, arguments[::-1]):
        if one.word == "const":
            if one.value == (0.0 if word == "add" else 1.0):
                return other
            if one.value == 0.0:
                return one
    return None


class _Terms:
    """The terms of one step, as values of a graph."""

    def __init__(self, variant: Variant, graph: Graph, state: dict[str, Node]) -> None:
        self._variant, self._graph, self._h = variant, graph, state["h"]

    def x(self, block: str) -> Node:
        variant, graph = self._variant, self._graph
        if variant.norm == "layer":
            normal = self._normal("W", variant.W, block, graph.leaf("input"))
            return graph.leaf("vector", f"gain_x_{block}") * normal + self.p(f"b_{block}")
        start = block if block in variant.b else None
        if block not in variant.W:
            return graph.leaf("vector", f"b_{block}")
        return graph.sum(start, (Product("W", block, graph.leaf("input")),))

    def recur(self, block: str, value: Node) -> Node:
        return self._graph.sum(None, (Product("R", block, value),))

    def __call__(self, block: str) -> Node:
        recurrent = self.recur(block, self._h)
        if block in self._variant.W:
            return self.x(block) + recurrent
        if block in self._variant.b:
            return self._graph.sum(block, recurrent.products)
        return recurrent

    def p(self, name: str) -> Node:
        return self._graph.leaf("vector", name)

    @property
    def input(self) -> Node:
        return self._graph.leaf("input")

    def project(self, value: Node) -> Node:
        return self._graph.sum(None, (Product("P", "P", value),))

    def keep(self, name: str) -> Node:
        return self._graph.leaf("keep", name)

    def normed(self, block: str) -> Node:
        normal = self._normal("R", self._variant.R, block, self._h)
        return self.x(block) + self.p(f"gain_R_{block}") * normal

    def _normal(self, matrix: str, blocks: Blocks, block: str, source: Node) -> Node:
        """Return a block of a product that is normalised over all its blocks together."""
        graph = self._graph
        products = {k: graph.sum(None, (Product(matrix, k, source),)) for k in blocks}
        graph.groups[matrix] = tuple(products.values())
        return graph.normalised(products[block], matrix)


@dataclass(frozen=True)
class Trace:
    """One step of a variant as a graph: what its new state is, and in which stages it is made."""

    variant: Variant
    graph: Graph
    after: dict[str, Node]  #: the state's fields after the step
    stages: dict[Node, int]  #: of every value but the leaves
    sums: list[Node]  #: all of them, in the order in which they are kept

    @property
    def read(self) -> list[str]:
        """Return the fields of the state that the step reads."""
        names = {n.name for n in walk(self.after.values()) if n.word == "state"}
        return [name for name in self.variant.state if name in names]

    @property
    def stored(self) -> dict[str, Node]:
        """Return the fields after the step that are written down: read again, or given out."""
        names = [*self.read, self.variant.output]
        return {name: self.after[name] for name in self.variant.state if name in names}

    @property
    def sources(self) -> list[Node]:
        """Return what matrices are multiplied with, each once."""
        return list(dict.fromkeys(p.source for s in self.sums for p in s.products))

    @property
    def last(self) -> int:
        """Return the last stage."""
        return max(self.stages.values())

    @property
    def first(self) -> int:
        """Return the first stage, 0 or 1."""
        return min(self.stages.values())


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Yield all values that the roots are made of, each after those it is made of."""
    seen: set[Node] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node in seen:
            return
        seen.add(node)
        for below in (*node.arguments, *(p.source for p in node.products)):
            yield from visit(below)
        yield node

    for root in roots:
        yield from visit(root)


def trace(variant: Variant) -> Trace:
    """Return the graph of a variant's step."""
    graph = Graph()
    state = {name: graph.leaf("state", name) for name in variant.state}
    terms = _Terms(variant, graph, state)
    after = {name: graph.node(node) for name, node in variant.step(terms, state).items()}
    nodes = list(walk(after.values()))
    computed = [node for node in nodes if node.word not in LEAVES]
    sources = {p.source for node in nodes for p in node.products if p.source in set(computed)}
    level: dict[Node, int] = {}

    def level_of(node: Node) -> int:
        if node not in level:
            below = [level_of(argument) for argument in node.arguments]
            for product in node.products:
                below.append(level_of(product.source) + 1 if product.source in sources else 1)
            if node.word == "row":
                below = [level_of(value) + 1 for value in graph.groups[group_of(node)]]
            level[node] = max(below, default=1 if node.word == "sum" else 0)
        return level[node]

    for node in nodes:
        level_of(node)
    early = any(level[source] == 0 for source in sources)
    stages = {n: level[n] if level[n] or early else 1 for n in computed}
    sums = [node for node in nodes if node.word == "sum"]
    return Trace(variant, graph, after, stages, _arranged(variant, sums))


def group_of(row: Node) -> str:
    """Return the group whose number a leaf "row" is."""
    return row.name.split(" ", 1)[1]


def runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs (first, behind last) of neighbours among ascending places."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found


def _arranged(variant: Variant, sums: list[Node]) -> list[Node]:
    """Return sums in an order in which each source's products stand together.

    Among such orders, one that breaks the matrices' own order of blocks the least. Of more sums
    than can be tried in all orders, each has one product.
    """

    def breaks(order: Iterable[Node]) -> tuple[int, int]:
        slots: dict[tuple[str, Node | None], list[int]] = {}
        ordered: dict[str, list[int]] = {}
        names = {"W": variant.W, "R": variant.R, "P": ("P",)}
        for slot, node in enumerate(order):
            for product in node.products:
                slots.setdefault((product.matrix, product.source), []).append(slot)
                ordered.setdefault(product.matrix, []).append(
                    names[product.matrix].index(product.block)
                )
        apart = sum(len(runs(sorted(set(places)))) for places in slots.values())
        inverted = sum(one > two for row in ordered.values() for one, two in pairwise(row))
        return apart, inverted

    if len(sums) > MANY:
        names = {"W": variant.W, "R": variant.R}
        return sorted(sums, key=lambda s: [("WR".index(p.matrix), names[p.matrix].index(p.block))
                                           for p in s.products])  # fmt: skip
    best: tuple[Node, ...] = min(permutations(sums), key=breaks)
    return list(best)
