"""What both functions of a scan have in common: their arguments, and where a value is found.

Both take one array of 64-bit words: sizes and addresses, by the names of FORWARD and BACKWARD. Rows
of all arrays over time are the sequences still running, step after step (longest sequences first):
step t has n[t] rows from off[t] on.

    x [N, I]   y, dy [N, P]
    tape [N, blocks · H]: the state's fields but the output, and what the backward pass reads, which
        writes the adjoints of the sums into the first blocks
    vectors, dvectors [·, H]   initial [fields, H]   carry [fields, B, H]   across [·, B, H]
    keep [N, keep_row]: what zoneout keeps; keep_row is 0 where one row is that of all
    row_values [N, 2 · groups]   row_sums [B, 2 · groups]: of what is normalised over units
    W, R, P: the layer's matrices   panels, tmp: room to work in
"""

from collections.abc import Callable

from llvmlite import ir

from trainables.engine.cpu import product
from trainables.engine.cpu.ir import I64, Code, Kind
from trainables.engine.cpu.plan import Plan, Run
from trainables.engine.cpu.product import POINTER, each_group
from trainables.engine.trace import Node

SIZES = ("T", "B", "I", "H", "width", "group", "chunk", "tape_row", "keep_row")  # fmt: skip
#: Where the matrix product is; compiled once for all variants.
PRODUCT = "product"
ARRAYS = (PRODUCT, "off", "n", "x", "y", "tape", "row_values", "vectors", "initial",
          "keep", "W", "R", "P", "panels", "tmp")  # fmt: skip
FORWARD = SIZES + ARRAYS
BACKWARD = (*FORWARD, "accumulate", "apply", "dy", "across", "row_sums", "carry", "dvectors",
            "dx", "dx_row", "wants_dx", "dW", "dW_row", "dR", "dR_row", "dP", "dP_row")  # fmt: skip
_MANY_ROWS = {"accumulate": product.ACCUMULATE, "apply": product.APPLY}
#: Words of leaves that have the same place in both functions.
GIVEN = frozenset({"state", "vector", "input", "keep", "row"})
NUMBERS = (*SIZES, "dx_row", "wants_dx", "dW_row", "dR_row", "dP_row")


class Function:
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
            if argument in _MANY_ROWS:
                type_ = _MANY_ROWS[argument].as_pointer()
            self.word[argument] = b.load(address, typ=type_)
        self.H, self.P, self.I = (self.word[k] for k in ("H", "width", "I"))
        self.tape_row = self.word["tape_row"]

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
            return self.word["P"], [self.code.integer(0)], self.H
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

    def kept(self, field: str, row: ir.Value, unit: ir.Value) -> ir.Value:
        """Return the address of what zoneout keeps of a field of the state."""
        b, zone = self.code.builder, self.plan.variant.zoneout_fields.index(field)
        column = b.add(b.mul(self.H, self.code.integer(zone)), unit)
        return self.array("keep", row, self.word["keep_row"], column)

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

    def given(
        self,
        node: Node,
        previous: dict[str, tuple[ir.Value, ir.Value]],
        vectors: dict[str, ir.Value],
        here: ir.Value,
        absolute: ir.Value,
        unit: ir.Value,
        mask: ir.Value,
    ) -> ir.Value:
        """Return a leaf of GIVEN for the units from `unit` on, of row `here` of the step.

        previous: see there. vectors: loaded already. absolute: the row among those of all steps.
        """
        b, code = self.code.builder, self.code
        match node.word:
            case "state":
                start, apart = previous[node.name]
                return code.load(code.at(start, b.add(b.mul(here, apart), unit)), mask)
            case "vector":
                return vectors[node.name]
            case "input":
                return code.load(self.array("x", absolute, self.I, unit), mask)
            case "keep":
                return code.load(self.kept(node.name, absolute, unit), mask)
        return self.row_value(node, here, absolute)

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
