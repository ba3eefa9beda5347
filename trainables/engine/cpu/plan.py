"""Where everything of a variant's scan is kept, and which matrix products it is made of."""

from collections.abc import Iterable
from dataclasses import dataclass

from trainables.cells.variant import Variant
from trainables.engine.adjoint import Backward, differentiate
from trainables.engine.trace import Node, Trace, runs, trace


@dataclass(frozen=True)
class Run:
    """Products of one source with neighbouring sums: one call of the matrix product."""

    source: Node
    matrix: str
    first: int  #: sum
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class WholeRun:
    """Sums that are neighbours, and whose blocks are neighbours in their matrix: one product."""

    matrix: str
    first: int  #: sum
    block: int
    count: int


def pieces(variant: Variant) -> dict[str, list[str]]:
    """Return the parameters that are vectors, each with the names of its blocks of H."""
    found = {name: [name] for name in variant.vectors}
    if variant.norm == "layer":
        found["gain_x"] = [f"gain_x_{block}" for block in variant.W]
        found["gain_R"] = [f"gain_R_{block}" for block in variant.R]
    if variant.b:
        found = {"b": [f"b_{block}" for block in variant.b], **found}
    return found


class Plan:
    """Where everything of a variant's scan is kept."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.trace: Trace = trace(variant)
        self.backward: Backward = differentiate(self.trace)
        t = self.trace
        stored = [name for name in t.stored if name != variant.output]
        self.fields = t.read
        kept = dict.fromkeys([*(t.after[name] for name in stored), *self.backward.kept])
        #: Where a row keeps these values, in blocks of H. The backward pass puts the adjoints of
        #: the sums into the first blocks, over values that nobody reads any more.
        self.tape: dict[Node, int] = self._places(kept)
        self.blocks = max([len(t.sums), *(place + 1 for place in self.tape.values())])
        self.pieces = pieces(variant)
        self.vectors = [name for names in self.pieces.values() for name in names]
        self.groups = list(t.graph.groups)
        self.across = self._across()

    def _places(self, kept: dict[Node, None]) -> dict[Node, int]:
        """Return a block for each value: one that an adjoint takes over in time where there is."""
        t, back = self.trace, self.backward
        fields = (t.after[s.name] for s in t.sources if s.word == "state")
        whole = {*t.sources, *fields}  # read once more at the end, for the matrices' gradients
        last = self._last_read(kept)
        left = [node for node in kept if node not in whole]
        places: dict[Node, int] = {}
        stages = [back.stages[adjoint] for adjoint in back.sums]
        for index in sorted(range(len(stages)), key=lambda index: -stages[index]):
            fit = [node for node in left if last.get(node, t.last) >= stages[index]]
            if fit:
                places[fit[0]] = index
                left.remove(fit[0])
        others = [node for node in kept if node not in places]
        return {**places, **{node: len(stages) + at for at, node in enumerate(others)}}

    def _last_read(self, kept: dict[Node, None]) -> dict[Node, int]:
        """Return the last stage of the backward pass, counting down, that reads each value."""
        t, back = self.trace, self.backward
        found: dict[Node, int] = {}

        def read(node: Node, stage: int) -> None:
            if node in back.stages:
                return
            if node in kept:
                found[node] = min(stage, found.get(node, stage))
                return
            for argument in node.arguments:
                read(argument, stage)

        for node, stage in back.stages.items():
            for argument in node.arguments:
                read(argument, stage)
        for group, pairs in back.groups.items():
            stage = max(t.stages[value] for value in t.graph.groups[group])
            for node, _ in pairs:
                read(node.arguments[0], stage)
        return found

    def runs(self, source: Node, sums: Iterable[int] | None = None) -> list[Run]:
        """Return the runs of sums that a source's products stand in."""
        found: dict[tuple[str, int], str] = {}
        for index, node in enumerate(self.trace.sums):
            for p in node.products:
                if p.source is source and (sums is None or index in sums):
                    found[p.matrix, index] = p.block
        result = []
        for matrix in dict.fromkeys(matrix for matrix, _ in found):
            places = sorted(index for m, index in found if m == matrix)
            for first, behind in runs(places):
                blocks = tuple(found[matrix, index] for index in range(first, behind))
                result.append(Run(source, matrix, first, blocks))
        return result

    def whole_runs(self, source: Node) -> list["WholeRun"]:
        """Return the runs of a source in which blocks are neighbours in their matrix too."""
        found: list[WholeRun] = []
        for run in self.runs(source):
            names = {"W": self.variant.W, "R": self.variant.R, "P": ("P",)}[run.matrix]
            for offset, block in enumerate(run.blocks):
                place, at = names.index(block), run.first + offset
                last = found[-1] if found else None
                if (
                    last is not None
                    and last.matrix == run.matrix
                    and (last.block + last.count, last.first + last.count) == (place, at)
                ):
                    found[-1] = WholeRun(run.matrix, last.first, last.block, last.count + 1)
                else:
                    found.append(WholeRun(run.matrix, at, place, 1))
        return found

    def sums_of(self, stage: int) -> list[int]:
        """Return the sums that are made in a stage."""
        stages = self.trace.stages
        return [i for i, node in enumerate(self.trace.sums) if stages[node] == stage]

    def narrow(self, stage: int) -> bool:
        """Return whether a stage is as wide as the output, not as the layer."""
        last = self.variant.projected and stage == self.trace.last
        return last

    def narrow_source(self, source: Node) -> bool:
        """Return whether a source is as wide as the output, not as the layer."""
        return self.variant.projected and source.word == "state" and source.name == "h"

    def sources_behind(self, stage: int) -> list[Node]:
        """Return the sources whose adjoints the backward pass of a stage begins with."""
        t = self.trace
        return [
            source
            for source in t.sources
            if (source.word == "state" and stage == t.last) or t.stages.get(source) == stage
        ]

    def _across(self) -> dict[Node, int]:
        """Return the adjoints that a later-run stage reads from an earlier-run one."""
        stages = self.backward.stages
        found: dict[Node, int] = {}
        for node, stage in stages.items():
            for argument in node.arguments:
                if stages.get(argument, stage) > stage:
                    found.setdefault(argument, len(found))
        return found
