"""Writes the two functions of a variant's scan, forward and backward, as LLVM code.

Both take one array of 64-bit words: sizes and addresses, by the names of FORWARD and BACKWARD. Rows
of all arrays over time are the sequences still running, step after step (longest sequences first):
step t has n[t] rows from off[t] on.

    x [N, I]   y, dy [N, P]   D [N, sums · H]   hoisted [N, |W|, H]
    tape [N, slots · H]: the state's fields but the output, then what the backward pass reads
    vectors, dvectors [·, H]   initial [fields, H]   carry [fields, B, H]   across [·, B, H]
    segments [segment_count, 3]: rows of D, the row before the first of them, how many; of all
    steps but the first, in stretches in which the rows before are neighbours too
    row_values [N, 2 · groups]   row_sums [B, 2 · groups]: of what is normalised over units
    W, R, P: the layer's matrices   panels, tmp: room to work in
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from llvmlite import ir

from trainables.cells.engine import product
from trainables.cells.engine.adjoint import Backward, differentiate
from trainables.cells.engine.ir import I64, Code, Kind
from trainables.cells.engine.product import POINTER, each_group, pack_columns, pack_rows
from trainables.cells.engine.trace import Node, Trace, runs, trace
from trainables.cells.equations import NORM_EPSILON
from trainables.cells.variant import Variant

SIZES = ("T", "B", "I", "H", "P", "group", "chunk")
#: Where the matrix product is; compiled once for all variants.
PRODUCT = "product"
ARRAYS = (PRODUCT, "off", "n", "x", "y", "tape", "vectors", "initial", "hoisted", "W", "R",
          "P_matrix", "panels", "tmp", "row_values")  # fmt: skip
FORWARD = SIZES + ARRAYS
BACKWARD = (*FORWARD, "dy", "D", "carry", "across", "dvectors", "dx", "dx_row", "row_sums",
            "accumulate", "apply", "N", "dW", "dW_row", "dR", "dR_row", "dP", "dP_row", "wants_dx",
            "segments", "segment_count")  # fmt: skip
NUMBERS = (*SIZES, "dx_row", "N", "dW_row", "dR_row", "dP_row", "wants_dx", "segment_count")


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

    def rows(self, hidden: int) -> slice:
        """Return the rows of the matrix; a projection's are all that there are."""
        if self.matrix == "P":
            return slice(0, hidden)
        return slice(self.block * hidden, (self.block + self.count) * hidden)


def pieces(variant: Variant) -> dict[str, list[str]]:
    """Return the parameters that are vectors, each with the names of its blocks of H."""
    found = {name: [name] for name in variant.vectors}
    if variant.norm == "layer":
        found["gain_x"] = [f"gain_x_{block}" for block in variant.W]
        found["gain_R"] = [f"gain_R_{block}" for block in variant.R]
    if variant.norm != "batch" and variant.b:
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
        self.tape: dict[Node, int] = {}
        for node in (*(t.after[name] for name in stored), *self.backward.kept):
            self.tape.setdefault(node, len(self.tape))
        self.field_slots = {name: self.tape[t.after[name]] for name in stored}
        self.pieces = pieces(variant)
        self.vectors = [name for names in self.pieces.values() for name in names]
        self.groups = list(t.graph.groups)
        self.across = self._across()

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


class _Function:
    """What both functions have in common: their arguments, and where a value is found."""

    def __init__(self, plan: Plan, module: ir.Module, kind: Kind, name: str) -> None:
        self.plan, self.kind = plan, kind
        names = BACKWARD if name == "backward" else FORWARD
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
        self.code = Code(function, kind)
        b = self.code.builder
        self.word: dict[str, ir.Value] = {}
        for index, argument in enumerate(names):
            address = b.gep(function.args[0], [self.code.integer(index)], source_etype=I64)
            type_ = I64 if argument in NUMBERS else POINTER
            if argument == PRODUCT:
                type_ = product.TYPE.as_pointer()
            if argument in ("accumulate", "apply"):
                type_ = product.MANY_ROWS.as_pointer()
            self.word[argument] = b.load(address, typ=type_)
        self.H, self.P, self.I = (self.word[k] for k in "HPI")
        self.tape_row = b.mul(self.H, self.code.integer(len(plan.tape)))
        self.D_row = b.mul(self.H, self.code.integer(len(plan.trace.sums)))

    def whole(self, name: str, index: ir.Value) -> ir.Value:
        """Return an entry of an array of whole numbers."""
        b = self.code.builder
        return b.load(b.gep(self.word[name], [index], source_etype=I64), typ=I64)

    def width(self, stage: int) -> ir.Value:
        return self.P if self.plan.narrow(stage) else self.H

    def matrix(self, run: Run) -> tuple[ir.Value, list[ir.Value], ir.Value]:
        """Return a run's matrix, the first rows of its blocks, and the length of a row."""
        b, variant = self.code.builder, self.plan.variant
        if run.matrix == "P":
            return self.word["P_matrix"], [self.code.integer(0)], self.H
        names = variant.W if run.matrix == "W" else variant.R
        rows = [b.mul(self.H, self.code.integer(names.index(k))) for k in run.blocks]
        return self.word[run.matrix], rows, self.I if run.matrix == "W" else self.P

    def source_width(self, source: Node) -> ir.Value:
        if source.word == "input":
            return self.I
        return self.P if self.plan.narrow_source(source) else self.H

    def array(self, name: str, row: ir.Value, row_length: ir.Value, column: ir.Value) -> ir.Value:
        b = self.code.builder
        return self.code.at(self.word[name], b.add(b.mul(row, row_length), column))

    def slot(self, row: ir.Value, node: Node, unit: ir.Value) -> ir.Value:
        """Return the address of a kept value."""
        b = self.code.builder
        column = b.add(b.mul(self.H, self.code.integer(self.plan.tape[node])), unit)
        return self.array("tape", row, self.tape_row, column)

    def previous(self, first: ir.Value, before: ir.Value) -> dict[str, tuple[ir.Value, ir.Value]]:
        """Return where the state before the step is, and how far its rows are apart.

        Before the first step all rows are one: that of the initial state.
        """
        b, plan, found = self.code.builder, self.plan, {}
        zero = self.code.integer(0)
        for index, name in enumerate(plan.fields):
            if name == plan.variant.output:
                there, apart = self.array("y", before, self.P, zero), self.P
            else:
                there = self.slot(before, plan.trace.after[name], zero)
                apart = self.tape_row
            at_first = self.array("initial", self.code.integer(index), self.H, zero)
            found[name] = (b.select(first, at_first, there), b.select(first, zero, apart))
        return found

    def vector(self, array: str, name: str, unit: ir.Value) -> ir.Value:
        return self.array(array, self.code.integer(self.plan.vectors.index(name)), self.H, unit)

    def panel_sizes(self, pairs: list[tuple[ir.Value, ir.Value, int]]) -> list[ir.Value]:
        """Return addresses in the room for panels, one for each (K, width, blocks)."""
        b, lanes = self.code.builder, self.kind.lanes
        at, found = self.code.integer(0), []
        for K, width, blocks in pairs:
            found.append(self.code.at(self.word["panels"], at))
            up = b.add(width, self.code.integer(lanes - 1))
            padded = b.mul(b.sdiv(up, self.code.integer(lanes)), self.code.integer(lanes))
            at = b.add(at, b.mul(b.mul(padded, K), self.code.integer(blocks)))
        return found

    def call(
        self,
        to: ir.Value,
        ldc: ir.Value,
        A: ir.Value,
        lda: ir.Value,
        panel: ir.Value,
        K: ir.Value,
        rows: ir.Value,
        vectors: ir.Value,
    ) -> None:
        self.code.builder.call(self.word[PRODUCT], [to, ldc, A, lda, panel, K, rows, vectors])

    def evaluate(
        self, node: Node, memo: dict[Node, ir.Value], leaf: Callable[..., ir.Value]
    ) -> ir.Value:
        """Return a value, from leaf where that has it, and from its arguments elsewhere."""
        if node not in memo:
            found = leaf(node)
            if found is None:
                arguments = [self.evaluate(a, memo, leaf) for a in node.arguments]
                found = self._apply(node, arguments)
            memo[node] = found
        return memo[node]

    def _apply(self, node: Node, a: list[ir.Value]) -> ir.Value:
        code, b = self.code, self.code.builder
        flags = ("contract", "nsz")
        match node.word:
            case "const":
                return code.splat(node.value)
            case "add":
                return b.fadd(a[0], a[1], flags=flags)
            case "sub":
                return b.fsub(a[0], a[1], flags=flags)
            case "mul":
                return b.fmul(a[0], a[1], flags=flags)
            case "div":
                return b.fdiv(a[0], a[1], flags=flags)
            case "relu":
                zero = code.splat(0.0)
                return b.select(b.fcmp_unordered(">", a[0], zero), a[0], zero)
            case "maximum":
                return b.select(b.fcmp_ordered(">", a[0], a[1]), a[0], a[1])
            case "where_positive":
                return code.positive(a[0], a[1])
            case "norm":
                return b.fmul(b.fsub(a[0], a[1]), a[2])
            case "sigmoid" | "tanh" | "exp" | "log_sigmoid":
                return getattr(code, node.word)(a[0])
        raise NotImplementedError(node.word)

    def row_number(self, array: str, row: ir.Value, index: int) -> ir.Value:
        """Return the address of a number that a sequence has for a group."""
        b, length = self.code.builder, self.code.integer(2 * len(self.plan.groups))
        return self.code.at(self.word[array], b.add(b.mul(row, length), self.code.integer(index)))

    def row_value(self, node: Node, row: ir.Value, absolute: ir.Value) -> ir.Value:
        """Return a leaf "row", the same for all units."""
        kind, group = node.name.split(" ", 1)
        index = 2 * self.plan.groups.index(group) + (kind in ("scale", "gn"))
        if kind in ("mean", "scale"):
            return self.code.spread(self.row_number("row_values", absolute, index))
        return self.code.spread(self.row_number("row_sums", row, index))

    def means(
        self,
        count: int,
        sums: int,
        terms: Callable[[int, ir.Value, ir.Value], list[ir.Value]],
    ) -> list[ir.Value]:
        """Return means over all units of `count` values.

        terms gets a value's number, a unit and the mask from it on; a vector for each sum it gives.
        """
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        none, lanes = code.splat(0.0), code.integer(self.kind.lanes)
        totals: list[ir.Value] = [none] * sums
        for number in range(count):
            with code.carrying(zero, self.H, totals, lanes) as (unit, carried, after):
                mask = code.lanes_below(unit, self.H)
                for index, value in enumerate(terms(number, unit, mask)):
                    carried[index] = b.fadd(carried[index], b.select(mask, value, none))
            totals = after
        numbers = b.sitofp(b.mul(self.H, code.integer(count)), self.kind.scalar)
        return [b.fdiv(code.total(total), numbers) for total in totals]

    def rows_of(
        self, stage: int, rows: ir.Value, slots: int, before: Callable[..., None],
        body: Callable[..., None],
    ) -> None:  # fmt: skip
        """Go over all units and rows of a stage: groups of vectors, chunks of rows."""
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        with each_group(code, self.width(stage), self.word["group"]) as (first, vectors):
            ldc = b.mul(b.mul(vectors, code.integer(self.kind.lanes)), code.integer(slots))
            with code.loop(zero, rows, self.word["chunk"]) as row:
                count = code.smaller(self.word["chunk"], b.sub(rows, row))
                before(first, vectors, ldc, row, count)
                with code.loop(zero, vectors) as vector:
                    unit = b.mul(b.add(first, vector), code.integer(self.kind.lanes))
                    mask = code.lanes_below(unit, self.width(stage))
                    body(first, vectors, vector, unit, mask, ldc, row, count)

    def tmp(
        self, row: ir.Value, ldc: ir.Value, slot: int, vectors: ir.Value, vector: ir.Value
    ) -> ir.Value:
        b = self.code.builder
        place = b.add(b.mul(vectors, self.code.integer(slot)), vector)
        column = b.mul(place, self.code.integer(self.kind.lanes))
        return self.array("tmp", row, ldc, column)


class _Forward(_Function):
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
        variant = plan.variant

        def before(
            first: ir.Value, vectors: ir.Value, ldc: ir.Value, row: ir.Value, count: ir.Value
        ) -> None:
            if not sums:
                return
            with code.loop(zero, vectors) as vector:
                unit = b.mul(b.add(first, vector), code.integer(self.kind.lanes))
                mask = code.lanes_below(unit, self.width(stage))
                starts = {}
                for index in sums:
                    start = t.sums[index].start
                    if start is not None and start[0] == "bias":
                        starts[index] = code.load(
                            self.vector("vectors", f"b_{start[1]}", unit), mask
                        )
                with code.loop(zero, count) as at:
                    for slot, index in enumerate(sums):
                        start = t.sums[index].start
                        value = starts.get(index, code.splat(0.0))
                        if start is not None and start[0] == "hoisted":
                            length = b.mul(self.H, code.integer(len(variant.W)))
                            block = code.integer(variant.W.index(start[1]))
                            column = b.add(b.mul(self.H, block), unit)
                            there = b.add(base, b.add(row, at))
                            value = code.load(self.array("hoisted", there, length, column), mask)
                        code.store_all(value, self.tmp(at, ldc, slot, vectors, vector))
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
                    match node.word:
                        case "state":
                            start, apart = previous[node.name]
                            place = b.add(b.mul(here, apart), unit)
                            return code.load(code.at(start, place), mask)
                        case "vector":
                            return loaded[node.name]
                        case "input":
                            return code.load(self.array("x", absolute, self.I, unit), mask)
                        case "row":
                            return self.row_value(node, here, absolute)
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


class _Backward(_Function):
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
        asked = b.icmp_signed("!=", b.ptrtoint(self.word["accumulate"], I64), zero)
        with b.if_then(asked):
            self._whole_products()
        b.ret_void()

    def _whole_products(self) -> None:
        """Add the gradients of the matrices, and that of the input through W, over all rows."""
        code, plan = self.code, self.plan
        b, zero = code.builder, code.integer(0)
        for source in plan.trace.sources:
            for run in plan.whole_runs(source):
                height = self.P if run.matrix == "P" else self.H
                count = b.mul(height, code.integer(run.count))
                first_row = b.mul(height, code.integer(run.block))
                column = b.mul(self.H, code.integer(run.first))
                row_length = self.word[f"d{run.matrix}_row"]
                C = self.array(f"d{run.matrix}", first_row, row_length, zero)
                if source.word == "state":
                    self._over_segments(source, C, row_length, column, count)
                    continue
                A = self.array("D", zero, self.D_row, column)
                X, X_row, width = self.word["x"], self.I, self.I
                if source.word != "input":
                    X, X_row, width = self.slot(zero, source, zero), self.tape_row, self.H
                N = self.word["N"]
                self._many("accumulate", C, row_length, A, X, X_row, N, count, width)
                if source.word == "input":
                    W = self.array("W", first_row, self.I, zero)
                    wanted = b.icmp_signed("!=", self.word["wants_dx"], zero)
                    with b.if_then(wanted):
                        dx, dx_row = self.word["dx"], self.word["dx_row"]
                        self._many("apply", dx, dx_row, A, W, self.I, N, count, width)

    def _over_segments(
        self, source: Node, C: ir.Value, C_row: ir.Value, column: ir.Value, count: ir.Value
    ) -> None:
        """Add the gradient of a matrix that a field of the state was multiplied with."""
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        with code.loop(zero, self.word["segment_count"]) as segment:
            at = b.mul(segment, code.integer(3))
            first, before, rows = (
                self.whole("segments", b.add(at, code.integer(offset))) for offset in range(3)
            )
            A = self.array("D", first, self.D_row, column)
            if source.name == self.plan.variant.output:
                X, X_row, width = self.array("y", before, self.P, zero), self.P, self.P
            else:
                node = self.plan.trace.after[source.name]
                X, X_row, width = self.slot(before, node, zero), self.tape_row, self.H
            self._many("accumulate", C, C_row, A, X, X_row, rows, count, width)

    def _many(self, name: str, C: ir.Value, C_row: ir.Value, A: ir.Value, *rest: ir.Value) -> None:
        """Call accumulate or apply; rest is B, its row length, rows, A's columns, B's columns."""
        code, b = self.code, self.code.builder
        B, B_row, rows, columns, width = rest
        lanes, widest = code.integer(self.kind.lanes), code.integer(product.WIDEST)
        vectors = b.sdiv(b.add(width, b.sub(lanes, code.integer(1))), lanes)
        groups = b.sdiv(b.add(vectors, b.sub(widest, code.integer(1))), widest)
        group = b.sdiv(b.add(vectors, b.sub(groups, code.integer(1))), groups)
        arguments = [C, C_row, A, self.D_row, B, B_row, rows, columns, width, group]
        b.call(self.word[name], [*arguments, self.word["panels"]])

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
                    A = self.array("D", there, self.D_row, column)
                    skip = b.mul(b.mul(first, code.integer(self.kind.lanes)), K)
                    panel = code.at(panels[run], skip)
                    to = self.tmp(zero, ldc, slot, vectors, zero)
                    self.call(to, ldc, A, self.D_row, panel, K, count_now, vectors)

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
                    match node.word:
                        case "adjoint":
                            return adjoint(node.name)
                        case "product":
                            slot = sources.index(t.sources[int(node.name)])
                            return code.load_all(self.tmp(at, ldc, slot, vectors, vector))
                        case "state":
                            start, apart = previous[node.name]
                            place = b.add(b.mul(here, apart), unit)
                            return code.load(code.at(start, place), mask)
                        case "vector":
                            return loaded[node.name]
                        case "input":
                            return code.load(self.array("x", absolute, self.I, unit), mask)
                        case "row":
                            return self.row_value(node, here, absolute)
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
                    give(node, partial(self.array, "D", absolute, self.D_row, column))
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


def emit(plan: Plan, kind: Kind) -> str:
    """Return the LLVM code of a variant's scan."""
    module = ir.Module(plan.variant.name)
    _Forward(plan, module, kind)
    _Backward(plan, module, kind)
    return str(module)
