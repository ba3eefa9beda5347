"""Writes the forward function of a variant's scan."""

from llvmlite import ir

from trainables.cells.equations import NORM_EPSILON
from trainables.engine.cpu.function import GIVEN, Function
from trainables.engine.cpu.ir import Kind
from trainables.engine.cpu.plan import Plan, Run
from trainables.engine.cpu.product import pack_rows
from trainables.engine.trace import Node, Trace


class ForwardFunction(Function):
    def __init__(self, plan: Plan, module: ir.Module, kind: Kind) -> None:
        super().__init__(plan, module, kind, "forward")
        code, t = self.code, plan.trace
        b, zero, one = code.builder, code.integer(0), code.integer(1)
        self.runs: dict[int, list[Run]] = {
            stage: [run for source in t.sources for run in plan.runs(source, plan.sums_of(stage))]
            for stage in range(t.first, t.last + 1)
        }
        every = [(stage, run) for stage, found in self.runs.items() for run in found]
        sizes = [(self.source_width(r.source), self.width(s), len(r.blocks)) for s, r in every]
        panels = dict(zip([run for _, run in every], self.panel_sizes(sizes), strict=True))
        for (_, run), (K, width, _) in zip(every, sizes, strict=True):
            matrix, first_rows, ld = self.matrix(run)
            pack_rows(code, panels[run], matrix, first_rows, ld, K, width, self.word["group"])
        with code.loop(zero, self.word["T"]) as step:
            rows, base = self.whole("n", step), self.whole("off", step)
            is_first = b.icmp_signed("==", step, zero)
            before = self.whole("off", b.select(is_first, zero, b.sub(step, one)))
            previous = self.previous(is_first, before)
            for stage in range(t.first, t.last + 1):
                self._stage(stage, rows, base, is_first, previous, panels)
        b.ret_void()

    def _stage(
        self,
        stage: int,
        rows: ir.Value,
        base: ir.Value,
        is_first: ir.Value,
        previous: dict[str, tuple[ir.Value, ir.Value]],
        panels: dict[Run, ir.Value],
    ) -> None:
        code, plan, t = self.code, self.plan, self.plan.trace
        b, zero = code.builder, code.integer(0)
        sums = plan.sums_of(stage)

        def before(
            first: ir.Value, vectors: ir.Value, ldc: ir.Value, row: ir.Value, count: ir.Value
        ) -> None:
            if not sums:
                return
            with code.loop(zero, vectors) as vector:
                unit = b.mul(b.add(first, vector), code.integer(self.kind.lanes))
                mask = code.lanes_below(unit, self.width(stage))
                starts = []
                for index in sums:
                    block = t.sums[index].start
                    bias = None if block is None else self.vector("vectors", f"b_{block}", unit)
                    starts.append(code.splat(0.0) if bias is None else code.load(bias, mask))
                with code.loop(zero, count) as at:
                    for slot, start in enumerate(starts):
                        code.store_all(start, self.tmp(at, ldc, slot, vectors, vector))
            for run in self.runs[stage]:
                K = self.source_width(run.source)
                A, lda, count_now = self._source(run.source, previous, base, row, count, is_first)
                slot = sums.index(run.first)
                to = self.tmp(zero, ldc, slot, vectors, zero)
                blocks = code.integer(len(run.blocks))
                skip = b.mul(b.mul(first, code.integer(self.kind.lanes)), b.mul(K, blocks))
                panel = code.at(panels[run], skip)
                self.call(to, ldc, A, lda, panel, K, count_now, b.mul(blocks, vectors))

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
            loaded: dict[str, ir.Value] = {}
            for name in plan.vectors:
                if _uses_vector(t, stage, name):
                    loaded[name] = code.load(self.vector("vectors", name, unit), mask)
            with code.loop(zero, count) as at:
                here = b.add(row, at)
                absolute = b.add(base, here)

                def leaf(node: Node) -> ir.Value | None:
                    if node.word in GIVEN:
                        return self.given(node, previous, loaded, here, absolute, unit, mask)
                    if t.stages.get(node, stage) < stage and node in plan.tape:
                        return code.load(self.slot(absolute, node, unit), mask)
                    if node.word == "sum":
                        slot = sums.index(t.sums.index(node))
                        return code.load_all(self.tmp(at, ldc, slot, vectors, vector))
                    return None

                memo: dict[Node, ir.Value] = {}
                for node in plan.tape:
                    if t.stages[node] == stage:
                        value = self.evaluate(node, memo, leaf)
                        code.store(value, self.slot(absolute, node, unit), mask)
                out = t.after[plan.variant.output]
                if t.stages[out] == stage:
                    value = self.evaluate(out, memo, leaf)
                    code.store(value, self.array("y", absolute, self.P, unit), mask)

        for index, group in enumerate(plan.groups):
            values = t.graph.groups[group]
            if max(t.stages[value] for value in values) + 1 == stage:
                self._normalise(index, values, rows, base)
        self.rows_of(stage, rows, max(len(sums), 1), before, body)

    def _normalise(
        self, index: int, values: tuple[Node, ...], rows: ir.Value, base: ir.Value
    ) -> None:
        """Write mean and reciprocal deviation of a group, for each sequence."""
        code, b, number = self.code, self.code.builder, self.kind.scalar
        with code.loop(code.integer(0), rows) as row:
            absolute = b.add(base, row)

            def value(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                return [code.load(self.slot(absolute, values[which], unit), mask)]

            (mean,) = self.means(len(values), 1, value)
            spread = code.spread_value(mean)

            def square(which: int, unit: ir.Value, mask: ir.Value) -> list[ir.Value]:
                away = b.fsub(value(which, unit, mask)[0], spread)
                return [b.fmul(away, away)]

            (variance,) = self.means(len(values), 1, square)
            above = b.fadd(variance, ir.Constant(number, NORM_EPSILON))
            root = code.call(f"llvm.sqrt.f{8 * self.kind.bytes}", number, [above])
            scale = b.fdiv(ir.Constant(number, 1.0), root)
            b.store(mean, self.row_number("row_values", absolute, 2 * index))
            b.store(scale, self.row_number("row_values", absolute, 2 * index + 1))

    def _source(
        self,
        source: Node,
        previous: dict[str, tuple[ir.Value, ir.Value]],
        base: ir.Value,
        row: ir.Value,
        count: ir.Value,
        is_first: ir.Value,
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return where a source's rows begin, how far they are apart, and how many count."""
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        absolute = b.add(base, row)
        if source.word == "input":
            return self.array("x", absolute, self.I, zero), self.I, count
        if source.word == "state":  # before the first step it is zero
            start, apart = previous[source.name]
            there = code.at(start, b.mul(row, apart))
            return there, apart, b.select(is_first, zero, count)
        return self.slot(absolute, source, zero), self.tape_row, count


def _uses_vector(t: Trace, stage: int, name: str) -> bool:
    """Return whether a stage reads a vector other than as the start of a sum."""

    def reads(node: Node) -> bool:
        if node.word == "vector":
            return node.name == name
        return any(reads(a) for a in node.arguments)

    return any(reads(node) for node, at in t.stages.items() if at == stage)
