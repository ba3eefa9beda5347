"""The compiled scan as an autograd function: torch in, torch out.

Products, gates and their derivatives are computed step by step in compiled code. The gradients of
the matrices are one product each, after the last step, in the same call.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.equations import State
from trainables.cells.variant import Variant
from trainables.engine.cpu.compile import lanes
from trainables.engine.cpu.program import Program, program
from trainables.engine.rows import Rows, rows_of
from trainables.engine.workspace import Buffer


class _CompiledScanFunction(torch.autograd.Function):
    """Tensors are the parameters program.matrices, then program.vectors.

    initial_FBH: the state before the first step, which gets no gradient; None where sequences begin
    with their cell's own. With it, the fields after each sequence's last step are given out too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        program: Program,
        rows: Rows,
        x_TBI: Tensor,
        keep_TBF: Tensor | None,
        initial_FBH: Tensor | None,
        *tensors: Tensor,
    ) -> Any:
        x = rows.gather(x_TBI)
        parts = tensors[len(program.matrices) :]
        vectors = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else x
        y = x.new_empty(*x.shape[:-1], program.width)
        tape = Buffer(len(rows) * program.tape_row, program.dtype)
        memory = {"x": x.data_ptr(), "y": y.data_ptr(), "vectors": vectors.data_ptr()}
        for name, matrix in zip(program.matrices, tensors, strict=False):
            memory[name] = matrix.data_ptr()
        keep = keep_TBF
        if keep is not None:
            if keep.shape[:2] == x_TBI.shape[:2]:
                keep = rows.gather(keep)
                memory["keep_row"] = keep.shape[-1]
            memory["keep"] = keep.data_ptr()
        initial = None if initial_FBH is None else rows.by_rank(initial_FBH)
        if initial is not None:
            memory |= program.initial_memory(initial)
        scratch = Buffer(program.forward_scratch, program.dtype)
        program.forward(rows.arguments, tape.address, scratch.address, memory)
        ctx.save_for_backward(x, y, vectors, *tensors)
        ctx.constants = program, rows, tape, memory, (keep, initial)
        ctx.tape_is_whole, ctx.lock = True, threading.Lock()
        if initial is None:
            return rows.scatter(y)
        after = program.state_after(y.flatten(0, -2), tape.numbers, rows.last[0])
        ctx.mark_non_differentiable(*after)
        return rows.scatter(y), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # `memory` has addresses of the saved tensors, of factors of zoneout and of a first state.
        program, rows, tape, forward_memory, _ = ctx.constants
        x, y, _, *tensors = ctx.saved_tensors
        dy = rows.gather(gradients[0])
        dvectors = torch.zeros(sum(program.vector_sizes), dtype=program.dtype)
        memory = {**forward_memory, "dy": dy.data_ptr(), "dvectors": dvectors.data_ptr()}
        dx, wants_dx = None, ctx.needs_input_grad[2]
        if wants_dx or program.writes_dx:
            dx, dx_row = _whole_vectors(program, x.shape, torch.empty)
            memory |= {"dx": dx.data_ptr(), "dx_row": dx_row, "wants_dx": int(wants_dx)}
        found: list[Tensor] = []
        for name, matrix in zip(program.matrices, tensors, strict=False):
            gradient, memory[f"d{name}_row"] = _whole_vectors(program, matrix.shape, torch.zeros)
            memory[f"d{name}"] = gradient.data_ptr()
            found.append(gradient)
        scratch = Buffer(program.backward_scratch(rows.batch), program.dtype)
        with ctx.lock:
            if not ctx.tape_is_whole:
                _restore_tape(program, rows, tape, forward_memory, y)
            ctx.tape_is_whole = False
            program.backward(rows.arguments, tape.address, scratch.address, memory)
        found += dvectors.split_with_sizes(program.vector_sizes)
        dx_TBI = rows.scatter(dx) if dx is not None and wants_dx else None
        return None, None, dx_TBI, None, None, *found


def _restore_tape(
    program: Program, rows: Rows, tape: Buffer, memory: dict[str, int], y: Tensor
) -> None:
    """Write the tape again, after a backward pass that retained the graph has used it up."""
    scratch, same_y = Buffer(program.forward_scratch, program.dtype), torch.empty_like(y)
    memory = {**memory, "y": same_y.data_ptr()}
    program.forward(rows.arguments, tape.address, scratch.address, memory)


def _whole_vectors(program: Program, shape: Sequence[int], new: Any) -> tuple[Tensor, int]:
    """Return a new array whose rows take up whole vectors in memory, and the length of a row."""
    *outer, width = shape
    row = program.whole_vectors(width)
    array: Tensor = new(*outer, row, dtype=program.dtype)
    return array if row == width else array[..., :width], row


def available() -> bool:
    """Return whether the engine runs on this processor."""
    return lanes() > 0


def scan(
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x_TBI: Tensor,
    lengths_B: Tensor,
    hidden: int,
    keep_TBF: Tensor | None = None,
) -> Tensor:
    """Return the outputs y_TBH of float32 or float64 inputs on the CPU; zeros in the padding.

    keep_TBF: the factors of zoneout, for variants with it; T and B are 1 if all steps share them.
    W and b have to contain the scale and shift of batch norm.
    """
    y_TBH, _ = carried_scan(variant, parameters, x_TBI, lengths_B, hidden, keep_TBF, None)
    return y_TBH


def carried_scan(
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x_TBI: Tensor,
    lengths_B: Tensor,
    hidden: int,
    keep_TBF: Tensor | None,
    state: State | None,
) -> tuple[Tensor, State]:
    """Return what scan() does, and the state after each sequence's last step, where one was given.

    state: fields [B, ·] before the first step, which get no gradient. Fields that no step reads
    come back as they were.
    """
    double = x_TBI.dtype == torch.float64
    compiled = program(variant, double, x_TBI.shape[-1], hidden)
    tensors = [parameters[name].contiguous() for name in (*compiled.matrices, *compiled.vectors)]
    rows = rows_of(lengths_B, x_TBI.shape[0])
    initial_FBH = None if state is None else compiled.initial_of(state)
    found = _CompiledScanFunction.apply(  # type: ignore[no-untyped-call]
        compiled, rows, x_TBI, keep_TBF, initial_FBH, *tensors
    )
    if state is None:
        return found, {}
    y_TBH, *after = found
    return y_TBH, {**state, **dict(zip(compiled.fields, after, strict=True))}
