"""The plan of a variant's scan: its matrix products, and where its values are on the tape."""

from collections.abc import Iterable
from dataclasses import dataclass

from trainables.cells.variant import Variant
from trainables.engine.adjoint import Adjoints, differentiate
from trainables.engine.graph import Node, consecutive
from trainables.engine.trace import StepGraph, trace


@dataclass(frozen=True)
class BlockProduct:
    """Products of one source that belong to consecutive sums: one call of the matrix product."""

    source: Node
    matrix: str
    first_sum: int
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class GradientProduct:
    """Consecutive sums of consecutive blocks of a matrix: one product for its gradient."""

    matrix: str
    first_sum: int
    first_block: int
    count: int


def vector_blocks(variant: Variant) -> dict[str, list[str]]:
    """Return the parameters that are vectors, each with the names of its blocks of H."""
    found = {name: [name] for name in variant.vectors}
    if variant.norm == "layer":
        found["gain_x"] = [f"gain_x_{block}" for block in variant.W]
        found["gain_R"] = [f"gain_R_{block}" for block in variant.R]
    if variant.b:
        found = {"b": [f"b_{block}" for block in variant.b], **found}
    return found


class Plan:
    """All that the code of a variant's scan follows from; the same for every size and float type.

    The backward pass writes the adjoint of sum i into block i of a row of the tape, over a value
    that no later stage reads.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.step: StepGraph = trace(variant)
        self.adjoints: Adjoints = differentiate(self.step)
        self.fields = self.step.fields_read
        stored = [name for name in self.step.stored if name != variant.output]
        fields = [self.step.new_state[name] for name in stored]
        #: The block of H numbers in a row of the tape that holds each of these values.
        self.tape = self._tape(list(dict.fromkeys([*fields, *self.adjoints.saved])))
        #: Blocks of H in a row of the tape.
        self.tape_blocks = max([len(self.step.sums), *(block + 1 for block in self.tape.values())])
        #: Parameters that are vectors, each with the names of its blocks of H.
        self.vector_blocks = vector_blocks(variant)
        self.vectors = [name for names in self.vector_blocks.values() for name in names]
        #: Groups of values that are normalised together.
        self.groups = list(self.step.graph.groups)
        self.between_stages = self._between_stages()

    def _tape(self, values: list[Node]) -> dict[Node, int]:
        """Return a block for each value: one that an adjoint overwrites later where possible."""
        step, adjoints = self.step, self.adjoints
        previous = (step.new_state[s.name] for s in step.sources if s.op == "state")
        # The gradients of the matrices read these once more, after the last stage.
        lasting = {*step.sources, *previous}
        last_read = self._last_read(set(values))
        free = [node for node in values if node not in lasting]
        blocks: dict[Node, int] = {}
        stages = [adjoints.stages[adjoint] for adjoint in adjoints.sums]
        for index in sorted(range(len(stages)), key=lambda index: -stages[index]):
            fit = [node for node in free if last_read.get(node, step.last_stage) >= stages[index]]
            if fit:
                blocks[fit[0]] = index
                free.remove(fit[0])
        others = [node for node in values if node not in blocks]
        return {**blocks, **{node: len(stages) + number for number, node in enumerate(others)}}

    def _last_read(self, values: set[Node]) -> dict[Node, int]:
        """Return the last stage of the backward pass, which counts down, that reads each value."""
        step, adjoints = self.step, self.adjoints
        last: dict[Node, int] = {}

        def read(node: Node, stage: int) -> None:
            if node in adjoints.stages:
                return
            if node in values:
                last[node] = min(stage, last.get(node, stage))
                return
            for argument in node.arguments:
                read(argument, stage)

        for node, stage in adjoints.stages.items():
            for argument in node.arguments:
                read(argument, stage)
        for group, pairs in adjoints.groups.items():
            stage = max(step.stages[value] for value in step.graph.groups[group])
            for node, _ in pairs:
                read(node.arguments[0], stage)
        return last

    def _between_stages(self) -> dict[Node, int]:
        """Return the adjoints that one stage of the backward pass leaves for another, numbered."""
        stages = self.adjoints.stages
        found: dict[Node, int] = {}
        for node, stage in stages.items():
            for argument in node.arguments:
                if stages.get(argument, stage) > stage:
                    found.setdefault(argument, len(found))
        return found

    def block_products(self, source: Node, sums: Iterable[int] | None = None) -> list[BlockProduct]:
        """Return the products of a source, those of the given sums or all."""
        blocks: dict[tuple[str, int], str] = {}
        for index, node in enumerate(self.step.sums):
            for product in node.products:
                if product.source is source and (sums is None or index in sums):
                    blocks[product.matrix, index] = product.block
        result = []
        for matrix in dict.fromkeys(matrix for matrix, _ in blocks):
            indices = sorted(index for name, index in blocks if name == matrix)
            for first, end in consecutive(indices):
                names = tuple(blocks[matrix, index] for index in range(first, end))
                result.append(BlockProduct(source, matrix, first, names))
        return result

    def gradient_products(self, source: Node) -> list[GradientProduct]:
        """Return the products that the gradients of a source's matrices are made of."""
        found: list[GradientProduct] = []
        for product in self.block_products(source):
            for offset, name in enumerate(product.blocks):
                block, index = self.block_index(product.matrix, name), product.first_sum + offset
                last = found[-1] if found else None
                if (
                    last is not None
                    and last.matrix == product.matrix
                    and last.first_block + last.count == block
                    and last.first_sum + last.count == index
                ):
                    found[-1] = GradientProduct(
                        last.matrix, last.first_sum, last.first_block, last.count + 1
                    )
                else:
                    found.append(GradientProduct(product.matrix, index, block, 1))
        return found

    def block_index(self, matrix: str, block: str) -> int:
        """Return the place of a block in its matrix."""
        names = {"W": self.variant.W, "R": self.variant.R, "P": ("P",)}[matrix]
        return names.index(block)

    def sums_of(self, stage: int) -> list[int]:
        """Return the sums that are computed in a stage."""
        stages = self.step.stages
        return [i for i, node in enumerate(self.step.sums) if stages[node] == stage]

    def output_wide(self, stage: int) -> bool:
        """Return whether a stage is as wide as the output, not as the layer."""
        return self.variant.projected and stage == self.step.last_stage

    def output_wide_source(self, source: Node) -> bool:
        """Return whether a source is as wide as the output, not as the layer."""
        return self.variant.projected and source.op == "state" and source.name == "h"

    def sources_after(self, stage: int) -> list[Node]:
        """Return the sources whose adjoints the backward pass of a stage begins with."""
        step = self.step
        return [
            source
            for source in step.sources
            if (source.op == "state" and stage == step.last_stage)
            or step.stages.get(source) == stage
        ]
