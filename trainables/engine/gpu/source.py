"""Source text of a variant's kernels in Triton's language, forward and backward.

A program runs one scan (a model, in one direction) over all steps of one tile of TILE sequences.
All values of a step lie in registers, [TILE, units]; R and P are loaded once, before the first
step. What the next step reads of memory is asked for one step ahead, so that no step waits for it.

Where R is too large for one multiprocessor, SPLIT programs share a scan's tile: each has a part of
the units, with the columns of R that make them. They exchange what products read through memory,
and meet before they read it. Programs that meet are neighbours in the grid, so that they run at the
same time: the card starts programs in the order of the grid.

Grid: (tiles · SPLIT, scans). Memory: a [scans, T, B, |W| H] blocks of W x + b, x [models, T, B, H]
of square cells, R [scans, |R| H, W], P [scans, W, H], vectors [scans, V, H], keep [scans, T, B,
fields H] (or 1 for T and B), lengths [models, B], y and dy [scans, T, B, W], tape [scans, slots, T,
B, H], d [scans, T, B, written H], dp [scans, T, B, W], dvectors [tiles, scans, V, H], met [scans,
tiles] zeros. H units, W of the output. Scans from `models` on read each sequence from its end.
Beyond a sequence's length nothing is written.
"""

import re

from trainables.cells.equations import NORM_EPSILON
from trainables.engine.gpu.plan import GpuPlan
from trainables.engine.graph import LEAF_OPS, Node, Product

_ARGUMENTS = (
    "T, B, models, keep_scan, keep_step, keep_row, "
    "H: tl.constexpr, W: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, "
    "PRECISION: tl.constexpr, SPLIT: tl.constexpr, TILE: tl.constexpr"
)
#: Numbers that change from batch to batch: no kernel is compiled again for them.
_JIT = '@triton.jit(do_not_specialize=["T", "B", "models", "keep_scan", "keep_step", "keep_row"])'
_HEAD = '''"""Written by trainables/engine/gpu/source.py."""

import triton
import triton.language as tl

from trainables.engine.gpu.functions import (
    log_sigmoid, maximum, meet, operand, product, sigmoid, tanh,
)

'''
_SIZES = """    tile, part = tl.program_id(0) // SPLIT, tl.program_id(0) % SPLIT
    scan = tl.program_id(1).to(tl.int64)
    model = scan % models
    back = scan >= models
    sequence = tile * TILE + tl.arange(0, TILE)
    length = tl.load(lengths + model * B + sequence, mask=sequence < B, other=0).to(tl.int32)
    steps = tl.max(length, 0)
    unit = part * (BH // SPLIT) + tl.arange(0, BH // SPLIT)
    out = part * (BW // SPLIT) + tl.arange(0, BW // SPLIT)
    in_H, in_W = (unit < H)[None, :], (out < W)[None, :]
    zeros_H = tl.zeros([TILE, BH // SPLIT], tl.float32)
    zeros_W = tl.zeros([TILE, BW // SPLIT], tl.float32)
    base = scan * T * B
    counter, goal = met + scan * (tl.num_programs(0) // SPLIT) + tile, 0
"""
_CALLS = {
    "sigmoid": "sigmoid({0})",
    "tanh": "tanh({0})",
    "relu": "maximum({0}, zeros_{w})",
    "exp": "tl.exp({0})",
    "log_sigmoid": "log_sigmoid({0})",
    "maximum": "maximum({0}, {1})",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "norm": "({0} - {1}) * {2}",
    "where_positive": "tl.where({0} > 0.0, {1}, 0.0)",
}


#: The variables of a program's own columns, and of a chunk of all, by the width of a value.
_OWN, _WHOLE = {"H": "unit", "W": "out"}, {"H": "units", "W": "outs"}


class _Kernel:
    """One kernel in the making."""

    def __init__(self, plan: GpuPlan, chunks: int, backward: bool) -> None:
        self.plan, self.variant, self.chunks = plan, plan.variant, chunks
        self.step, self.adjoints = plan.step, plan.adjoints
        self.backward = backward
        self.body: list[str] = []  #: of a step
        self.loads: dict[str, tuple[str, str, float]] = {}  #: name: pointer, mask, other value
        self.matrices: dict[str, str] = {}  #: name: what loads it
        self.names: dict[object, str] = {}  #: values of a step that have a variable
        self.output = self.step.new_state[self.variant.output]
        self.stored: set[Node] = set()  #: values that the body has written
        self.met = True  #: whether programs have met since the last value was written

    def wide(self, node: Node) -> str:
        """Return "W" for a value as wide as the output, "H" for others."""
        return "W" if self.plan.output_wide(node) else "H"

    def set(self, key: object, name: str, expression: str) -> str:
        """Add a line that gives a value a variable; return its name."""
        self.body.append(f"{name} = {expression}")
        self.names[key] = name
        return name

    def load(self, name: str, pointer: str, wide: str, *, before: bool = False) -> str:
        """Return a variable that is read from memory at each step.

        before: it belongs to the step before, and to the initial state at the first step.
        """
        self.loads.setdefault(name, (pointer, f"{wide} {'before' if before else ''}", 0.0))
        return name

    def tile(
        self, array: str, width: str, block: int, wide: str, place: str = "row", chunk: int = -1
    ) -> str:
        """Return the pointer to a block of an array's rows: this program's part, or a chunk."""
        column = _OWN[wide] if chunk < 0 else f"{_WHOLE[wide]}{chunk}"
        if array == "tape":  # its blocks are slots: arrays of their own within a scan's
            start, row, block = (
                f"base * ({len(self.plan.tape)} * H)",
                f"{block} * (T * B) + {place}",
                0,
            )
        else:
            start, row = f"base * ({width})", place
        return (
            f"{array} + {start} + ({row})[:, None] * ({width}) + ({block} * H + {column})[None, :]"
        )

    def field(self, node: Node, name: str, wide: str, place: str, before: bool = False) -> str:
        """Load a value that the forward pass has written: the output, or one of the tape."""
        return self.load(name, self.tile(*self.array(node), wide, place), wide, before=before)

    # Values of the forward pass

    def value(self, node: Node) -> str:
        """Return the variable or number of a value, computing it in the body where it has none."""
        if node in self.names:
            return self.names[node]
        if node.op == "const":
            return repr(node.value)
        if node.op in LEAF_OPS:
            self.names[node] = self.leaf(node)
            return self.names[node]
        if self.backward and node in self.adjoints.stages:
            return self.operation(node)
        if self.backward and (node is self.output or node in self.plan.tape):
            self.names[node] = self.field(node, f"v{node.number}", self.wide(node), "row")
            return self.names[node]
        if node.op == "sum":
            return self.sum(node)
        return self.operation(node)

    def operation(self, node: Node) -> str:
        arguments = [self.value(argument) for argument in node.arguments]
        call = _CALLS[node.op].format(*arguments, w=self.wide(node))
        return self.set(node, f"v{node.number}", call)

    def leaf(self, node: Node) -> str:
        wide, name = self.wide(node), node.name
        match node.op:
            case "hoisted":
                block = self.variant.W.index(name)
                pointer = self.tile("a", f"{len(self.variant.W)} * H", block, "H")
                return self.load(f"a{block}", pointer, "H")
            case "input":
                pointer = self.tile("x", "H", 0, "H").replace("base", "model * T * B")
                return self.load("x0", pointer, "H")
            case "vector":
                return f"p{self.plan.vectors.index(name)}"
            case "keep":
                at = self.variant.zoneout_fields.index(name)
                column = _OWN[wide]
                pointer = (
                    "keep + scan * keep_scan + (position * keep_step + sequence * keep_row)"
                    f"[:, None] + ({at} * H + {column})[None, :]"
                )
                return self.load(f"k{at}", pointer, wide)
            case "state":
                if not self.backward:
                    return f"s_{name}"
                return self.field(
                    self.step.new_state[name], f"s_{name}", wide, "row_before", before=True
                )
            case "adjoint":
                return self.adjoint(name, wide)
            case "product":
                return self.through_products(self.step.sources[int(name)])
            case "row":
                return self.row(node)
        raise NotImplementedError(node.op)

    def row(self, node: Node) -> str:
        """Return one number a sequence: a mean or scale of values normalised together."""
        kind, group = node.name.split(" ", 1)
        values = self.step.graph.groups[group]
        count = f"({len(values)} * H)"
        if kind in ("mean", "scale"):
            found = [self.value(value) for value in values]
            mean = self.reduced(" + ".join(found)) + f" / {count}"
            if kind == "mean":
                return self.set(node, f"v{node.number}", mean)
            mean = self.value(self.step.graph.leaf("row", f"mean {group}"))
            squares = " + ".join(f"({one} - {mean}) * ({one} - {mean})" for one in found)
            variance = self.reduced(squares) + f" / {count}"
            return self.set(node, f"v{node.number}", f"tl.rsqrt({variance} + {NORM_EPSILON})")
        pairs = [(self.value(one), self.value(g)) for one, g in self.adjoints.groups[group]]
        terms = [g if kind == "g" else f"{g} * {one}" for one, g in pairs]
        return self.set(node, f"v{node.number}", self.reduced(" + ".join(terms)) + f" / {count}")

    @staticmethod
    def reduced(terms: str) -> str:
        return f"tl.sum(tl.where(in_H, {terms}, 0.0), 1)[:, None]"

    # Products

    def matrix(self, product: Product) -> str:
        """Return the variable of the part of a block of R or P that the program multiplies with.

        The forward pass multiplies with the transposed block.
        """
        if product.matrix == "R":
            block, sizes = self.variant.R.index(product.block), ("H", "W")
            start = f"R + scan * ({len(self.variant.R)} * H * W) + {block} * H * W"
        else:
            block, sizes, start = 0, ("W", "H"), "P + scan * (W * H)"
        inner, outer = sizes if self.backward else sizes[::-1]
        name, own = f"{product.matrix}{block}", _OWN[outer]
        for chunk in range(self.chunks):
            whole = f"{_WHOLE[inner]}{chunk}"
            row, column = f"{whole}[:, None]", f"{own}[None, :]"
            if not self.backward:
                row, column = column, row
            mask = f"({whole} < {inner})[:, None] & ({own} < {outer})[None, :]"
            load = f"tl.load({start} + {row} * {sizes[1]} + {column}, mask={mask}, other=0.0)"
            self.matrices[f"{name}_{chunk}"] = f"operand({load}, PRECISION)"
        return name

    def multiplied(self, value: str, wide: str, product: Product) -> str:
        """Return the product of all units of a value, whose chunks are variables, with a block."""
        matrix, terms = self.matrix(product), []
        for chunk in range(self.chunks):
            # Lanes beyond the layer's width may hold anything; times zero it need not be zero.
            whole = f"({_WHOLE[wide]}{chunk} < {wide})[None, :]"
            masked = f"tl.where({whole}, {value}_{chunk}, 0.0)"
            terms.append(f"product({masked}, {matrix}_{chunk}, PRECISION)")
        return " + ".join(terms)

    def meet(self) -> None:
        """Wait for the other programs if anything was written since they last met."""
        if not self.met:
            self.body += ["if SPLIT > 1:", "    goal += SPLIT", "    meet(counter, goal)"]
            self.met = True

    def chunked(
        self,
        name: str,
        value: str,
        wide: str,
        place: str,
        active: str,
        array: str,
        width: str,
        block: int,
    ) -> str:
        """Give all units of a value variables, a chunk each: its own, or what all have written."""
        for chunk in range(self.chunks):
            pointer = self.tile(array, width, block, wide, place, chunk)
            mask = f"{active}[:, None] & ({_WHOLE[wide]}{chunk} < {wide})[None, :]"
            load = f'tl.load({pointer}, mask={mask}, other=0.0, cache_modifier=".cg")'
            self.body += ["if SPLIT > 1:", f"    {name}_{chunk} = {load}"]
            if self.chunks == 1:
                self.body += ["else:", f"    {name}_{chunk} = {value}"]
        return name

    def gathered(
        self, key: object, value: str, array: str, width: str, block: int, wide: str
    ) -> str:
        """Return all units of a value, of which this program has written its part to an array."""
        if ("whole", key) not in self.names:
            self.meet()
            name = f"w{len(self.body)}"
            self.names["whole", key] = self.chunked(
                name, value, wide, "row", "active", array, width, block
            )
        return self.names["whole", key]

    def whole_source(self, source: Node) -> str:
        """Return all units of what products of the forward pass read."""
        value, wide = self.value(source), self.wide(source)
        if source.op not in LEAF_OPS:
            self.store(source)
            return self.gathered(source, value, *self.array(source), wide)
        key = ("whole", source)
        if key not in self.names:
            place = "row_before = tl.where(back, position + 1, position - 1) * B + sequence"
            before = "before = active & (n_time > 1)"  # n_time is that of the next step
            self.body += ["if SPLIT > 1:", f"    {place}", f"    {before}"]
            array = self.array(self.step.new_state[source.name])
            self.names[key] = self.chunked(
                f"w_{source.name}", value, wide, "row_before", "before", *array
            )
        return self.names[key]

    def array(self, node: Node) -> tuple[str, str, int]:
        """Return the array, the width of its rows and the block in which a value is kept."""
        if node is self.output:
            return "y", "W", 0
        return "tape", "H", self.plan.tape[node]

    def store(self, node: Node) -> None:
        """Write a value of the forward pass to its array, once."""
        if node not in self.stored:
            self.stored.add(node)
            wide, value = self.wide(node), self.value(node)
            pointer = self.tile(*self.array(node), wide)
            self.body.append(f"tl.store({pointer}, {value}, mask=active_{wide})")
            self.met = False

    def store_adjoint(self, node: Node) -> None:
        """Write an adjoint to its block of d, or to dp, once."""
        if node not in self.stored:
            value = _tensor(self, node)
            self.stored.add(node)
            array, width, block, wide = self.adjoint_array(node)
            self.body.append(
                f"tl.store({self.tile(array, width, block, wide)}, {value}, mask=active_{wide})"
            )
            self.met = False

    def adjoint_array(self, node: Node) -> tuple[str, str, int, str]:
        if node in self.plan.written:
            return "d", f"{len(self.plan.written)} * H", self.plan.written[node], "H"
        return "dp", "W", 0, "W"

    def sum(self, node: Node) -> str:
        terms = []
        for product in node.products:
            whole = self.whole_source(product.source)
            terms.append(self.multiplied(whole, self.wide(product.source), product))
        return self.set(node, f"v{node.number}", " + ".join(terms))

    def through_products(self, source: Node) -> str:
        """Return the adjoint that a source gets through its products."""
        pairs = [
            (adjoint, product, self.wide(node))
            for node, adjoint in zip(self.step.sums, self.adjoints.sums, strict=True)
            for product in node.products
            if product.source is source
        ]
        for adjoint, _, _ in pairs:  # all before the first is read: the programs meet once
            self.store_adjoint(adjoint)
        terms = []
        for adjoint, product, wide in pairs:
            value = _tensor(self, adjoint)
            array, width, block, _ = self.adjoint_array(adjoint)
            whole = self.gathered(adjoint, value, array, width, block, wide)
            terms.append(self.multiplied(whole, wide, product))
        return self.set(("through", source), f"g{source.number}", " + ".join(terms))

    def adjoint(self, name: str, wide: str) -> str:
        if name != self.variant.output:
            return f"ds_{name}"
        dy = self.load("dy0", self.tile("dy", "W", 0, wide), wide)
        return f"(ds_{name} + {dy})" if name in self.plan.fields else dy

    def assign(self, prefix: str, values: list[str]) -> None:
        """Give the state's fields their new values, all at once."""
        if values:
            fields = ", ".join(f"{prefix}_{name}" for name in self.plan.fields)
            self.body.append(f"{fields} = {', '.join(values)}")

    # The whole text

    def text(self, name: str, arrays: str, before: list[str], after: list[str]) -> str:
        """Return the kernel: what comes before the steps, the loop over them, what comes after."""
        lines = [_JIT, f"def {name}({arrays}, {_ARGUMENTS}):", _SIZES.rstrip()]
        for at, _ in enumerate(self.plan.vectors):
            vectors = len(self.plan.vectors)
            start = f"vectors + scan * ({vectors} * H) + {at} * H + unit"
            lines.append(f"    p{at} = tl.load({start}, mask=unit < H, other=0.0)[None, :]")
        for chunk in range(self.chunks):
            for wide, block in (("H", "BH"), ("W", "BW")):
                size = f"({block} // {self.chunks})"
                lines.append(f"    {_WHOLE[wide]}{chunk} = {chunk} * {size} + tl.arange(0, {size})")
        lines += [f"    {name} = {load}" for name, load in self.matrices.items()]
        lines += [f"    {line}" for line in before]
        first, move = ("steps - 1", "-") if self.backward else ("0", "+")
        lines += [f"    {line}" for line in self.reads(first, "")]
        lines.append("    for step in range(0, steps):")
        time = "steps - 1 - step" if self.backward else "step"
        inner = [f"t = {time}", "row, position, active = n_row, n_position, n_active"]
        inner += ["active_H, active_W = active[:, None] & in_H, active[:, None] & in_W"]
        inner += [f"{name} = n_{name}" for name in self.loads]
        inner += self.reads(f"t {move} 1", "")
        lines += [f"        {line}" for line in [*inner, *self.body]]
        lines += [f"    {line}" for line in after]
        return "\n".join(lines) + "\n"

    def reads(self, t: str, indent: str) -> list[str]:
        """Return lines that ask for all that a step reads."""
        lines = [
            f"n_time = length * 0 + ({t})",
            "n_active = (n_time >= 0) & (n_time < length)",
            "n_position = tl.where(back, length - 1 - n_time, n_time)",
            "n_row = n_position * B + sequence",
        ]
        if any("before" in mask for _, mask, _ in self.loads.values()):
            lines += [
                "n_before = n_active & (n_time > 0)",
                "n_row_before = tl.where(back, n_position + 1, n_position - 1) * B + sequence",
            ]
        for name, (pointer, kind, _) in self.loads.items():
            wide, before = kind[0], kind.endswith("before")
            pointer = re.sub(r"\b(row_before|row|position)\b", r"n_\1", pointer)
            other = self.variant.initial.get(name.removeprefix("s_"), 0.0) if before else 0.0
            active = "n_before" if before else "n_active"
            mask = f"{active}[:, None] & in_{wide}"
            lines.append(f"n_{name} = tl.load({pointer}, mask={mask}, other={other!r})")
        return [indent + line for line in lines]


def _forward(plan: GpuPlan, chunks: int) -> str:
    kernel = _Kernel(plan, chunks, backward=False)
    for node in (plan.step.new_state[plan.variant.output], *plan.tape):
        kernel.value(node)
        kernel.store(node)
    after = {name: kernel.value(plan.step.new_state[name]) for name in plan.fields}
    before, new = [], []
    for name in plan.fields:
        wide, initial = kernel.wide(plan.step.graph.leaf("state", name)), plan.variant.initial
        before.append(f"s_{name} = zeros_{wide} + {initial.get(name, 0.0)!r}")
        new.append(f"tl.where(active[:, None], {after[name]}, s_{name})")
    kernel.assign("s", new)
    if any(source.op == "state" for source in plan.step.sources):
        kernel.met = False
        kernel.meet()
    return kernel.text("forward", "a, x, R, P, vectors, keep, lengths, y, tape, met", before, [])


def _backward(plan: GpuPlan, chunks: int) -> str:
    kernel = _Kernel(plan, chunks, backward=True)
    adjoints = plan.adjoints
    for node in plan.written:
        kernel.store_adjoint(node)
    if plan.projection is not None:
        kernel.store_adjoint(plan.projection[1])
    before, after, new = [], [], []
    for at, name in enumerate(plan.vectors):
        term = _tensor(kernel, adjoints.vectors[name])
        kernel.body.append(f"dp{at} += tl.where(active[:, None], {term}, 0.0)")
        before.append(f"dp{at} = zeros_H")
        row = "(tile * tl.num_programs(1) + scan)"
        start = f"dvectors + {row} * ({len(plan.vectors)} * H) + {at} * H + unit"
        after.append(f"tl.store({start}, tl.sum(dp{at}, 0), mask=unit < H)")
    for name in plan.fields:
        node = plan.step.graph.leaf("state", name)
        terms = [_tensor(kernel, adjoints.state[name], kernel.wide(node))]
        if node in plan.step.sources:
            terms.append(kernel.through_products(node))
        before.append(f"ds_{name} = zeros_{kernel.wide(node)}")
        new.append(f"tl.where(active[:, None], {' + '.join(terms)}, 0.0)")
    kernel.assign("ds", new)
    arrays = "a, x, R, P, vectors, keep, lengths, y, tape, dy, d, dp, dvectors, met"
    return kernel.text("backward", arrays, before, after)


def _tensor(kernel: _Kernel, node: Node, wide: str = "H") -> str:
    """Return a value as a tensor also where it is a number."""
    value = kernel.value(node)
    return f"(zeros_{wide} + {value})" if node.op == "const" else value


def source(plan: GpuPlan, chunks: int = 1) -> str:
    """Return the text of a module with a variant's kernels, forward and backward.

    chunks: in how many parts a product's long side is multiplied, 1 unless programs share units.
    """
    return "\n\n".join([_HEAD, _forward(plan, chunks), _backward(plan, chunks)])
