"""Writes the backward function of a variant's scan, the gradients of the matrices included."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llvmlite import ir

from trainables.engine.cpu import product
from trainables.engine.cpu.function import COMMON_LEAVES, Chunk, Function, Row, StepRows, Tile
from trainables.engine.cpu.ir import SimdType
from trainables.engine.cpu.plan import BlockProduct, Plan
from trainables.engine.cpu.product import pack_columns
from trainables.engine.graph import Node


@dataclass(frozen=True)
class BackwardStepRows(StepRows):
    """The rows of one step, and those of the step after it, none for the last step."""

    later_count: ir.Value
    later_first: ir.Value


class BackwardFunction(Function):
    """The backward function: the stages of each step in reverse, then the matrices' gradients."""

    def __init__(self, plan: Plan, module: ir.Module, simd: SimdType) -> None:
        super().__init__(plan, module, simd, "backward")
        code, graph = self.code, plan.step
        b, zero, one = code.builder, code.integer(0), code.integer(1)
        self.panels = self._packed_panels()
        self._clear_carry()
        with code.loop(zero, self.argument["T"]) as counter:
            step = b.sub(b.sub(self.argument["T"], one), counter)
            count, first = self.int64_at("counts", step), self.int64_at("offsets", step)
            is_first = b.icmp_signed("==", step, zero)
            is_last = b.icmp_signed("==", counter, zero)
            before = self.int64_at("offsets", b.select(is_first, zero, b.sub(step, one)))
            later = b.select(is_last, step, b.add(step, one))
            later_count = b.select(is_last, zero, self.int64_at("counts", later))
            later_first = self.int64_at("offsets", later)
            previous = self.previous(is_first, before)
            rows = BackwardStepRows(count, first, is_first, previous, later_count, later_first)
            for stage in range(graph.last_stage, graph.first_stage - 1, -1):
                self._stage(stage, rows)
        self._matrix_gradients()
        b.ret_void()

    def _packed_panels(self) -> dict[BlockProduct, ir.Value]:
        """Pack the matrices of all products but W's, and return where their panels begin."""
        plan = self.plan
        sources = [source for source in plan.step.sources if source.op != "input"]
        products = [product for source in sources for product in plan.block_products(source)]
        sizes = [
            (self.block_height(p.matrix), self.source_width(p.source), len(p.blocks))
            for p in products
        ]
        panels = dict(zip(products, self.panel_addresses(sizes), strict=True))
        for p, (height, width, _) in zip(products, sizes, strict=True):
            matrix, first_rows, ld = self.matrix(p)
            group = self.argument["group"]
            pack_columns(self.code, panels[p], matrix, first_rows, ld, height, width, group)
        return panels

    def _clear_carry(self) -> None:
        """Set the adjoints of the state after the last step to zero."""
        code, b = self.code, self.code.builder
        size = b.mul(b.mul(self.argument["B"], self.H), code.integer(len(self.plan.fields)))
        with code.loop(code.integer(0), size, code.integer(self.simd.lanes)) as index:
            place = code.address(self.argument["carry"], index)
            code.store(code.splat(0.0), place, code.lanes_below(index, size))

    def _stage(self, stage: int, step: BackwardStepRows) -> None:
        """Run one stage of one step backwards."""
        graph, adjoints = self.plan.step, self.plan.adjoints
        for index, group in enumerate(self.plan.groups):
            if max(graph.stages[value] for value in graph.graph.groups[group]) == stage:
                self._normalise(index, adjoints.groups[group], step)
        slots = max(len(self.plan.sources_after(stage)), 1)
        before = partial(self._source_adjoints, stage, step)
        self.for_each_tile(stage, step.count, slots, before, partial(self._tile, stage, step))

    def _source_adjoints(self, stage: int, step: BackwardStepRows, chunk: Chunk) -> None:
        """Compute in tmp what a chunk's sources get through their matrices."""
        code, plan, sources = self.code, self.plan, self.plan.sources_after(stage)
        b, zero = code.builder, code.integer(0)
        if not sources:
            return
        with code.loop(zero, b.mul(chunk.vectors, code.integer(len(sources)))) as vector:
            column = b.mul(vector, code.integer(self.simd.lanes))
            with code.loop(zero, chunk.rows) as row:
                code.store_all(code.splat(0.0), self.array("tmp", row, chunk.tmp_row, column))
        for slot, source in enumerate(sources):
            later = source.op == "state"
            left = b.sub(step.later_count, chunk.first_row)
            active = b.select(b.icmp_signed(">", left, zero), left, zero)
            rows = code.minimum(active, chunk.rows) if later else chunk.rows
            first_row = b.add(step.later_first if later else step.first, chunk.first_row)
            for p in plan.block_products(source):
                K = b.mul(self.block_height(p.matrix), code.integer(len(p.blocks)))
                column = b.mul(self.H, code.integer(p.first_sum))
                A = self.array("tape", first_row, self.tape_row, column)
                skipped = b.mul(b.mul(chunk.first_vector, code.integer(self.simd.lanes)), K)
                panel = code.address(self.panels[p], skipped)
                C = self.tmp(chunk, zero, slot, zero)
                self.multiply(C, chunk.tmp_row, A, self.tape_row, panel, K, rows, chunk.vectors)

    def _tile(self, stage: int, step: BackwardStepRows, tile: Tile) -> None:
        """Compute a tile's adjoints; add the gradients of the vectors."""
        code, plan, adjoints = self.code, self.plan, self.plan.adjoints
        vectors: dict[str, ir.Value] = {
            name: code.load(self.vector("vectors", name, tile.unit), tile.mask)
            for name in plan.vectors
            if name in adjoints.vectors or name in plan.variant.vectors
        }
        names = [
            name for name, node in adjoints.vectors.items() if adjoints.stages.get(node) == stage
        ]
        zeros = [code.splat(0.0) for _ in names]
        rows = tile.chunk.rows
        with code.loop_carrying(code.integer(0), rows, zeros) as (in_chunk, carried, after):
            row = self.row(step, tile, in_chunk)
            leaf = partial(self._leaf, stage, step, tile, row, vectors)
            memo: dict[Node, ir.Value] = {}
            stores = self._adjoint_stores(
                stage, tile, row, partial(self.evaluate, memo=memo, leaf=leaf)
            )
            for index, name in enumerate(names):
                value = self.evaluate(adjoints.vectors[name], memo, leaf)
                carried[index] = code.builder.fadd(carried[index], value)
            for value, place in stores:
                code.store(value, place, tile.mask)
        for name, total in zip(names, after, strict=True):
            place = self.vector("dvectors", name, tile.unit)
            total = code.builder.fadd(code.load(place, tile.mask), total)
            code.store(total, place, tile.mask)

    def _adjoint_stores(
        self, stage: int, tile: Tile, row: Row, evaluate: Callable[[Node], ir.Value]
    ) -> list[tuple[ir.Value, ir.Value]]:
        """Return the adjoints that a stage computes for a row, each with its address."""
        code, plan, adjoints, unit = self.code, self.plan, self.plan.adjoints, tile.unit
        b = code.builder
        stores: list[tuple[ir.Value, ir.Value]] = []

        def compute(node: Node, address: Callable[[], ir.Value]) -> None:
            if adjoints.stages.get(node) == stage:
                stores.append((evaluate(node), address()))

        for index, node in enumerate(adjoints.sums):
            column = b.add(b.mul(self.H, code.integer(index)), unit)
            compute(node, partial(self.array, "tape", row.in_scan, self.tape_row, column))
        for name, node in adjoints.state.items():
            compute(node, partial(self._carry, name, row.in_step, unit))
        for node in plan.between_stages:
            compute(node, partial(self._between_stages, node, row.in_step, unit))
        if adjoints.input is not None:
            row_length = self.argument["dx_row"]
            compute(adjoints.input, partial(self.array, "dx", row.in_scan, row_length, unit))
        return stores

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
        code, plan, graph = self.code, self.plan, self.plan.step
        if plan.adjoints.stages.get(node, stage) > stage:
            return code.load(self._between_stages(node, row.in_step, tile.unit), tile.mask)
        if node.op in COMMON_LEAVES:
            return self.common_leaf(node, step, tile, row, vectors)
        if node.op == "adjoint":
            return self._field_adjoint(stage, tile, row, node.name)
        if node.op == "product":
            slot = plan.sources_after(stage).index(graph.sources[int(node.name)])
            return code.load_all(self.tmp(tile.chunk, row.in_chunk, slot, tile.vector))
        if node in plan.tape:
            return code.load(self.on_tape(row.in_scan, node, tile.unit), tile.mask)
        if node is graph.new_state[plan.variant.output]:
            return code.load(self.array("y", row.in_scan, self.P, tile.unit), tile.mask)
        return None

    def _field_adjoint(self, stage: int, tile: Tile, row: Row, name: str) -> ir.Value:
        """Return the adjoint of a field after the step: from later steps and from the output."""
        code, plan = self.code, self.plan
        parts = []
        if name in plan.fields:
            parts.append(code.load(self._carry(name, row.in_step, tile.unit), tile.mask))
        if name == plan.variant.output:
            parts.append(code.load(self.array("dy", row.in_scan, self.P, tile.unit), tile.mask))
        for slot, source in enumerate(plan.sources_after(stage)):
            if source.op == "state" and source.name == name:
                place = self.tmp(tile.chunk, row.in_chunk, slot, tile.vector)
                parts.append(code.load_all(place))
        total = parts[0]
        for part in parts[1:]:
            total = code.builder.fadd(total, part)
        return total

    def _between_stages(self, node: Node, row: ir.Value, unit: ir.Value) -> ir.Value:
        """Return the address of an adjoint that a later-run stage reads."""
        b, number = self.code.builder, self.code.integer(self.plan.between_stages[node])
        first = b.mul(number, self.argument["B"])
        return self.array("between_stages", b.add(first, row), self.H, unit)

    def _carry(self, name: str, row: ir.Value, unit: ir.Value) -> ir.Value:
        """Return the address of the adjoint of a field that the step before reads."""
        b, number = self.code.builder, self.code.integer(self.plan.fields.index(name))
        first = b.mul(number, self.argument["B"])
        return self.array("carry", b.add(first, row), self.H, unit)

    def _normalise(self, index: int, pairs: list[tuple[Node, Node]], step: StepRows) -> None:
        """Write the means of g and of g times the normalised value, for each row."""
        code, b = self.code, self.code.builder
        with code.loop(code.integer(0), step.count) as row:
            in_scan = b.add(step.first, row)
            mean, scale = (self.row_value(n, row, in_scan) for n in pairs[0][0].arguments[1:])

            def terms(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                node, adjoint = pairs[which]
                g = code.load(self._between_stages(adjoint, row, unit), mask)
                value = code.load(self.on_tape(in_scan, node.arguments[0], unit), mask)
                return [g, b.fmul(g, b.fmul(b.fsub(value, mean), scale))]

            for offset, found in enumerate(self.means(len(pairs), 2, terms)):
                b.store(found, self.row_number("row_sums", row, 2 * index + offset))

    def _matrix_gradients(self) -> None:
        """Add the gradients of the matrices, and that of the input through W, over all rows."""
        code, plan = self.code, self.plan
        b, zero = code.builder, code.integer(0)
        last = b.sub(self.argument["T"], code.integer(1))
        N = b.add(self.int64_at("offsets", last), self.int64_at("counts", last))
        dx_written = plan.adjoints.input is not None
        for source in plan.step.sources:
            for p in plan.gradient_products(source):
                height = self.block_height(p.matrix)
                count = b.mul(height, code.integer(p.count))
                first_row = b.mul(height, code.integer(p.first_block))
                column = b.mul(self.H, code.integer(p.first_sum))
                row_length = self.argument[f"d{p.matrix}_row"]
                C = self.array(f"d{p.matrix}", first_row, row_length, zero)
                if source.op == "state":
                    self._recurrent_gradient(source, C, row_length, column, count)
                    continue
                A = self.array("tape", zero, self.tape_row, column)
                X, X_row, width = self.argument["x"], self.I, self.I
                if source.op != "input":
                    X, X_row, width = self.on_tape(zero, source, zero), self.tape_row, self.H
                self._over_rows("accumulate", C, row_length, A, X, X_row, N, count, width)
                if source.op == "input":
                    W = self.array("W", first_row, self.I, zero)
                    wanted = b.icmp_signed("!=", self.argument["wants_dx"], zero)
                    with b.if_then(wanted):
                        dx, dx_row = self.argument["dx"], self.argument["dx_row"]
                        fresh = [code.integer(int(not dx_written))]
                        self._over_rows("apply", dx, dx_row, A, W, self.I, N, count, width, fresh)
                    dx_written = True

    def _recurrent_gradient(
        self, source: Node, C: ir.Value, C_row: ir.Value, column: ir.Value, count: ir.Value
    ) -> None:
        """Add the gradient of a matrix that a field of the state was multiplied with.

        The state before a step is in the rows of the step before. Steps go together as long as
        these rows are neighbours: up to the first step at which a sequence is no longer active.
        That before the first step adds to it where it was carried.
        """
        code, b = self.code, self.code.builder
        zero, one = code.integer(0), code.integer(1)
        width = self.P if source.name == self.plan.variant.output else self.H
        with b.if_then(self.carried):
            A = self.array("tape", zero, self.tape_row, column)
            X, X_row = self.initial(source.name), self.argument["initial_row"]
            N = self.int64_at("counts", zero)
            self._over_rows("accumulate", C, C_row, A, X, X_row, N, count, width)
        with code.loop_carrying(one, self.argument["T"], [one]) as (step, carried, _):
            first = carried[0]
            rows, behind = self.int64_at("counts", step), b.add(step, one)
            fewer = b.icmp_signed("!=", rows, self.int64_at("counts", b.sub(step, one)))
            ends = b.or_(fewer, b.icmp_signed("==", behind, self.argument["T"]))
            with b.if_then(ends):
                base = self.int64_at("offsets", first)
                before = self.int64_at("offsets", b.sub(first, one))
                A = self.array("tape", base, self.tape_row, column)
                if source.name == self.plan.variant.output:
                    X, X_row = self.array("y", before, self.P, zero), self.P
                else:
                    node = self.plan.step.new_state[source.name]
                    X, X_row = self.on_tape(before, node, zero), self.tape_row
                N = b.sub(b.add(self.int64_at("offsets", step), rows), base)
                self._over_rows("accumulate", C, C_row, A, X, X_row, N, count, width)
            carried[0] = b.select(ends, behind, first)

    def _over_rows(
        self,
        name: str,
        C: ir.Value,
        C_row: ir.Value,
        A: ir.Value,
        B: ir.Value,
        B_row: ir.Value,
        rows: ir.Value,
        columns: ir.Value,
        width: ir.Value,
        more: Sequence[ir.Value] = (),
    ) -> None:
        """Call accumulate or apply: columns are A's, width is B's."""
        code, b = self.code, self.code.builder
        lanes, widest = code.integer(self.simd.lanes), code.integer(product.MAX_VECTORS)
        vectors = b.sdiv(b.add(width, b.sub(lanes, code.integer(1))), lanes)
        groups = b.sdiv(b.add(vectors, b.sub(widest, code.integer(1))), widest)
        group = b.sdiv(b.add(vectors, b.sub(groups, code.integer(1))), groups)
        arguments = [C, C_row, A, self.tape_row, B, B_row, rows, columns, width, group]
        b.call(self.argument[name], [*arguments, self.argument["panels"], *more])
