"""Differentiation: the adjoints of one step's values, as values of the same graph.

An adjoint is the gradient of the loss with respect to a value. A leaf "adjoint" is that of a field
of the state after the step, from later steps and from the output. A leaf "product" is what the
source of a product gets through its matrix. Both are complete for all units only after the later
stages, so the backward pass falls into the same stages and runs them in reverse.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trainables.engine.graph import LEAF_OPS, SAVED_OPS, Node, group_of, walk
from trainables.engine.trace import StepGraph


@dataclass(frozen=True)
class Adjoints:
    """The adjoints that a step's backward pass computes."""

    sums: list[Node]  #: of the step's sums, in their order
    state: dict[str, Node]  #: of the fields before the step, without what comes through products
    vectors: dict[str, Node]  #: of parameter vectors and biases, a term for each sequence
    input: Node | None  #: of the input, without what comes through W
    hoisted: dict[str, Node]  #: of the blocks whose part W x + b is given, where it is
    stages: dict[Node, int]  #: of every value that depends on an adjoint
    groups: dict[str, list[tuple[Node, Node]]]  #: normalised values and their adjoints, by group
    saved: list[Node]  #: values of the forward pass that this, or a later forward stage, reads


def differentiate(step: StepGraph) -> Adjoints:
    """Return the adjoints of one step by reverse accumulation."""
    graph = step.graph
    zero = graph.node(0.0)
    terms: dict[Node, Node] = {}

    def add(node: Node, term: Node) -> None:
        terms[node] = graph.make("add", (terms[node], term)) if node in terms else term

    for name, node in step.new_state.items():
        if name in step.fields_read or name == step.variant.output:
            add(node, graph.leaf("adjoint", name))
    for index, source in enumerate(step.sources):
        if source.op not in LEAF_OPS:
            add(source, graph.leaf("product", str(index)))
    nodes = list(walk(step.new_state.values()))
    groups: dict[str, list[tuple[Node, Node]]] = {}
    for node in reversed(nodes):
        if node in terms:
            if node.op == "norm":
                groups.setdefault(group_of(node.arguments[1]), []).append((node, terms[node]))
            for argument, term in _argument_adjoints(node, terms[node]):
                add(argument, term)

    state = {name: terms.get(graph.leaf("state", name), zero) for name in step.fields_read}
    vectors = {n.name: terms[n] for n in nodes if n.op == "vector" and n in terms}
    for node in step.sums:
        if node.bias is not None:
            vectors[f"b_{node.bias}"] = terms[node]
    sums = [terms[node] for node in step.sums]
    hoisted = {n.name: terms[n] for n in nodes if n.op == "hoisted" and n in terms}
    of_input = terms.get(graph.leaf("input"))
    roots = [*sums, *state.values(), *vectors.values(), *hoisted.values()]
    roots += [of_input] if of_input else []
    stages = _stages(step, roots)
    saved = _saved(step, roots, stages)
    return Adjoints(sums, state, vectors, of_input, hoisted, stages, groups, saved)


def _argument_adjoints(node: Node, g: Node) -> list[tuple[Node, Node]]:
    """Return what a value's adjoint g adds to the adjoint of each of its arguments."""
    graph = node.graph
    a = node.arguments
    match node.op:
        case "add":
            return [(a[0], g), (a[1], g)]
        case "sub":
            return [(a[0], g), (a[1], graph.node(-1.0) * g)]
        case "mul":
            return [(a[0], g * a[1]), (a[1], g * a[0])]
        case "div":
            part = g / a[1]
            return [(a[0], part), (a[1], graph.node(-1.0) * (part * node))]
        case "sigmoid":
            return [(a[0], g * (node * (1 - node)))]
        case "tanh":
            return [(a[0], g * (1 - node * node))]
        case "relu":
            return [(a[0], graph.make("where_positive", (node, g)))]
        case "exp":
            return [(a[0], g * node)]
        case "log_sigmoid":
            return [(a[0], g * (1 - node.exp()))]
        case "maximum":
            ahead = a[0] - a[1]
            first = graph.make("where_positive", (ahead, g))
            return [(a[0], first), (a[1], g - first)]
        case "norm":
            value, _, scale = a
            group = group_of(scale)
            of_g, of_gn = graph.leaf("row", f"g {group}"), graph.leaf("row", f"gn {group}")
            return [(value, scale * (g - of_g - node * of_gn))]
        case "sum" | "row" | "state" | "vector" | "input" | "hoisted" | "const" | "keep":
            return []
    raise NotImplementedError(node.op)


def _stages(step: StepGraph, roots: Iterable[Node]) -> dict[Node, int]:
    """Return the stage in which each value that depends on an adjoint can be computed."""
    stages: dict[Node, int] = {}
    sources = step.sources
    forward = set(step.stages)
    for node in walk(roots):
        if node in forward:
            continue
        if node.op == "adjoint":
            later = any(s.op == "state" and s.name == node.name for s in sources)
            stages[node] = step.last_stage if later else step.stages[step.new_state[node.name]]
        elif node.op == "row" and node.name.startswith("g"):
            stages[node] = max(step.stages[v] for v in step.graph.groups[group_of(node)])
        elif node.op == "product":
            stages[node] = step.stages[sources[int(node.name)]]
        else:
            below = [stages[argument] for argument in node.arguments if argument in stages]
            if below:
                stages[node] = min(below)
    return stages


def _saved(step: StepGraph, roots: Iterable[Node], stages: dict[Node, int]) -> list[Node]:
    """Return the values that the backward pass, or a later forward stage, reads from the tape."""
    saved = _SavedValues(step)
    for node in walk(roots):
        if node in stages:
            for argument in node.arguments:
                if argument not in stages:
                    saved.add_for_backward(argument)
    for node, stage in step.stages.items():
        if saved.in_memory(node):
            for argument in node.arguments:
                saved.add_for_later_stage(argument, stage)
    return list(saved.values)


class _SavedValues:
    """The values that have to be saved, collected from the values that read them."""

    def __init__(self, step: StepGraph) -> None:
        self._step = step
        self._stored = set(step.stored.values())  # they are in memory in any case
        computed_sources = [source for source in step.sources if source.op not in LEAF_OPS]
        members = (node for group in step.graph.groups.values() for node in group)
        # Normalisation reads its values of all units, so they have to be in memory too.
        normalised = [n for n in members if n.op not in SAVED_OPS and n not in self._stored]
        self.values: dict[Node, None] = dict.fromkeys([*computed_sources, *normalised])
        self._always = set(self.values)
        self._visited: set[Node] = set()

    def _is_saved(self, node: Node) -> bool:
        """Return whether a value is saved, where it is read, rather than computed again."""
        return node.op in SAVED_OPS or node in self._always

    def in_memory(self, node: Node) -> bool:
        """Return whether a value is, or may be, written to memory."""
        return self._is_saved(node) or node in self._stored

    def add_for_backward(self, node: Node) -> None:
        """Save what the backward pass needs to have a value of the forward pass."""
        if node in self._visited or node.op in LEAF_OPS:
            return
        self._visited.add(node)
        if node in self._stored:
            return
        if node in self._step.stages and self._is_saved(node):
            self.values[node] = None
            return
        for argument in node.arguments:
            self.add_for_backward(argument)

    def add_for_later_stage(self, node: Node, stage: int) -> None:
        """Save what a stage needs to have a value of an earlier stage."""
        stages = self._step.stages
        if node.op in LEAF_OPS or (node in self._stored and stages[node] < stage):
            return
        if self._is_saved(node):
            if stages[node] < stage:
                self.values[node] = None
            return
        for argument in node.arguments:
            self.add_for_later_stage(argument, stage)
