"""A compiled scan at one size: the memory that it needs, and how it is called.

Both passes get counts and addresses. The tape holds what the backward pass needs of the forward
pass. Scratch is one stretch of memory to work in; what is in it before and after means nothing.
"""

import ctypes
import functools
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trainables.cells.equations import State
from trainables.cells.variant import Variant
from trainables.engine.cpu.compile import CompiledScan, compiled, shared_address
from trainables.engine.cpu.function import BACKWARD, FORWARD
from trainables.engine.cpu.plan import Plan
from trainables.engine.cpu.product import ACCUMULATE_ROWS, MAX_VECTORS
from trainables.engine.rows import Int64s, OneOrEach, RowArguments

#: Bytes for the sums of one group of units: as much as stays in the first-level cache.
TMP_BYTES = 20_480
#: Fewest rows of a chunk.
MIN_CHUNK = 12
_INDEX = {name: index for index, name in enumerate(BACKWARD)}
#: The parts of scratch, one after the other, of the forward pass and of the backward pass.
_SCRATCH = ("panels", "tmp")
_BACKWARD_SCRATCH = (*_SCRATCH, "between_stages", "row_sums", "carry")
#: As shared.py has it.
_EACH = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)


class _PlanCounts:
    """The counts of a plan that sizes of memory follow from."""

    def __init__(self, plan: Plan) -> None:
        step = plan.step
        stages = range(step.first_stage, step.last_stage + 1)
        products = [
            product
            for source in step.sources
            for stage in stages
            for product in plan.block_products(source, plan.sums_of(stage))
        ]
        self.max_blocks = max((len(product.blocks) for product in products), default=1)
        self.blocks = sum(len(product.blocks) for product in products)
        self.slots = max(1, *(len(plan.sums_of(stage)) for stage in stages), 1)
        self.backward_slots = max(1, *(len(plan.sources_after(stage)) for stage in stages), 1)
        self.initial = [plan.variant.initial.get(name, 0.0) for name in plan.fields]


@functools.cache
def _counts_of(plan: Plan) -> _PlanCounts:
    return _PlanCounts(plan)


def _even_size(most: int, total: int) -> int:
    """Return the size of the groups that divide a total evenly, at most `most` each."""
    groups = -(-total // most)
    return -(-total // groups)


class Program:
    """A compiled scan at one size. Sizes are in numbers, addresses in bytes."""

    def __init__(self, scan: CompiledScan, inputs: int, hidden: int) -> None:
        plan, variant = scan.plan, scan.plan.variant
        self._scan, self.plan, self.variant = scan, plan, variant
        self.inputs, self.hidden, self.width = inputs, hidden, variant.width(hidden)
        self.dtype = torch.float64 if scan.simd.double else torch.float32
        self._bytes = scan.simd.bytes
        #: Parameters that the scan reads: matrices, then vectors.
        self.matrices: tuple[str, ...] = tuple(
            name for name in ("W", "R", "P") if name in variant.shapes(1, 1)
        )
        self.vectors = tuple(plan.vector_blocks)
        self.vector_sizes = [len(blocks) * hidden for blocks in plan.vector_blocks.values()]
        self.fields = tuple(plan.fields)  #: of the state, those that a step reads
        counts = _counts_of(plan)
        self._tape_row = plan.tape_blocks * hidden
        self._row_values = 2 * len(plan.groups)
        self.tape_row = self._tape_row + self._row_values  #: numbers of the tape for each row
        #: Whether backward needs memory for the input's gradient even if nobody wants it.
        self.writes_dx = plan.adjoints.input is not None

        whole = self.whole_vectors(hidden)
        highest = max(ACCUMULATE_ROWS, counts.blocks * hidden)
        self._initial = torch.tensor(counts.initial, dtype=self.dtype)
        self._initial = self._initial.unsqueeze(1).repeat(1, hidden)
        sizes = {"I": inputs, "H": hidden, "width": self.width, "tape_row": self._tape_row}
        sizes |= {"initial": self._initial.data_ptr(), "initial_field": hidden}
        double = scan.simd.double
        sizes |= {name: shared_address(name, double) for name in ("product", "accumulate", "apply")}
        self._each = _EACH(shared_address("each", double))
        group, chunk, tmp = self._tiling(counts.max_blocks, counts.slots)
        self._scratch_sizes = counts.blocks * max(inputs, hidden) * whole, tmp
        self.forward_scratch = sum(self._scratch_sizes)  #: size of the scratch of forward
        known = {**sizes, "group": group, "chunk": chunk}
        self._forward = array("q", [known.get(name, 0) for name in FORWARD])
        group, chunk, tmp = self._tiling(1, counts.backward_slots)
        panels = highest * max(whole, self.whole_vectors(inputs))
        self._backward_scratch_sizes = panels, tmp
        #: Sizes of the parts of backward's scratch that grow with the batch, a sequence.
        self._sequence_sizes = (
            len(plan.between_stages) * hidden,
            self._row_values,
            len(plan.fields) * hidden,
        )
        known = {**sizes, "group": group, "chunk": chunk}
        self._backward = array("q", [known.get(name, 0) for name in BACKWARD])

    def initial_of(self, state: State) -> torch.Tensor:
        """Return fields [B, ·] of a state as [fields, B, H]; what is narrower has zeros behind."""
        batch = len(next(iter(state.values())))
        initial = torch.zeros(len(self.fields), batch, self.hidden, dtype=self.dtype)
        for place, name in enumerate(self.fields):
            initial[place, :, : state[name].shape[1]] = state[name].detach()
        return initial

    def initial_memory(self, initial_FBH: torch.Tensor) -> dict[str, int]:
        """Return the entries of `memory` for a first state, of sequences in the order of rows."""
        _, batch, hidden = initial_FBH.shape
        sizes = {"initial_field": batch * hidden, "initial_row": hidden}
        return {"initial": initial_FBH.data_ptr(), **sizes}

    def state_after(
        self, y_NP: torch.Tensor, tape: torch.Tensor, last_B: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the fields [B, ·] after some rows, given what forward has written of a model."""
        plan, found = self.plan, []
        rows = tape[: len(y_NP) * self._tape_row].view(len(y_NP), self._tape_row)
        for name in self.fields:
            if name == self.variant.output:
                found.append(y_NP.index_select(0, last_B))
                continue
            first = plan.tape[plan.step.new_state[name]] * self.hidden
            found.append(rows[last_B, first : first + self.hidden])
        return found

    def whole_vectors(self, width: int) -> int:
        """Return a width rounded up to whole vectors."""
        lanes = self._scan.simd.lanes
        return -(-width // lanes) * lanes

    def _tiling(self, max_blocks: int, slots: int) -> tuple[int, int, int]:
        """Return the vectors of a group of units, the rows of a chunk, and the size of tmp."""
        lanes = self._scan.simd.lanes
        group = _even_size(max(1, MAX_VECTORS // max_blocks), -(-self.hidden // lanes))
        row = slots * group * lanes
        chunk = max(MIN_CHUNK, TMP_BYTES // (row * self._bytes))
        return group, chunk, row * chunk

    def backward_scratch(self, batch: int) -> int:
        """Return the size of the scratch of backward."""
        return sum(self._backward_sizes(batch))

    def _backward_sizes(self, batch: int) -> list[int]:
        """Return the sizes of the parts of backward's scratch."""
        growing = [self.whole_vectors(size * batch) for size in self._sequence_sizes]
        return [*self._backward_scratch_sizes, *growing]

    def forward(
        self, rows: RowArguments[int], tape: int, scratch: int, memory: Mapping[str, int]
    ) -> None:
        """Run over all steps.

        tape: address of [rows, tape_row], which is written; scratch: of forward_scratch numbers.
        memory: addresses of x, y, `vectors` one after the other, W, R and P as far as the variant
        has them, and with zoneout of keep, with keep_row; and initial_memory, where states were
        carried from other scans.
        """
        arguments = self._forward[:]
        self._set_memory(arguments, rows, tape, memory)
        self._divide(arguments, _SCRATCH, scratch, self._scratch_sizes)
        self._scan.forward(arguments.buffer_info()[0])

    def forward_each(
        self,
        rows: RowArguments[Int64s],
        tape: Int64s,
        scratch: int,
        memory: Mapping[str, int | Int64s],
    ) -> None:
        """Run the scans of several models one after the other in the same scratch; see forward.

        An entry of memory is one number for all models, or [K].
        """
        arguments = self._repeated(self._forward, rows)
        self._set_memory(arguments, rows, tape, memory)
        self._divide(arguments, _SCRATCH, scratch, self._scratch_sizes)
        self._call_each("forward", arguments)

    def backward(
        self, rows: RowArguments[int], tape: int, scratch: int, memory: Mapping[str, int]
    ) -> None:
        """Run over all steps, the last one first, and add to the gradients.

        tape: as forward left it; it is used up. scratch: backward_scratch numbers. memory: that of
        forward, and dy; what to add to: dvectors, and dW, dR and dP with the lengths of their rows,
        dW_row and so on, which have to be whole vectors. dx and dx_row likewise if wants_dx is 1 or
        this writes_dx; dx is overwritten.
        """
        arguments = self._backward[:]
        self._set_memory(arguments, rows, tape, memory)
        self._divide(arguments, _BACKWARD_SCRATCH, scratch, self._backward_sizes(rows.batch))
        self._scan.backward(arguments.buffer_info()[0])

    def backward_each(
        self,
        rows: RowArguments[Int64s],
        tape: Int64s,
        scratch: int,
        memory: Mapping[str, int | Int64s],
    ) -> None:
        """Run the scans of several models backwards, one after the other; see backward."""
        arguments = self._repeated(self._backward, rows)
        self._set_memory(arguments, rows, tape, memory)
        self._divide(arguments, _BACKWARD_SCRATCH, scratch, self._backward_sizes(rows.batch))
        self._call_each("backward", arguments)

    @staticmethod
    def _repeated(arguments: "array[int]", rows: RowArguments[Int64s]) -> Int64s:
        """Return the arguments of several models, [arguments, K]."""
        return np.repeat(np.array(arguments)[:, None], len(rows.rows), axis=1)

    def _call_each(self, name: str, arguments: Int64s) -> None:
        by_model = np.ascontiguousarray(arguments.T)
        models, stride = len(by_model), by_model.strides[0]
        self._each(self._scan.addresses[name], by_model.ctypes.data, models, stride)

    def _set_memory(
        self,
        arguments: Any,
        rows: RowArguments[OneOrEach],
        tape: OneOrEach,
        memory: Mapping[str, int | Int64s],
    ) -> None:
        """Set what changes from call to call, in the arguments of one model or of several."""
        arguments[_INDEX["T"]], arguments[_INDEX["B"]] = rows.steps, rows.batch
        arguments[_INDEX["offsets"]], arguments[_INDEX["counts"]] = rows.offsets, rows.counts
        arguments[_INDEX["tape"]] = tape
        row_values = tape + rows.rows * (self._tape_row * self._bytes)
        arguments[_INDEX["row_values"]] = row_values
        for name, value in memory.items():
            arguments[_INDEX[name]] = value

    def _divide(
        self, arguments: Any, names: Sequence[str], scratch: int, sizes: Sequence[int]
    ) -> None:
        """Set where the parts of scratch begin, given their sizes."""
        for name, size in zip(names, sizes, strict=True):
            arguments[_INDEX[name]] = scratch
            scratch += size * self._bytes


@functools.lru_cache(maxsize=256)
def _program(scan: CompiledScan, inputs: int, hidden: int) -> Program:
    return Program(scan, inputs, hidden)


def program(variant: Variant, double: bool, inputs: int, hidden: int) -> Program:
    """Return a variant's compiled scan for layers of one size."""
    return _program(compiled(variant, double), inputs, hidden)
