"""Writes the forward function of a variant's scan."""

from functools import partial

from llvmlite import ir

from trainables.cells.equations import NORM_EPSILON
from trainables.engine.cpu.function import COMMON_LEAVES, Chunk, Function, Row, StepRows, Tile
from trainables.engine.cpu.ir import SimdType
from trainables.engine.cpu.plan import BlockProduct, Plan
from trainables.engine.cpu.product import pack_rows
from trainables.engine.graph import Node
from trainables.engine.trace import StepGraph


class ForwardFunction(Function):
    """The forward function: pack the matrices, then run stage after stage of step after step."""

    def __init__(self, plan: Plan, module: ir.Module, simd: SimdType) -> None:
        super().__init__(plan, module, simd, "forward")
        code, graph = self.code, plan.step
        b, zero, one = code.builder, code.integer(0), code.integer(1)
        self.stages = range(graph.first_stage, graph.last_stage + 1)
        self.products: dict[int, list[BlockProduct]] = {
            stage: [
                product
                for source in graph.sources
                for product in plan.block_products(source, plan.sums_of(stage))
            ]
            for stage in self.stages
        }
        self.panels = self._packed_panels()
        with code.loop(zero, self.argument["T"]) as step:
            count, first = self.int64_at("counts", step), self.int64_at("offsets", step)
            is_first = b.icmp_signed("==", step, zero)
            before = self.int64_at("offsets", b.select(is_first, zero, b.sub(step, one)))
            rows = StepRows(count, first, is_first, self.previous(is_first, before))
            for stage in self.stages:
                self._stage(stage, rows)
        b.ret_void()

    def _packed_panels(self) -> dict[BlockProduct, ir.Value]:
        """Pack the matrices of all products, and return where their panels begin."""
        staged = [(stage, product) for stage in self.stages for product in self.products[stage]]
        sizes = [
            (self.source_width(product.source), self.width(stage), len(product.blocks))
            for stage, product in staged
        ]
        products = [product for _, product in staged]
        panels = dict(zip(products, self.panel_addresses(sizes), strict=True))
        for product, (K, width, _) in zip(products, sizes, strict=True):
            matrix, first_rows, ld = self.matrix(product)
            group = self.argument["group"]
            pack_rows(self.code, panels[product], matrix, first_rows, ld, K, width, group)
        return panels

    def _stage(self, stage: int, step: StepRows) -> None:
        """Run one stage of one step."""
        graph, slots = self.plan.step, max(len(self.plan.sums_of(stage)), 1)
        for index, group in enumerate(self.plan.groups):
            values = graph.graph.groups[group]
            if max(graph.stages[value] for value in values) + 1 == stage:
                self._normalise(index, values, step)
        before, body = partial(self._sums, stage, step), partial(self._tile, stage, step)
        self.for_each_tile(stage, step.count, slots, before, body)

    def _sums(self, stage: int, step: StepRows, chunk: Chunk) -> None:
        """Compute a chunk's sums in tmp: biases, then products."""
        code, sums = self.code, self.plan.sums_of(stage)
        b, zero = code.builder, code.integer(0)
        if not sums:
            return
        with code.loop(zero, chunk.vectors) as vector:
            unit = b.mul(b.add(chunk.first_vector, vector), code.integer(self.simd.lanes))
            mask = code.lanes_below(unit, self.width(stage))
            biases = []
            for index in sums:
                block = self.plan.step.sums[index].bias
                bias = None if block is None else self.vector("vectors", f"b_{block}", unit)
                biases.append(code.splat(0.0) if bias is None else code.load(bias, mask))
            with code.loop(zero, chunk.rows) as row:
                for slot, bias in enumerate(biases):
                    code.store_all(bias, self.tmp(chunk, row, slot, vector))
        for product in self.products[stage]:
            K = self.source_width(product.source)
            A, lda, rows = self._source(product.source, step, chunk)
            C = self.tmp(chunk, zero, sums.index(product.first_sum), zero)
            blocks = code.integer(len(product.blocks))
            column = b.mul(chunk.first_vector, code.integer(self.simd.lanes))
            panel = code.address(self.panels[product], b.mul(column, b.mul(K, blocks)))
            self.multiply(C, chunk.tmp_row, A, lda, panel, K, rows, b.mul(blocks, chunk.vectors))

    def _source(
        self, source: Node, step: StepRows, chunk: Chunk
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return where a source's rows begin, their length, and how many are not zero."""
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        in_scan = b.add(step.first, chunk.first_row)
        if source.op == "input":
            return self.array("x", in_scan, self.I, zero), self.I, chunk.rows
        if source.op == "state":  # before the first step it is zero, unless it was carried
            start, row_length = step.previous[source.name]
            there = code.address(start, b.mul(chunk.first_row, row_length))
            is_zero = b.and_(step.is_first, b.not_(self.carried))
            return there, row_length, b.select(is_zero, zero, chunk.rows)
        return self.on_tape(in_scan, source, zero), self.tape_row, chunk.rows

    def _tile(self, stage: int, step: StepRows, tile: Tile) -> None:
        """Compute a tile's values, and store those of the tape and the output."""
        code, plan = self.code, self.plan
        vectors: dict[str, ir.Value] = {}
        for name in plan.vectors:
            if _reads_vector(plan.step, stage, name):
                vectors[name] = code.load(self.vector("vectors", name, tile.unit), tile.mask)
        with code.loop(code.integer(0), tile.chunk.rows) as in_chunk:
            row = self.row(step, tile, in_chunk)
            leaf = partial(self._leaf, stage, step, tile, row, vectors)
            memo: dict[Node, ir.Value] = {}
            for node in plan.tape:
                if plan.step.stages[node] == stage:
                    value = self.evaluate(node, memo, leaf)
                    code.store(value, self.on_tape(row.in_scan, node, tile.unit), tile.mask)
            output = plan.step.new_state[plan.variant.output]
            if plan.step.stages[output] == stage:
                value = self.evaluate(output, memo, leaf)
                code.store(value, self.array("y", row.in_scan, self.P, tile.unit), tile.mask)

    def _leaf(
        self,
        stage: int,
        step: StepRows,
        tile: Tile,
        row: Row,
        vectors: dict[str, ir.Value],
        node: Node,
    ) -> ir.Value | None:
        """Return a value that a row of a stage need not compute, or None."""
        graph, plan = self.plan.step, self.plan
        if node.op in COMMON_LEAVES:
            return self.common_leaf(node, step, tile, row, vectors)
        if graph.stages.get(node, stage) < stage and node in plan.tape:
            return self.code.load(self.on_tape(row.in_scan, node, tile.unit), tile.mask)
        if node.op == "sum":
            slot = plan.sums_of(stage).index(graph.sums.index(node))
            return self.code.load_all(self.tmp(tile.chunk, row.in_chunk, slot, tile.vector))
        return None

    def _normalise(self, index: int, values: tuple[Node, ...], step: StepRows) -> None:
        """Write mean and reciprocal deviation of a group, for each row."""
        code, b, number = self.code, self.code.builder, self.simd.scalar
        with code.loop(code.integer(0), step.count) as row:
            in_scan = b.add(step.first, row)

            def value(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                return [code.load(self.on_tape(in_scan, values[which], unit), mask)]

            (mean,) = self.means(len(values), 1, value)
            broadcast_mean = code.broadcast(mean)

            def square(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                centred = b.fsub(value(which, unit, mask)[0], broadcast_mean)
                return [b.fmul(centred, centred)]

            (variance,) = self.means(len(values), 1, square)
            above = b.fadd(variance, ir.Constant(number, NORM_EPSILON))
            root = code.call(f"llvm.sqrt.f{8 * self.simd.bytes}", number, [above])
            scale = b.fdiv(ir.Constant(number, 1.0), root)
            b.store(mean, self.row_number("row_values", in_scan, 2 * index))
            b.store(scale, self.row_number("row_values", in_scan, 2 * index + 1))


def _reads_vector(graph: StepGraph, stage: int, name: str) -> bool:
    """Return whether a stage reads a vector other than as the bias of a sum."""

    def reads(node: Node) -> bool:
        if node.op == "vector":
            return node.name == name
        return any(reads(argument) for argument in node.arguments)

    return any(reads(node) for node, found in graph.stages.items() if found == stage)
