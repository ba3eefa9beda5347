"""The plan of a variant's scan on a GPU: what its kernels are given, keep and give back.

One program holds all units of a tile of sequences, so that a step needs no stages. The products of
the input, and what is done to them before they meet the state, are computed outside for all steps
at once: to the kernels they are given blocks ("hoisted"). The gradients of matrices are computed
outside as well, from the adjoints of the sums that the backward kernel writes.
"""

from dataclasses import dataclass

from trainables.cells.variant import Variant
from trainables.engine.adjoint import Adjoints, differentiate
from trainables.engine.graph import LEAF_OPS, SAVED_OPS, Node, group_of, walk
from trainables.engine.trace import HoistedTerms, StepGraph, trace


@dataclass(frozen=True)
class MatrixGradient:
    """Neighbouring blocks of R whose gradients are one product of adjoints and a source."""

    source: Node
    blocks: tuple[int, ...]  #: their places in R
    first: int  #: the first one's block in a row of the adjoints


class GpuPlan:
    """All that the kernels of a variant follow from; the same for every size and precision."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.step: StepGraph = trace(variant, HoistedTerms)
        self.adjoints: Adjoints = differentiate(self.step)
        roots = self.step.new_state.values()
        leaves = [node for node in walk(roots) if node.op in LEAF_OPS]
        #: Parameters that are vectors of H values, by the names of their leaves.
        self.vectors = list(dict.fromkeys(n.name for n in leaves if n.op == "vector"))
        self.reads_input = any(n.op == "input" for n in leaves)
        #: Whether the backward kernel reads the hoisted blocks, and the input, once more.
        self.rereads_hoisted = self.rereads_input = False
        fields = self.step.fields_read
        #: Fields of the state that live from step to step.
        self.fields = [name for name in variant.state if name in fields]
        self.tape = self._tape()
        self.written = self._written()
        self.matrix_gradients = self._matrix_gradients()

    def _tape(self) -> dict[Node, int]:
        """Return the slot of each value that the forward pass keeps, the output aside."""
        step, adjoints = self.step, self.adjoints
        output = step.new_state[self.variant.output]
        fields = [step.new_state[name] for name in self.fields]
        computed = [source for source in step.sources if source.op not in LEAF_OPS]
        kept: dict[Node, None] = dict.fromkeys([*fields, *computed])
        visited: set[Node] = set()

        def need(node: Node) -> None:
            if node in visited or node is output:
                return
            visited.add(node)
            if node.op == "row":
                for value in step.graph.groups[group_of(node)]:
                    need(value)
            elif node.op in SAVED_OPS or node in kept:
                kept[node] = None
            for argument in () if node in kept else node.arguments:
                need(argument)

        roots = [*adjoints.sums, *adjoints.state.values(), *adjoints.vectors.values()]
        roots += [*adjoints.hoisted.values(), *([adjoints.input] if adjoints.input else [])]
        for pairs in adjoints.groups.values():
            roots += [adjoint for _, adjoint in pairs]
        for node in walk(roots):
            for argument in node.arguments:
                if node in adjoints.stages and argument not in adjoints.stages:
                    need(argument)
        kept.pop(output, None)
        self.rereads_hoisted = any(node.op == "hoisted" for node in visited)
        self.rereads_input = any(node.op == "input" for node in visited)
        return {node: slot for slot, node in enumerate(kept)}

    def _written(self) -> dict[Node, int]:
        """Return the block of each adjoint, H wide, that the backward kernel writes.

        The hoisted blocks come first, in the order of W; then the sums that share none of these.
        """
        adjoints = self.adjoints
        zero = self.step.graph.node(0.0)
        blocks = [adjoints.hoisted.get(block, zero) for block in self.variant.W]
        assert len(set(blocks)) == len(blocks), "hoisted blocks must have adjoints of their own"
        others = [
            adjoint
            for node, adjoint in zip(self.step.sums, adjoints.sums, strict=True)
            if node.products[0].matrix != "P" and adjoint not in blocks
        ]
        if adjoints.input is not None and adjoints.input not in blocks:
            others.append(adjoints.input)
        return {node: at for at, node in enumerate(dict.fromkeys([*blocks, *others]))}

    def _matrix_gradients(self) -> list[MatrixGradient]:
        found: dict[tuple[Node, int], tuple[Node, int]] = {}
        for node, adjoint in zip(self.step.sums, self.adjoints.sums, strict=True):
            for product in node.products:
                if product.matrix == "R":
                    block = self.variant.R.index(product.block)
                    found[product.source, self.written[adjoint]] = product.source, block
        result: list[MatrixGradient] = []
        for (source, at), (_, block) in sorted(
            found.items(), key=lambda item: (item[0][0].number, item[0][1])
        ):
            last = result[-1] if result else None
            if last and last.source is source and last.first + len(last.blocks) == at:
                result[-1] = MatrixGradient(source, (*last.blocks, block), last.first)
            else:
                result.append(MatrixGradient(source, (block,), at))
        return result

    @property
    def projection(self) -> tuple[Node, Node] | None:
        """The source of P and the adjoint of its product, where a variant has a projection."""
        for node, adjoint in zip(self.step.sums, self.adjoints.sums, strict=True):
            if node.products[0].matrix == "P":
                return node.products[0].source, adjoint
        return None

    def output_wide(self, node: Node) -> bool:
        """Return whether a value is as wide as the output rather than the layer."""
        if not self.variant.projected:
            return False
        if node.op in ("state", "adjoint", "keep"):
            return node.name == "h"
        if node.op == "sum":
            return node.products[0].matrix == "P"
        if node.op == "product":
            return self.output_wide(self.step.sources[int(node.name)])
        return any(self.output_wide(argument) for argument in node.arguments)


_PLANS: dict[str, GpuPlan] = {}


def plan_of(variant: Variant) -> GpuPlan:
    """Return the plan of a variant, made once a process."""
    if variant.name not in _PLANS:
        _PLANS[variant.name] = GpuPlan(variant)
    return _PLANS[variant.name]
