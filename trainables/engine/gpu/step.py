"""Text of one step of a kernel: values, products, and what is read and written on the way."""

from trainables.cells.equations import NORM_EPSILON
from trainables.engine.gpu.plan import GpuPlan
from trainables.engine.graph import LEAF_OPS, Node, Product

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
OWN, WHOLE = {"H": "unit", "W": "out"}, {"H": "units", "W": "outs"}


class Step:
    """One step of a kernel in the making."""

    def __init__(self, plan: GpuPlan, chunks: int, backward: bool) -> None:
        self.plan, self.variant, self.chunks = plan, plan.variant, chunks
        self.step, self.adjoints = plan.step, plan.adjoints
        self.backward = backward
        self.body: list[str] = []  #: of a step
        self.loads: dict[str, tuple[str, str, bool]] = {}  #: name: pointer, width, of step before
        self.matrices: dict[str, str] = {}  #: name: what loads it
        self.names: dict[object, str] = {}  #: values of a step that have a variable
        self.output = self.step.new_state[self.variant.output]
        self.stored: set[Node] = set()  #: values that the body has written
        self.padded: list[str] = []  #: of a step that all of the tile's sequences lack
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
        self.loads.setdefault(name, (pointer, wide, before))
        return name

    def tile(
        self, array: str, width: str, block: int, wide: str, place: str = "row", chunk: int = -1
    ) -> str:
        """Return the pointer to a block of an array's rows: this program's part, or a chunk."""
        column = OWN[wide] if chunk < 0 else f"{WHOLE[wide]}{chunk}"
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
                column = OWN[wide]
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
        """Return one number a sequence, of values that are normalised together over all units."""
        kind, group = node.name.split(" ", 1)
        values = self.step.graph.groups[group]
        name = f"{'m' if kind in ('mean', 'scale') else 'g'}{values[0].number}"
        count = f"({len(values)} * H)"
        if (name, "row") not in self.names:
            self.names[name, "row"] = name
            if kind in ("mean", "scale"):
                self.moments(name, [self.value(value) for value in values], count)
            else:
                pairs = [(self.value(one), self.value(g)) for one, g in self.adjoints.groups[group]]
                one = self.summed([g for _, g in pairs])
                other = self.summed([f"{g} * {one}" for one, g in pairs])
                self.body += [f"{name}_a, {name}_b = {one}, {other}", *self.exchanged(name)]
                self.body += [
                    f"    {name}_a, {name}_b = tl.sum({name}_a, 1), tl.sum({name}_b, 1)",
                    f"{name}_g = ({name}_a / {count})[:, None]",
                    f"{name}_gn = ({name}_b / {count})[:, None]",
                ]
        return f"{name}_{kind}"

    def moments(self, name: str, values: list[str], count: str) -> None:
        """Add lines for the mean and the reciprocal deviation of values.

        Programs exchange totals and squared deviations from their own means, which are combined
        as Chan et al. 1983 do: nothing is lost where the mean is large.
        """
        own = f"({len(values)} * tl.maximum(tl.minimum(H - part * (BH // SPLIT), BH // SPLIT), 1))"
        centre = f"{name}_c"
        squares = self.summed([f"({one} - {centre}) * ({one} - {centre})" for one in values])
        self.body += [
            f"{name}_a = {self.summed(values)}",
            f"{centre} = ({name}_a / {own})[:, None]",
            f"{name}_b = {squares}",
            *self.exchanged(name),
            f"    {name}_n = {len(values)} * parts_H",
            f"    {name}_t = tl.sum({name}_a, 1) / {count}",
            f"    {name}_o = {name}_a / tl.maximum({name}_n, 1)[None, :] - {name}_t[:, None]",
            f"    {name}_b = tl.sum({name}_b + {name}_n[None, :] * {name}_o * {name}_o, 1)",
            f"    {centre} = {name}_t[:, None]",
            f"{name}_mean = {centre}",
            f"{name}_scale = tl.rsqrt({name}_b / {count} + {NORM_EPSILON})[:, None]",
        ]

    def exchanged(self, name: str) -> list[str]:
        """Return lines that give each program both numbers of all, [TILE, SPLIT]."""
        self.met = True
        return [
            "if SPLIT > 1:",
            "    goal += SPLIT",
            f"    {name}_a, {name}_b = exchange("
            f"both, counter, goal, {name}_a, {name}_b, part, SPLIT, TILE)",
        ]

    @staticmethod
    def summed(values: list[str]) -> str:
        return f"tl.sum(tl.where(in_H, {' + '.join(values)}, 0.0), 1)"

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
        name, own = f"{product.matrix}{block}", OWN[outer]
        for chunk in range(self.chunks):
            whole = f"{WHOLE[inner]}{chunk}"
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
            whole = f"({WHOLE[wide]}{chunk} < {wide})[None, :]"
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
            mask = f"{active}[:, None] & ({WHOLE[wide]}{chunk} < {wide})[None, :]"
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
            self.write(pointer, value, wide)

    def write(self, pointer: str, value: str, wide: str) -> None:
        """Write a value; 0 where a sequence has ended, since products over all steps read it."""
        self.body.append(
            f"tl.store({pointer}, tl.where(active_{wide}, {value}, 0.0), mask=in_{wide} & exists)"
        )
        self.padded.append(f"tl.store({pointer}, zeros_{wide}, mask=in_{wide} & exists)")
        self.met = False

    def store_adjoint(self, node: Node) -> None:
        """Write an adjoint to its block of d, or to dp, once."""
        if node not in self.stored:
            value = self.tensor(node)
            self.stored.add(node)
            array, width, block, wide = self.adjoint_array(node)
            self.write(self.tile(array, width, block, wide), value, wide)

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
            value = self.tensor(adjoint)
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

    def tensor(self, node: Node, wide: str = "H") -> str:
        """Return a value as a tensor also where it is a number."""
        value = self.value(node)
        return f"(zeros_{wide} + {value})" if node.op == "const" else value
