"""Writes the backward function of a variant's scan, the gradients of the matrices included."""

from collections.abc import Callable, Sequence
from functools import partial

from llvmlite import ir

from trainables.engine.cpu import product
from trainables.engine.cpu.function import GIVEN, Function
from trainables.engine.cpu.ir import Kind
from trainables.engine.cpu.plan import Plan, Run
from trainables.engine.cpu.product import pack_columns
from trainables.engine.trace import Node


class BackwardFunction(Function):
    def __init__(self, plan: Plan, module: ir.Module, kind: Kind) -> None:
        super().__init__(plan, module, kind, "backward")
        code, t = self.code, plan.trace
        b, zero, one = code.builder, code.integer(0), code.integer(1)
        every = [run for source in t.sources if source.word != "input" for run in plan.runs(source)]
        self.heights = [self.P if run.matrix == "P" else self.H for run in every]
        sizes = [
            (height, self.source_width(run.source), len(run.blocks))
            for run, height in zip(every, self.heights, strict=True)
        ]
        panels = dict(zip(every, self.panel_sizes(sizes), strict=True))
        for run, (height, width, _) in zip(every, sizes, strict=True):
            matrix, first_rows, ld = self.matrix(run)
            group = self.word["group"]
            pack_columns(code, panels[run], matrix, first_rows, ld, height, width, group)
        self._clear_carry()
        with code.loop(zero, self.word["T"]) as counter:
            step = b.sub(b.sub(self.word["T"], one), counter)
            rows, base = self.whole("n", step), self.whole("off", step)
            is_first = b.icmp_signed("==", step, zero)
            is_last = b.icmp_signed("==", counter, zero)
            before = self.whole("off", b.select(is_first, zero, b.sub(step, one)))
            behind = b.select(is_last, step, b.add(step, one))
            rows_behind = b.select(is_last, zero, self.whole("n", behind))
            base_behind = self.whole("off", behind)
            previous = self.previous(is_first, before)
            for stage in range(t.last, t.first - 1, -1):
                self._stage(stage, rows, base, rows_behind, base_behind, previous, panels)
        self._whole_products()
        b.ret_void()

    def _clear_carry(self) -> None:
        """Set what flows into the state from behind the last step: nothing."""
        code, b = self.code, self.code.builder
        size = b.mul(b.mul(self.word["B"], self.H), code.integer(len(self.plan.fields)))
        with code.loop(code.integer(0), size, code.integer(self.kind.lanes)) as at:
            place = code.at(self.word["carry"], at)
            code.store(code.splat(0.0), place, code.lanes_below(at, size))

    def _whole_products(self) -> None:
        """Add the gradients of the matrices, and that of the input through W, over all rows."""
        code, plan = self.code, self.plan
        b, zero = code.builder, code.integer(0)
        last = b.sub(self.word["T"], code.integer(1))
        N = b.add(self.whole("off", last), self.whole("n", last))
        written = self.plan.backward.input is not None  # dx
        for source in plan.trace.sources:
            for run in plan.whole_runs(source):
                height = self.P if run.matrix == "P" else self.H
                count = b.mul(height, code.integer(run.count))
                first_row = b.mul(height, code.integer(run.block))
                column = b.mul(self.H, code.integer(run.first))
                row_length = self.word[f"d{run.matrix}_row"]
                C = self.array(f"d{run.matrix}", first_row, row_length, zero)
                if source.word == "state":
                    self._over_stretches(source, C, row_length, column, count)
                    continue
                A = self.array("tape", zero, self.tape_row, column)
                X, X_row, width = self.word["x"], self.I, self.I
                if source.word != "input":
                    X, X_row, width = self.slot(zero, source, zero), self.tape_row, self.H
                self._many("accumulate", C, row_length, A, X, X_row, N, count, width)
                if source.word == "input":
                    W = self.array("W", first_row, self.I, zero)
                    wanted = b.icmp_signed("!=", self.word["wants_dx"], zero)
                    with b.if_then(wanted):
                        dx, dx_row = self.word["dx"], self.word["dx_row"]
                        fresh = [code.integer(int(not written))]
                        self._many("apply", dx, dx_row, A, W, self.I, N, count, width, fresh)
                    written = True

    def _over_stretches(
        self, source: Node, C: ir.Value, C_row: ir.Value, column: ir.Value, count: ir.Value
    ) -> None:
        """Add the gradient of a matrix that a field of the state was multiplied with.

        The state before a step is in the rows of one step earlier. Steps go together as long as
        these are neighbours: up to the first step that a sequence is missing from.
        """
        code, b = self.code, self.code.builder
        zero, one = code.integer(0), code.integer(1)
        with code.carrying(one, self.word["T"], [one]) as (step, carried, _):
            first = carried[0]
            rows, behind = self.whole("n", step), b.add(step, one)
            fewer = b.icmp_signed("!=", rows, self.whole("n", b.sub(step, one)))
            ends = b.or_(fewer, b.icmp_signed("==", behind, self.word["T"]))
            with b.if_then(ends):
                base, before = self.whole("off", first), self.whole("off", b.sub(first, one))
                A = self.array("tape", base, self.tape_row, column)
                if source.name == self.plan.variant.output:
                    X, X_row, width = self.array("y", before, self.P, zero), self.P, self.P
                else:
                    node = self.plan.trace.after[source.name]
                    X, X_row, width = self.slot(before, node, zero), self.tape_row, self.H
                N = b.sub(b.add(self.whole("off", step), rows), base)
                self._many("accumulate", C, C_row, A, X, X_row, N, count, width)
            carried[0] = b.select(ends, behind, first)

    def _many(
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
        lanes, widest = code.integer(self.kind.lanes), code.integer(product.WIDEST)
        vectors = b.sdiv(b.add(width, b.sub(lanes, code.integer(1))), lanes)
        groups = b.sdiv(b.add(vectors, b.sub(widest, code.integer(1))), widest)
        group = b.sdiv(b.add(vectors, b.sub(groups, code.integer(1))), groups)
        arguments = [C, C_row, A, self.tape_row, B, B_row, rows, columns, width, group]
        b.call(self.word[name], [*arguments, self.word["panels"], *more])

    def _stage(
        self,
        stage: int,
        rows: ir.Value,
        base: ir.Value,
        rows_behind: ir.Value,
        base_behind: ir.Value,
        previous: dict[str, tuple[ir.Value, ir.Value]],
        panels: dict[Run, ir.Value],
    ) -> None:
        code, plan, t, back = self.code, self.plan, self.plan.trace, self.plan.backward
        b, zero = code.builder, code.integer(0)
        sources = plan.sources_behind(stage)

        def before(
            first: ir.Value, vectors: ir.Value, ldc: ir.Value, row: ir.Value, count: ir.Value
        ) -> None:
            if not sources:
                return
            with code.loop(zero, b.mul(vectors, code.integer(len(sources)))) as place:
                column = b.mul(place, code.integer(self.kind.lanes))
                with code.loop(zero, count) as at:
                    code.store_all(code.splat(0.0), self.array("tmp", at, ldc, column))
            for slot, source in enumerate(sources):
                later = source.word == "state"
                left = b.sub(rows_behind, row)
                some = b.select(b.icmp_signed(">", left, zero), left, zero)
                count_now = code.smaller(some, count) if later else count
                there = b.add(base_behind if later else base, row)
                for run in plan.runs(source):
                    height = self.P if run.matrix == "P" else self.H
                    K = b.mul(height, code.integer(len(run.blocks)))
                    column = b.mul(self.H, code.integer(run.first))
                    A = self.array("tape", there, self.tape_row, column)
                    skip = b.mul(b.mul(first, code.integer(self.kind.lanes)), K)
                    panel = code.at(panels[run], skip)
                    to = self.tmp(zero, ldc, slot, vectors, zero)
                    self.call(to, ldc, A, self.tape_row, panel, K, count_now, vectors)

        def body(
            first: ir.Value,
            vectors: ir.Value,
            vector: ir.Value,
            unit: ir.Value,
            mask: ir.Value,
            ldc: ir.Value,
            row: ir.Value,
            count: ir.Value,
        ) -> None:
            loaded: dict[str, ir.Value] = {
                name: code.load(self.vector("vectors", name, unit), mask)
                for name in plan.vectors
                if name in back.vectors or name in plan.variant.vectors
            }
            totals = [name for name, node in back.vectors.items() if back.stages.get(node) == stage]
            starts = [code.splat(0.0) for _ in totals]
            with code.carrying(zero, count, starts) as (at, carried, after):
                here = b.add(row, at)
                absolute = b.add(base, here)

                def across(node: Node) -> ir.Value:
                    index = b.mul(code.integer(plan.across[node]), self.word["B"])
                    return self.array("across", b.add(index, here), self.H, unit)

                def carry(name: str) -> ir.Value:
                    index = b.mul(code.integer(plan.fields.index(name)), self.word["B"])
                    return self.array("carry", b.add(index, here), self.H, unit)

                def leaf(node: Node) -> ir.Value | None:
                    if back.stages.get(node, stage) > stage:
                        return code.load(across(node), mask)
                    if node.word in GIVEN:
                        return self.given(node, previous, loaded, here, absolute, unit, mask)
                    match node.word:
                        case "adjoint":
                            return adjoint(node.name)
                        case "product":
                            slot = sources.index(t.sources[int(node.name)])
                            return code.load_all(self.tmp(at, ldc, slot, vectors, vector))
                    if node in plan.tape:
                        return code.load(self.slot(absolute, node, unit), mask)
                    if node is t.after[plan.variant.output]:
                        return code.load(self.array("y", absolute, self.P, unit), mask)
                    return None

                def adjoint(name: str) -> ir.Value:
                    parts = []
                    if name in plan.fields:
                        parts.append(code.load(carry(name), mask))
                    if name == plan.variant.output:
                        parts.append(code.load(self.array("dy", absolute, self.P, unit), mask))
                    for slot, source in enumerate(sources):
                        if source.word == "state" and source.name == name:
                            place = self.tmp(at, ldc, slot, vectors, vector)
                            parts.append(code.load_all(place))
                    total = parts[0]
                    for part in parts[1:]:
                        total = b.fadd(total, part)
                    return total

                memo: dict[Node, ir.Value] = {}
                stores: list[tuple[ir.Value, ir.Value]] = []

                def give(node: Node, place: Callable[[], ir.Value]) -> None:
                    if back.stages.get(node) == stage:
                        stores.append((self.evaluate(node, memo, leaf), place()))

                for index, node in enumerate(back.sums):
                    column = b.add(b.mul(self.H, code.integer(index)), unit)
                    give(node, partial(self.array, "tape", absolute, self.tape_row, column))
                for name, node in back.state.items():
                    give(node, partial(carry, name))
                for node in plan.across:
                    give(node, partial(across, node))
                if back.input is not None:
                    give(back.input, partial(self.array, "dx", absolute, self.word["dx_row"], unit))
                for index, name in enumerate(totals):
                    value = self.evaluate(back.vectors[name], memo, leaf)
                    carried[index] = b.fadd(carried[index], value)
                for value, place in stores:
                    code.store(value, place, mask)
            for name, total in zip(totals, after, strict=True):
                place = self.vector("dvectors", name, unit)
                code.store(b.fadd(code.load(place, mask), total), place, mask)

        for index, group in enumerate(plan.groups):
            if max(t.stages[value] for value in t.graph.groups[group]) == stage:
                self._normalise(index, back.groups[group], rows, base)
        self.rows_of(stage, rows, max(len(sources), 1), before, body)

    def _normalise(
        self, index: int, pairs: list[tuple[Node, Node]], rows: ir.Value, base: ir.Value
    ) -> None:
        """Write the means of g and of g times the normalised value, for each sequence."""
        code, b, plan = self.code, self.code.builder, self.plan
        with code.loop(code.integer(0), rows) as row:
            absolute = b.add(base, row)
            mean, scale = (self.row_value(n, row, absolute) for n in pairs[0][0].arguments[1:])

            def both(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                node, adjoint = pairs[which]
                slot = b.mul(code.integer(plan.across[adjoint]), self.word["B"])
                g = code.load(self.array("across", b.add(slot, row), self.H, unit), mask)
                value = code.load(self.slot(absolute, node.arguments[0], unit), mask)
                return [g, b.fmul(g, b.fmul(b.fsub(value, mean), scale))]

            for offset, found in enumerate(self.means(len(pairs), 2, both)):
                b.store(found, self.row_number("row_sums", row, 2 * index + offset))
