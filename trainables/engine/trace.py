"""Tracing: the equations of one step as a graph, found by running them on values that remember.

A product that reads a computed value has to wait until that value is complete for all units. The
graph falls into stages for that reason: stage 1 in general, stage 2 for candidates behind a reset
gate, stage 0 for what is done to the state before any product. Normalisation over units waits for
its values in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, permutations

from trainables.cells.equations import Blocks
from trainables.cells.variant import Variant
from trainables.engine.graph import LEAF_OPS, Graph, Node, Product, consecutive, group_of, walk

#: Up to so many sums all orders are tried.
MAX_PERMUTED = 6


class GraphTerms:
    """The terms of one step (see cells.equations.Terms), as values of a graph."""

    def __init__(self, variant: Variant, graph: Graph, state: dict[str, Node]) -> None:
        self._variant, self._graph, self._h = variant, graph, state["h"]

    def x(self, block: str) -> Node:
        variant, graph = self._variant, self._graph
        if variant.norm == "layer":
            normal = self._normal("W", variant.W, block, graph.leaf("input"))
            return graph.leaf("vector", f"gain_x_{block}") * normal + self.p(f"b_{block}")
        bias = block if block in variant.b else None
        if block not in variant.W:
            return graph.leaf("vector", f"b_{block}")
        return graph.sum(bias, (Product("W", block, graph.leaf("input")),))

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
class StepGraph:
    """One step of a variant as a graph: its new state, and the stage of each value."""

    variant: Variant
    graph: Graph
    new_state: dict[str, Node]  #: the state's fields after the step
    stages: dict[Node, int]  #: of every value but the leaves
    sums: list[Node]  #: all of them, in the order of their blocks on the tape

    @property
    def fields_read(self) -> list[str]:
        """The fields of the state that the step reads."""
        names = {n.name for n in walk(self.new_state.values()) if n.op == "state"}
        return [name for name in self.variant.state if name in names]

    @property
    def stored(self) -> dict[str, Node]:
        """The fields after the step that are written to memory: read again, or given out."""
        names = [*self.fields_read, self.variant.output]
        return {name: self.new_state[name] for name in self.variant.state if name in names}

    @property
    def sources(self) -> list[Node]:
        """The values that matrices are multiplied with, each once."""
        return list(dict.fromkeys(p.source for s in self.sums for p in s.products))

    @property
    def first_stage(self) -> int:
        """The first stage, 0 or 1."""
        return min(self.stages.values())

    @property
    def last_stage(self) -> int:
        """The last stage."""
        return max(self.stages.values())


class HoistedTerms(GraphTerms):
    """Terms whose part W x is given for all steps: it is a leaf, and no sum has a bias.

    Where W x is normalised, the gain and the bias are in what is given.
    """

    def x(self, block: str) -> Node:
        variant = self._variant
        if block not in variant.W:
            return self.p(f"b_{block}")
        given = self._graph.leaf("hoisted", block)
        has_bias = variant.norm == "none" and block in variant.b
        return given + self.p(f"b_{block}") if has_bias else given

    def __call__(self, block: str) -> Node:
        recurrent = self.recur(block, self._h)
        if block in self._variant.W or block in self._variant.b:
            return self.x(block) + recurrent
        return recurrent


def trace(variant: Variant, terms_class: type[GraphTerms] = GraphTerms) -> StepGraph:
    """Return the graph of a variant's step."""
    graph = Graph()
    state = {name: graph.leaf("state", name) for name in variant.state}
    terms = terms_class(variant, graph, state)
    new_state = {name: graph.node(node) for name, node in variant.step(terms, state).items()}
    nodes = list(walk(new_state.values()))
    sums = [node for node in nodes if node.op == "sum"]
    return StepGraph(variant, graph, new_state, _stages(graph, nodes), _ordered(variant, sums))


def _stages(graph: Graph, nodes: list[Node]) -> dict[Node, int]:
    """Return the stage of each value but the leaves."""
    computed = [node for node in nodes if node.op not in LEAF_OPS]
    sources = {p.source for node in nodes for p in node.products if p.source in set(computed)}
    level: dict[Node, int] = {}

    def level_of(node: Node) -> int:
        if node not in level:
            below = [level_of(argument) for argument in node.arguments]
            for product in node.products:
                below.append(level_of(product.source) + 1 if product.source in sources else 1)
            if node.op == "row":
                below = [level_of(value) + 1 for value in graph.groups[group_of(node)]]
            level[node] = max(below, default=1 if node.op == "sum" else 0)
        return level[node]

    for node in nodes:
        level_of(node)
    early = any(level[source] == 0 for source in sources)
    return {node: level[node] if level[node] or early else 1 for node in computed}


def _ordered(variant: Variant, sums: list[Node]) -> list[Node]:
    """Return sums in an order in which each source's products stand together.

    Of these orders it is one that deviates least from the order of blocks in the matrices. Above
    MAX_PERMUTED sums, where each has one product, it is the order of the matrices.
    """
    names = {"W": variant.W, "R": variant.R, "P": ("P",)}

    def deviation(order: Iterable[Node]) -> tuple[int, int]:
        slots: dict[tuple[str, Node | None], list[int]] = {}
        blocks: dict[str, list[int]] = {}
        for slot, node in enumerate(order):
            for product in node.products:
                slots.setdefault((product.matrix, product.source), []).append(slot)
                block = names[product.matrix].index(product.block)
                blocks.setdefault(product.matrix, []).append(block)
        apart = sum(len(consecutive(sorted(set(found)))) for found in slots.values())
        inverted = sum(one > two for found in blocks.values() for one, two in pairwise(found))
        return apart, inverted

    def place(node: Node) -> list[tuple[int, int]]:
        return [("WRP".index(p.matrix), names[p.matrix].index(p.block)) for p in node.products]

    if len(sums) > MAX_PERMUTED:
        return sorted(sums, key=place)
    return list(min(permutations(sums), key=deviation))
