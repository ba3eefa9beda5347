"""What the forward and the backward function of a scan share: their arguments, and its memory.

Both functions read one array of 64-bit arguments, counts and addresses, in the order of FORWARD and
BACKWARD. Arrays over time are laid out by rows (engine/rows.py): step t has counts[t] rows from
offsets[t] on.

    x [N, I]   y, dy [N, P]
    tape [N, tape_blocks · H]: the state's fields but the output, and all else that the backward
        pass reads; it writes the adjoints of the sums into the first blocks
    vectors, dvectors [·, H]
    initial [fields, H]: the first state of all sequences; or [fields, B, H], where states were
        carried from other scans, of the sequences in their order of rows. initial_field and
        initial_row are the numbers from a field, and from a sequence, to the next: initial_row is 0
        if one row serves all
    carry [fields, B, H]: adjoints of the state, from one step to the step before it
    between_stages [·, B, H]: adjoints, from one stage to the stage before it
    keep [N, keep_row]: the factors of zoneout; keep_row is 0 if one row serves all
    row_values [N, 2 · groups]   row_sums [B, 2 · groups]: of values normalised over units
    W, R, P: the layer's matrices   panels, tmp: scratch memory
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from trainables.engine.cpu import product
from trainables.engine.cpu.ir import I64, Code, SimdType
from trainables.engine.cpu.plan import BlockProduct, Plan
from trainables.engine.cpu.product import POINTER, each_group
from trainables.engine.graph import Node

SIZES = ("T", "B", "I", "H", "width", "group", "chunk", "tape_row", "keep_row", "initial_field",
         "initial_row")  # fmt: skip
#: Address of the matrix product, which is compiled once for all variants.
PRODUCT = "product"
ARRAYS = (PRODUCT, "offsets", "counts", "x", "y", "tape", "row_values", "vectors", "initial",
          "keep", "W", "R", "P", "panels", "tmp")  # fmt: skip
FORWARD = SIZES + ARRAYS
BACKWARD = (*FORWARD, "accumulate", "apply", "dy", "between_stages", "row_sums", "carry",
            "dvectors", "dx", "dx_row", "wants_dx", "dW", "dW_row", "dR", "dR_row",
            "dP", "dP_row")  # fmt: skip
#: Arguments that are counts; the others are addresses.
COUNTS = (*SIZES, "dx_row", "wants_dx", "dW_row", "dR_row", "dP_row")
#: Arguments that are addresses of functions.
FUNCTIONS = {PRODUCT: product.TYPE, "accumulate": product.ACCUMULATE, "apply": product.APPLY}
#: Leaves that both functions read from the same place.
COMMON_LEAVES = frozenset({"state", "vector", "input", "keep", "row"})


@dataclass(frozen=True)
class StepRows:
    """The rows of one step."""

    count: ir.Value
    first: ir.Value  #: among the rows of all steps
    is_first: ir.Value  #: whether it is the first step
    #: Address and row length of each field of the state before the step.
    previous: dict[str, tuple[ir.Value, ir.Value]]


@dataclass(frozen=True)
class Chunk:
    """A chunk of a step's rows, for a group of vectors of units."""

    first_vector: ir.Value
    vectors: ir.Value
    tmp_row: ir.Value  #: numbers in a row of tmp
    first_row: ir.Value  #: among the step's rows
    rows: ir.Value


@dataclass(frozen=True)
class Tile:
    """A chunk's rows for one vector of units."""

    chunk: Chunk
    vector: ir.Value  #: its place in the group
    unit: ir.Value  #: its first unit
    mask: ir.Value  #: lanes that are units


@dataclass(frozen=True)
class Row:
    """One row of a tile."""

    in_chunk: ir.Value
    in_step: ir.Value
    in_scan: ir.Value


class Function:
    """A function of a scan while it is written."""

    def __init__(self, plan: Plan, module: ir.Module, simd: SimdType, name: str) -> None:
        self.plan, self.simd = plan, simd
        names = BACKWARD if name == "backward" else FORWARD
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
        self.code = Code(function, simd)
        b = self.code.builder
        self.argument: dict[str, ir.Value] = {}
        for index, argument in enumerate(names):
            address = b.gep(function.args[0], [self.code.integer(index)], source_etype=I64)
            type_ = I64 if argument in COUNTS else POINTER
            if argument in FUNCTIONS:
                type_ = FUNCTIONS[argument].as_pointer()
            self.argument[argument] = b.load(address, typ=type_)
        self.H, self.P, self.I = (self.argument[k] for k in ("H", "width", "I"))
        self.tape_row = self.argument["tape_row"]

    def int64_at(self, name: str, index: ir.Value) -> ir.Value:
        """Return an entry of an array of int64."""
        b = self.code.builder
        return b.load(b.gep(self.argument[name], [index], source_etype=I64), typ=I64)

    def width(self, stage: int) -> ir.Value:
        """Return how many units a stage computes."""
        return self.P if self.plan.output_wide(stage) else self.H

    def source_width(self, source: Node) -> ir.Value:
        """Return how many numbers a row of a source has."""
        if source.op == "input":
            return self.I
        return self.P if self.plan.output_wide_source(source) else self.H

    def block_height(self, matrix: str) -> ir.Value:
        """Return how many rows a block of a matrix has."""
        return self.P if matrix == "P" else self.H

    def matrix(self, product: BlockProduct) -> tuple[ir.Value, list[ir.Value], ir.Value]:
        """Return a product's matrix, the first rows of its blocks, and the length of a row."""
        b, plan = self.code.builder, self.plan
        if product.matrix == "P":
            return self.argument["P"], [self.code.integer(0)], self.H
        rows = [
            b.mul(self.H, self.code.integer(plan.block_index(product.matrix, block)))
            for block in product.blocks
        ]
        return self.argument[product.matrix], rows, self.I if product.matrix == "W" else self.P

    def array(self, name: str, row: ir.Value, row_length: ir.Value, column: ir.Value) -> ir.Value:
        """Return the address of a number of an array."""
        b = self.code.builder
        return self.code.address(self.argument[name], b.add(b.mul(row, row_length), column))

    def on_tape(self, row: ir.Value, node: Node, unit: ir.Value) -> ir.Value:
        """Return the address of a value on the tape."""
        b = self.code.builder
        column = b.add(b.mul(self.H, self.code.integer(self.plan.tape[node])), unit)
        return self.array("tape", row, self.tape_row, column)

    def previous(
        self, is_first: ir.Value, before: ir.Value
    ) -> dict[str, tuple[ir.Value, ir.Value]]:
        """Return where the state before a step is, and the length of its rows, by field.

        before: the first row of the step before. Before the first step it is the initial state.
        """
        b, plan, found = self.code.builder, self.plan, {}
        zero = self.code.integer(0)
        for name in plan.fields:
            if name == plan.variant.output:
                there, row_length = self.array("y", before, self.P, zero), self.P
            else:
                there = self.on_tape(before, plan.step.new_state[name], zero)
                row_length = self.tape_row
            at_first = self.initial(name)
            found[name] = (
                b.select(is_first, at_first, there),
                b.select(is_first, self.argument["initial_row"], row_length),
            )
        return found

    def initial(self, name: str) -> ir.Value:
        """Return the address of a field of the state before the first step."""
        index = self.code.integer(self.plan.fields.index(name))
        field, zero = self.argument["initial_field"], self.code.integer(0)
        return self.array("initial", index, field, zero)

    @property
    def carried(self) -> ir.Value:
        """Return whether each sequence has a first state of its own."""
        zero = self.code.integer(0)
        return self.code.builder.icmp_signed("!=", self.argument["initial_row"], zero)

    def vector(self, array: str, name: str, unit: ir.Value) -> ir.Value:
        """Return the address of a parameter vector, or of its gradient."""
        return self.array(array, self.code.integer(self.plan.vectors.index(name)), self.H, unit)

    def panel_addresses(self, sizes: list[tuple[ir.Value, ir.Value, int]]) -> list[ir.Value]:
        """Return addresses in `panels`, one for each (K, width, blocks)."""
        b, lanes = self.code.builder, self.simd.lanes
        offset, found = self.code.integer(0), []
        for K, width, blocks in sizes:
            found.append(self.code.address(self.argument["panels"], offset))
            up = b.add(width, self.code.integer(lanes - 1))
            padded = b.mul(b.sdiv(up, self.code.integer(lanes)), self.code.integer(lanes))
            offset = b.add(offset, b.mul(b.mul(padded, K), self.code.integer(blocks)))
        return found

    def multiply(
        self,
        C: ir.Value,
        ldc: ir.Value,
        A: ir.Value,
        lda: ir.Value,
        panel: ir.Value,
        K: ir.Value,
        rows: ir.Value,
        vectors: ir.Value,
    ) -> None:
        """Call the matrix product, C += A · panel."""
        arguments = [C, ldc, A, lda, panel, K, rows, vectors]
        self.code.builder.call(self.argument[PRODUCT], arguments)

    def for_each_tile(
        self,
        stage: int,
        rows: ir.Value,
        slots: int,
        before: Callable[[Chunk], None],
        body: Callable[[Tile], None],
    ) -> None:
        """Go over all rows and units of a stage: groups of vectors, chunks of rows, tiles.

        slots: vectors that a unit's vector needs in a row of tmp. before: writes what is done for a
        chunk before its tiles.
        """
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        with each_group(code, self.width(stage), self.argument["group"]) as (first, vectors):
            tmp_row = b.mul(b.mul(vectors, code.integer(self.simd.lanes)), code.integer(slots))
            with code.loop(zero, rows, self.argument["chunk"]) as row:
                count = code.minimum(self.argument["chunk"], b.sub(rows, row))
                chunk = Chunk(first, vectors, tmp_row, row, count)
                before(chunk)
                with code.loop(zero, vectors) as vector:
                    unit = b.mul(b.add(first, vector), code.integer(self.simd.lanes))
                    mask = code.lanes_below(unit, self.width(stage))
                    body(Tile(chunk, vector, unit, mask))

    def tmp(self, chunk: Chunk, row: ir.Value, slot: int, vector: ir.Value) -> ir.Value:
        """Return the address of a vector of a chunk's rows in tmp."""
        b = self.code.builder
        place = b.add(b.mul(chunk.vectors, self.code.integer(slot)), vector)
        column = b.mul(place, self.code.integer(self.simd.lanes))
        return self.array("tmp", row, chunk.tmp_row, column)

    def row(self, step: StepRows, tile: Tile, in_chunk: ir.Value) -> Row:
        """Return a row of a tile."""
        b = self.code.builder
        in_step = b.add(tile.chunk.first_row, in_chunk)
        return Row(in_chunk, in_step, b.add(step.first, in_step))

    def evaluate(
        self, node: Node, memo: dict[Node, ir.Value], leaf: Callable[[Node], ir.Value | None]
    ) -> ir.Value:
        """Return a value: from `leaf`, or computed from its arguments where that returns None."""
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
        match node.op:
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
                return code.where_positive(a[0], a[1])
            case "norm":
                return b.fmul(b.fsub(a[0], a[1]), a[2])
            case "sigmoid" | "tanh" | "exp" | "log_sigmoid":
                return getattr(code, node.op)(a[0])
        raise NotImplementedError(node.op)

    def common_leaf(
        self, node: Node, step: StepRows, tile: Tile, row: Row, vectors: dict[str, ir.Value]
    ) -> ir.Value:
        """Return a leaf of COMMON_LEAVES for one row of a tile. vectors: those loaded already."""
        b, code = self.code.builder, self.code
        match node.op:
            case "state":
                start, row_length = step.previous[node.name]
                place = b.add(b.mul(row.in_step, row_length), tile.unit)
                return code.load(code.address(start, place), tile.mask)
            case "vector":
                return vectors[node.name]
            case "input":
                return code.load(self.array("x", row.in_scan, self.I, tile.unit), tile.mask)
            case "keep":
                field = self.plan.variant.zoneout_fields.index(node.name)
                column = b.add(b.mul(self.H, code.integer(field)), tile.unit)
                address = self.array("keep", row.in_scan, self.argument["keep_row"], column)
                return code.load(address, tile.mask)
        return self.row_value(node, row.in_step, row.in_scan)

    def row_number(self, array: str, row: ir.Value, index: int) -> ir.Value:
        """Return the address of a number that a row has for a group."""
        b, length = self.code.builder, self.code.integer(2 * len(self.plan.groups))
        place = b.add(b.mul(row, length), self.code.integer(index))
        return self.code.address(self.argument[array], place)

    def row_value(self, node: Node, in_step: ir.Value, in_scan: ir.Value) -> ir.Value:
        """Return a leaf "row", the same for all units."""
        statistic, group = node.name.split(" ", 1)
        index = 2 * self.plan.groups.index(group) + (statistic in ("scale", "gn"))
        if statistic in ("mean", "scale"):
            return self.code.load_broadcast(self.row_number("row_values", in_scan, index))
        return self.code.load_broadcast(self.row_number("row_sums", in_step, index))

    def means(
        self,
        count: int,
        terms_of_value: int,
        terms: Callable[[int, ir.Value, ir.Value], list[ir.Value]],
    ) -> list[ir.Value]:
        """Return the means of terms over all units of `count` values.

        terms: returns the terms of a value, `terms_of_value` vectors, from the value's number, a
        unit and the mask of the lanes from it on.
        """
        code, b, zero = self.code, self.code.builder, self.code.integer(0)
        none, lanes = code.splat(0.0), code.integer(self.simd.lanes)
        totals: list[ir.Value] = [none] * terms_of_value
        for number in range(count):
            with code.loop_carrying(zero, self.H, totals, lanes) as (unit, carried, after):
                mask = code.lanes_below(unit, self.H)
                for index, value in enumerate(terms(number, unit, mask)):
                    carried[index] = b.fadd(carried[index], b.select(mask, value, none))
            totals = after
        numbers = b.sitofp(b.mul(self.H, code.integer(count)), self.simd.scalar)
        return [b.fdiv(code.lane_sum(total), numbers) for total in totals]
