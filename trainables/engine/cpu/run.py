"""The compiled scan as an autograd function: torch in, torch out.

Input and recurrent products, gates and their derivatives are made step by step in compiled code;
the gradients of the matrices are one product each, after the last step, in the same call.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.variant import Variant
from trainables.engine.cpu import room
from trainables.engine.cpu.compile import lanes
from trainables.engine.cpu.program import Program, program
from trainables.engine.cpu.steps import Running, Steps, padded, rows, steps_of


class _Scanned(torch.autograd.Function):
    """Parameters are program.matrices, then program.vectors."""

    @staticmethod
    def forward(
        ctx: Any,
        program: Program,
        steps: Steps,
        x_TBI: Tensor,
        keep_TBF: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        x, dtype, running = rows(x_TBI, steps), program.dtype, steps.running
        parts = tensors[len(program.matrices) :]
        vectors = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else x
        y = x.new_empty(*x.shape[:-1], program.width)
        tape = room.Lent(running.rows * program.tape_row, dtype)
        works = room.take(program.forward_room, dtype)
        at = {"x": x.data_ptr(), "y": y.data_ptr(), "vectors": vectors.data_ptr()}
        for name, matrix in zip(program.matrices, tensors, strict=False):
            at[name] = matrix.data_ptr()
        keep = keep_TBF
        if keep is not None:
            if keep.shape[:2] == x_TBI.shape[:2]:
                keep = rows(keep, steps)
                at["keep_row"] = keep.shape[-1]
            at["keep"] = keep.data_ptr()
        program.forward(running, tape.buffer.data_ptr(), works.data_ptr(), at)
        room.give_back(works)
        ctx.save_for_backward(x, y, vectors, *tensors)
        ctx.constants = program, steps, tape, at, keep
        ctx.tape_is_whole, ctx.lock = True, threading.Lock()
        return padded(y, steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        program, steps, tape, before, _ = ctx.constants  # what zoneout kept is where `at` says
        x, y, _, *tensors = ctx.saved_tensors  # they are where `at` says
        dtype, running = program.dtype, steps.running
        dy = rows(gradients[0], steps)
        dvectors = torch.zeros(sum(program.vector_sizes), dtype=dtype)
        at = {**before, "dy": dy.data_ptr(), "dvectors": dvectors.data_ptr()}
        dx, wants_dx = None, ctx.needs_input_grad[2]
        if wants_dx or program.writes_dx:
            dx_row = program.up(x.shape[-1])
            dx = torch.empty(*x.shape[:-1], dx_row, dtype=dtype)[..., : x.shape[-1]]
            at |= {"dx": dx.data_ptr(), "dx_row": dx_row, "wants_dx": int(wants_dx)}
        found: list[Tensor] = []
        for name, matrix in zip(program.matrices, tensors, strict=False):
            gradient, at[f"d{name}_row"] = _zeros(program, matrix.shape)
            at[f"d{name}"] = gradient.data_ptr()
            found.append(gradient)
        works = room.take(program.backward_room(running.batch), dtype)
        with ctx.lock:
            if not ctx.tape_is_whole:
                _run_again(program, running, tape, before, y)
            ctx.tape_is_whole = False
            program.backward(running, tape.buffer.data_ptr(), works.data_ptr(), at)
        room.give_back(works)
        found += dvectors.split_with_sizes(program.vector_sizes)
        return None, None, padded(dx, steps) if dx is not None and wants_dx else None, None, *found


def _run_again(
    program: Program, running: Running[int], tape: room.Lent, at: dict[str, int], y: Tensor
) -> None:
    """Make the tape whole again, which a backward pass that retained the graph has used up."""
    works, same = room.take(program.forward_room, program.dtype), torch.empty_like(y)
    at = {**at, "y": same.data_ptr()}
    program.forward(running, tape.buffer.data_ptr(), works.data_ptr(), at)
    room.give_back(works)


def _zeros(program: Program, shape: Sequence[int]) -> tuple[Tensor, int]:
    """Return zeros whose rows have room for whole vectors, and the length of a row."""
    *outer, width = shape
    row = program.up(width)
    zeros = torch.zeros(*outer, row, dtype=program.dtype)
    return zeros if row == width else zeros[..., :width], row


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

    keep_TBF: what zoneout keeps, for variants with it; T and B are 1 where it is always the same.
    Batch norm is not done here: its scale and shift have to be in W and b.
    """
    double = x_TBI.dtype == torch.float64
    found = program(variant, double, x_TBI.shape[-1], hidden)
    tensors = [parameters[name].contiguous() for name in (*found.matrices, *found.vectors)]
    steps = steps_of(lengths_B, x_TBI.shape[0])
    y_TBH: Tensor = _Scanned.apply(  # type: ignore[no-untyped-call]
        found, steps, x_TBI, keep_TBF, *tensors
    )
    return y_TBH
