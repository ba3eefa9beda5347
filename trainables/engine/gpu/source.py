"""Source text of a variant's kernels in Triton's language, forward and backward.

A program runs one scan (a model, in one direction) over all steps of one tile of TILE sequences.
All values of a step lie in registers, [TILE, units]; R and P are loaded once, before the first
step. What the next step reads of memory is asked for one step ahead, so that no step waits for it.

Where R is too large for one multiprocessor, SPLIT programs share a scan's tile: each has a part of
the units, with the columns of R that make them. They exchange what products read through memory,
and meet before they read it. Programs that meet are neighbours in the grid, so that they run at the
same time: the card starts programs in the order of the grid.

Grid: (tiles · SPLIT, scans). Memory: a [scans, T, B, |W| H] blocks of W x, x [models, T, B, H]
of square cells, R [scans, |R| H, W], P [scans, W, H], vectors [scans, V, H], keep [scans, T, B,
fields H] (or 1 for T and B), lengths [models, B], y and dy [scans, T, B, W], tape [scans, slots, T,
B, H], d [scans, T, B, written H], dp [scans, T, B, W], dvectors [tiles, scans, V, H], met [scans,
tiles] zeros, sums [scans, tiles, 2, 2, SPLIT, TILE]. H units, W of the output. Scans from `models`
on read each sequence from its end. Beyond a sequence's length zeros are written.
"""

import re

from trainables.engine.gpu.plan import GpuPlan
from trainables.engine.gpu.step import WHOLE, Step

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
    exchange, log_sigmoid, maximum, meet, operand, product, sigmoid, tanh,
)

'''
_SIZES = """    tile, part = tl.program_id(0) // SPLIT, tl.program_id(0) % SPLIT
    scan = tl.program_id(1).to(tl.int64)
    model = scan % models
    back = scan >= models
    sequence = tile * TILE + tl.arange(0, TILE)
    length = tl.load(lengths + model * B + sequence, mask=sequence < B, other=0).to(tl.int32)
    length = tl.minimum(length, T)  # nothing is read or written beyond the arrays
    steps, exists = tl.max(length, 0), (sequence < B)[:, None]
    unit = part * (BH // SPLIT) + tl.arange(0, BH // SPLIT)
    out = part * (BW // SPLIT) + tl.arange(0, BW // SPLIT)
    in_H, in_W = (unit < H)[None, :], (out < W)[None, :]
    zeros_H = tl.zeros([TILE, BH // SPLIT], tl.float32)
    zeros_W = tl.zeros([TILE, BW // SPLIT], tl.float32)
    base = scan * T * B
    parts_H = tl.maximum(tl.minimum(H - tl.arange(0, SPLIT) * (BH // SPLIT), BH // SPLIT), 0)
    both = sums + (scan * (tl.num_programs(0) // SPLIT) + tile) * (4 * SPLIT * TILE)
    counter, goal = met + scan * (tl.num_programs(0) // SPLIT) + tile, 0
"""


class _Kernel(Step):
    """One kernel in the making."""

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
                lines.append(f"    {WHOLE[wide]}{chunk} = {chunk} * {size} + tl.arange(0, {size})")
        lines += [f"    {name} = {load}" for name, load in self.matrices.items()]
        lines += [f"    {line}" for line in before]
        first, move = ("steps - 1", "-") if self.backward else ("0", "+")
        lines += [f"    {line}" for line in self.reads(first)]
        lines.append("    for step in range(0, steps):")
        time = "steps - 1 - step" if self.backward else "step"
        inner = [f"t = {time}", "row, position, active = n_row, n_position, n_active"]
        inner += ["active_H, active_W = active[:, None] & in_H, active[:, None] & in_W"]
        inner += [f"{name} = n_{name}" for name in self.loads]
        inner += self.reads(f"t {move} 1")
        lines += [f"        {line}" for line in [*inner, *self.body]]
        lines += ["    for t in range(steps, T):", "        row = t * B + sequence"]
        lines += [f"        {line}" for line in self.padded]
        lines += [f"    {line}" for line in after]
        return "\n".join(lines) + "\n"

    def reads(self, t: str) -> list[str]:
        """Return lines that ask for all that a step reads."""
        lines = [
            f"n_time = length * 0 + ({t})",
            "n_active = (n_time >= 0) & (n_time < length)",
            "n_position = tl.where(back & n_active, length - 1 - n_time, n_time)",
            "n_row = n_position * B + sequence",
        ]
        if any(before for _, _, before in self.loads.values()):
            lines += [
                "n_before = n_active & (n_time > 0)",
                "n_row_before = tl.where(back, n_position + 1, n_position - 1) * B + sequence",
            ]
        for name, (pointer, wide, before) in self.loads.items():
            pointer = re.sub(r"\b(row_before|row|position)\b", r"n_\1", pointer)
            other = self.variant.initial.get(name.removeprefix("s_"), 0.0) if before else 0.0
            active = "n_before" if before else "n_active"
            mask = f"{active}[:, None] & in_{wide}"
            lines.append(f"n_{name} = tl.load({pointer}, mask={mask}, other={other!r})")
        return lines


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
    return kernel.text(
        "forward", "a, x, R, P, vectors, keep, lengths, y, tape, met, sums", before, []
    )


def _backward(plan: GpuPlan, chunks: int) -> str:
    kernel = _Kernel(plan, chunks, backward=True)
    adjoints = plan.adjoints
    for node in plan.written:
        kernel.store_adjoint(node)
    if plan.projection is not None:
        kernel.store_adjoint(plan.projection[1])
    before, after, new = [], [], []
    for at, name in enumerate(plan.vectors):
        term = kernel.tensor(adjoints.vectors[name])
        kernel.body.append(f"dp{at} += tl.where(active[:, None], {term}, 0.0)")
        before.append(f"dp{at} = zeros_H")
        row = "(tile * tl.num_programs(1) + scan)"
        start = f"dvectors + {row} * ({len(plan.vectors)} * H) + {at} * H + unit"
        after.append(f"tl.store({start}, tl.sum(dp{at}, 0), mask=unit < H)")
    for name in plan.fields:
        node = plan.step.graph.leaf("state", name)
        terms = [kernel.tensor(adjoints.state[name], kernel.wide(node))]
        if node in plan.step.sources:
            terms.append(kernel.through_products(node))
        before.append(f"ds_{name} = zeros_{kernel.wide(node)}")
        new.append(f"tl.where(active[:, None], {' + '.join(terms)}, 0.0)")
    kernel.assign("ds", new)
    arrays = "a, x, R, P, vectors, keep, lengths, y, tape, dy, d, dp, dvectors, met, sums"
    return kernel.text("backward", arrays, before, after)


def source(plan: GpuPlan, chunks: int = 1) -> str:
    """Return the text of a module with a variant's kernels, forward and backward.

    chunks: in how many parts a product's long side is multiplied, 1 unless programs share units.
    """
    return "\n\n".join([_HEAD, _forward(plan, chunks), _backward(plan, chunks)])
