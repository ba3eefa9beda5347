"""The backward pass of one step: the adjoints of its values, as values of the same graph.

A leaf "adjoint" is what flows into a field of the state from later steps and from the output; a
leaf "product" what flows into a source of a product. Both are there for all units only after the
stages behind them, so that the backward pass falls into the same stages, the last one first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trainables.engine.trace import HEAVY, LEAVES, Node, Trace, group_of, walk


@dataclass(frozen=True)
class Backward:
    """Adjoints that a step's backward pass has to give."""

    sums: list[Node]  #: of the trace's sums, in their order
    state: dict[str, Node]  #: of the fields before the step, without what comes through products
    vectors: dict[str, Node]  #: of parameter vectors and biases, a term for each sequence
    input: Node | None  #: of the input, without what comes through W
    stages: dict[Node, int]  #: of every value that depends on an adjoint
    groups: dict[str, list[tuple[Node, Node]]]  #: normalised values and their adjoints, by group
    kept: list[Node]  #: values of the forward pass that are kept for this, or for a later stage


def differentiate(trace: Trace) -> Backward:
    """Return the adjoints of one step by reverse accumulation."""
    graph = trace.graph
    zero = graph.node(0.0)
    terms: dict[Node, Node] = {}

    def give(node: Node, term: Node) -> None:
        terms[node] = graph.make("add", (terms[node], term)) if node in terms else term

    for name, node in trace.after.items():
        if name in trace.read or name == trace.variant.output:
            give(node, graph.leaf("adjoint", name))
    for index, source in enumerate(trace.sources):
        if source.word not in LEAVES:
            give(source, graph.leaf("product", str(index)))
    forward = list(walk(trace.after.values()))
    groups: dict[str, list[tuple[Node, Node]]] = {}
    for node in reversed(forward):
        if node in terms:
            if node.word == "norm":
                groups.setdefault(group_of(node.arguments[1]), []).append((node, terms[node]))
            for argument, term in _pulled(node, terms[node]):
                give(argument, term)

    state = {name: terms.get(graph.leaf("state", name), zero) for name in trace.read}
    vectors = {n.name: terms[n] for n in forward if n.word == "vector" and n in terms}
    for node in trace.sums:
        if node.start is not None:
            vectors[f"b_{node.start}"] = terms[node]
    sums = [terms[node] for node in trace.sums]
    into_input = terms.get(graph.leaf("input"))
    roots = [*sums, *state.values(), *vectors.values(), *([into_input] if into_input else [])]
    stages = _stages(trace, roots)
    kept = _kept(trace, roots, stages)
    return Backward(sums, state, vectors, into_input, stages, groups, kept)


def _pulled(node: Node, g: Node) -> list[tuple[Node, Node]]:
    """Return what a value's adjoint g gives to each of its arguments."""
    graph = node.graph
    a = node.arguments
    match node.word:
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
        case "sum" | "row" | "state" | "vector" | "input" | "const" | "keep":
            return []
    raise NotImplementedError(node.word)


def _stages(trace: Trace, roots: Iterable[Node]) -> dict[Node, int]:
    """Return the stage in which each value that depends on an adjoint can be made."""
    stages: dict[Node, int] = {}
    sources = trace.sources
    known = set(trace.stages)
    for node in walk(roots):
        if node in known:
            continue
        if node.word == "adjoint":
            later = any(s.word == "state" and s.name == node.name for s in sources)
            stages[node] = trace.last if later else trace.stages[trace.after[node.name]]
        elif node.word == "row" and node.name.startswith("g"):
            stages[node] = max(trace.stages[v] for v in trace.graph.groups[group_of(node)])
        elif node.word == "product":
            stages[node] = trace.stages[sources[int(node.name)]]
        else:
            below = [stages[argument] for argument in node.arguments if argument in stages]
            if below:
                stages[node] = min(below)
    return stages


def heavy(node: Node, trace: Trace) -> bool:
    """Return whether a value of the forward pass is kept rather than made again."""
    return node.word in HEAVY or node in _computed_sources(trace) or node in _normalised(trace)


def _computed_sources(trace: Trace) -> list[Node]:
    return [source for source in trace.sources if source.word not in LEAVES]


def _normalised(trace: Trace) -> list[Node]:
    """Return what is normalised over units and would not be there for all units otherwise."""
    stored = set(trace.stored.values())
    members = (node for group in trace.graph.groups.values() for node in group)
    return [node for node in members if node.word not in HEAVY and node not in stored]


def _kept(trace: Trace, roots: Iterable[Node], stages: dict[Node, int]) -> list[Node]:
    """Return the heavy values that the backward pass, or a later forward stage, reads."""
    kept: dict[Node, None] = dict.fromkeys([*_computed_sources(trace), *_normalised(trace)])
    stored = set(trace.stored.values())

    def read(node: Node, seen: set[Node]) -> None:
        if node in seen or node.word in LEAVES:
            return
        seen.add(node)
        if node in stored:
            return
        if node in trace.stages and heavy(node, trace):
            kept[node] = None
            return
        for argument in node.arguments:
            read(argument, seen)

    seen: set[Node] = set()
    for node in walk(roots):
        if node in stages:
            for argument in node.arguments:
                if argument not in stages:
                    read(argument, seen)
    for node, stage in trace.stages.items():
        if heavy(node, trace) or node in stored:
            for argument in node.arguments:
                _earlier(argument, stage, trace, kept, stored)
    return list(kept)


def _earlier(
    node: Node, stage: int, trace: Trace, kept: dict[Node, None], stored: set[Node]
) -> None:
    """Keep the heavy values of earlier stages that a value of this stage is made of."""
    if node.word in LEAVES:
        return
    if node in stored and trace.stages[node] < stage:
        return
    if heavy(node, trace):
        if trace.stages[node] < stage:
            kept[node] = None
        return
    for argument in node.arguments:
        _earlier(argument, stage, trace, kept, stored)
