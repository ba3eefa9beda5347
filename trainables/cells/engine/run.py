"""The compiled scan as an autograd function: torch in, torch out.

Input and recurrent products, gates and their derivatives are made step by step in compiled code;
the gradients of the matrices are one product each, after the last step, in the same call.
"""

import ctypes
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.engine import room
from trainables.cells.engine.compile import Scan, compiled, lanes, whole_address, whole_product
from trainables.cells.engine.emit import BACKWARD, FORWARD, Plan, WholeRun
from trainables.cells.engine.product import ACCUMULATED, WIDEST
from trainables.cells.engine.steps import Steps, padded, rows, steps_of
from trainables.cells.engine.trace import Node
from trainables.cells.variant import Variant

#: Room for the sums of one group of units, in bytes: what stays in the first-level cache.
TMP_BYTES = 20_480


@functools.cache
def _whole_runs(plan: Plan, source: Node) -> list[WholeRun]:
    return plan.whole_runs(source)


class _Sizes:
    """What a variant's calls need to know of its plan, found once."""

    def __init__(self, plan: Plan) -> None:
        t = plan.trace
        stages = range(t.first, t.last + 1)
        runs = [
            run
            for source in t.sources
            for stage in stages
            for run in plan.runs(source, plan.sums_of(stage))
        ]
        self.widest_run = max((len(run.blocks) for run in runs), default=1)
        self.slots = max(1, *(len(plan.sums_of(stage)) for stage in stages), 1)
        self.slots_behind = max(1, *(len(plan.sources_behind(stage)) for stage in stages), 1)
        self.products = sum(len(run.blocks) for run in runs)
        self.initial = [plan.variant.initial.get(name, 0.0) for name in plan.fields]


@functools.cache
def _sizes(plan: Plan) -> _Sizes:
    return _Sizes(plan)


def _even(most: int, blocks: int) -> int:
    """Return the size of groups of at most that many, all as equal as can be."""
    groups = -(-blocks // most)
    return -(-blocks // groups)


class _Program:
    """A compiled scan at one size: all that does not change from call to call."""

    def __init__(self, scan: Scan, inputs: int, hidden: int) -> None:
        plan, variant, t = scan.plan, scan.plan.variant, scan.plan.trace
        self.scan, self.plan, self.variant = scan, plan, variant
        self.inputs, self.hidden, self.width = inputs, hidden, variant.width(hidden)
        self.dtype = torch.float64 if scan.kind.double else torch.float32
        self.lanes = scan.kind.lanes
        self.names = names(variant)
        found = _sizes(plan)
        self.tape_row, self.D_row = len(plan.tape) * hidden, len(t.sums) * hidden
        whole = self._up(hidden)
        self.forward_panels = found.products * max(inputs, hidden) * whole
        longest = max(ACCUMULATED, found.products * hidden)
        self.backward_panels = longest * max(whole, self._up(inputs))
        sizes = {"I": inputs, "H": hidden, "P": self.width, "product": scan.product}
        sizes |= {name: whole_address(name, scan.kind.double) for name in ("accumulate", "apply")}
        group, chunk, self.forward_tmp = self._group(found.widest_run, found.slots)
        self._forward = self._template(FORWARD, {**sizes, "group": group, "chunk": chunk})
        group, chunk, self.backward_tmp = self._group(1, found.slots_behind)
        self._backward = self._template(BACKWARD, {**sizes, "group": group, "chunk": chunk})
        self.initial = torch.tensor(found.initial, dtype=self.dtype).unsqueeze(1).repeat(1, hidden)
        self.wholes = [
            (source, whole, whole.rows(hidden))
            for source in t.sources
            for whole in _whole_runs(plan, source)
        ]
        self._accumulate = whole_product("accumulate", scan.kind.double)
        self._apply = whole_product("apply", scan.kind.double)
        self.hoisted = variant.norm == "batch"
        self.rows = 2 * len(plan.groups)  #: numbers that a sequence has at a step

    def _up(self, width: int) -> int:
        return -(-width // self.lanes) * self.lanes

    def _group(self, widest_run: int, slots: int) -> tuple[int, int, int]:
        """Return the vectors of units that go together, the rows, and the room they take."""
        group = _even(max(1, WIDEST // widest_run), -(-self.hidden // self.lanes))
        row = slots * group * self.lanes
        chunk = max(12, TMP_BYTES // (row * self.scan.kind.bytes))
        return group, chunk, row * chunk

    @staticmethod
    def _template(
        words: tuple[str, ...], known: dict[str, int]
    ) -> tuple[list[int], dict[str, int]]:
        return [known.get(word, 0) for word in words], {word: i for i, word in enumerate(words)}

    def call(
        self, backward: bool, steps: Steps, tensors: dict[str, Tensor], sizes: dict[str, int]
    ) -> None:
        """Run one of the compiled functions."""
        template, at = self._backward if backward else self._forward
        words = template.copy()
        words[at["T"]], words[at["B"]] = steps.steps, steps.first
        words[at["off"]], words[at["n"]] = steps.offsets.ctypes.data, steps.counts.ctypes.data
        for name, tensor in tensors.items():
            words[at[name]] = tensor.data_ptr()
        for name, size in sizes.items():
            words[at[name]] = size
        run = self.scan.backward if backward else self.scan.forward
        run((ctypes.c_int64 * len(words))(*words))

    def vectors(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return all vectors, one after the other, biases first."""
        parts = [parameters[name] for name in self.plan.pieces]
        if not parts:
            return self.initial
        return parts[0].detach() if len(parts) == 1 else torch.cat(parts).detach()

    def matrices(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the matrices by the words that the compiled functions know them by."""
        words = {"W": "W", "R": "R", "P": "P_matrix"}
        return {words[name]: parameters[name] for name in words if name in parameters}

    def zeros(self, height: int, columns: int) -> Tensor:
        """Return zeros whose rows have room for whole vectors."""
        return torch.zeros(height, self._up(columns), dtype=self.dtype)[:, :columns]

    def hoisted_gradient(self, D: Tensor) -> Tensor:
        """Return the gradient of the hoisted part of the input."""
        starts = [node.start[1] if node.start else "" for node in self.plan.trace.sums]
        at = [starts.index(k) * self.hidden for k in self.variant.W]
        return torch.cat([D[:, start : start + self.hidden] for start in at], dim=1)


@functools.lru_cache(maxsize=256)
def _program(scan: Scan, inputs: int, hidden: int) -> _Program:
    return _Program(scan, inputs, hidden)


class _Scanned(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        program: _Program,
        steps: Steps,
        x_NI: Tensor,
        hoisted_NK: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        dtype = program.dtype
        parameters = dict(zip(program.names, tensors, strict=True))
        vectors = program.vectors(parameters)
        y_NP = x_NI.new_empty(steps.rows, program.width)
        tape = room.Lent(steps.rows * (program.tape_row + program.rows), dtype)
        tmp = room.take(program.forward_tmp, dtype)
        panels = room.take(program.forward_panels, dtype)
        arrays = {"x": x_NI, "y": y_NP, "tape": tape.buffer, "vectors": vectors, "tmp": tmp}
        arrays |= {"initial": program.initial, "panels": panels, **program.matrices(parameters)}
        if hoisted_NK is not None:
            arrays["hoisted"] = hoisted_NK
        if program.rows:
            arrays["row_values"] = tape.buffer[steps.rows * program.tape_row :]
        program.call(False, steps, arrays, {})
        room.give_back(tmp)
        room.give_back(panels)
        ctx.save_for_backward(x_NI, y_NP, vectors, *tensors)
        ctx.constants = program, steps, tape
        return y_NP

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        program, steps, lent = ctx.constants
        x_NI, y_NP, vectors, *tensors = ctx.saved_tensors
        plan, hidden, dtype, N = program.plan, program.hidden, program.dtype, steps.rows
        parameters = dict(zip(program.names, tensors, strict=True))
        matrices = program.matrices(parameters)
        tape = lent.buffer[: N * program.tape_row].view(N, -1)
        D_room = room.take(N * program.D_row, dtype)
        D = D_room[: N * program.D_row].view(N, -1)
        shape = steps.first, hidden
        carry = torch.zeros(max(1, len(plan.fields)), *shape, dtype=dtype)
        across = room.take(len(plan.across) * steps.first * hidden, dtype)
        dvectors = torch.zeros(len(plan.vectors), hidden, dtype=dtype)
        tmp = room.take(program.backward_tmp, dtype)
        panels = room.take(program.backward_panels, dtype)
        arrays = {"x": x_NI, "y": y_NP, "tape": tape, "vectors": vectors, "tmp": tmp, "D": D}
        arrays |= {"initial": program.initial, "panels": panels, **matrices}
        arrays |= {"dy": gradients[0].contiguous(), "carry": carry, "across": across}
        arrays["dvectors"] = dvectors
        if program.rows:
            arrays["row_values"] = lent.buffer[N * program.tape_row :]
            arrays["row_sums"] = torch.empty(steps.first * program.rows, dtype=dtype)
        sizes = {"N": N, "segment_count": len(steps.segments)}
        sizes["segments"] = steps.segments.ctypes.data
        dx_NI = None
        wants_dx = ctx.needs_input_grad[2] and not program.hoisted
        if wants_dx or plan.backward.input is not None:
            dx_NI = program.zeros(N, program.inputs)
            arrays["dx"] = dx_NI
            sizes |= {"dx_row": dx_NI.stride(0), "wants_dx": int(wants_dx)}
        found = {}
        for name in ("W", "R", "P"):
            if name in parameters:
                found[name] = program.zeros(*parameters[name].shape)
                arrays[f"d{name}"] = found[name]
                sizes[f"d{name}_row"] = found[name].stride(0)
        program.call(True, steps, arrays, sizes)
        at = 0
        for name, blocks in plan.pieces.items():
            found[name] = dvectors[at : at + len(blocks)].view(-1)
            at += len(blocks)
        dhoisted = program.hoisted_gradient(D) if program.hoisted else None
        for buffer in (D_room, across, tmp, panels):
            room.give_back(buffer)
        return (None, None, dx_NI, dhoisted, *(found.get(name) for name in program.names))


def names(variant: Variant) -> list[str]:
    """Return the parameters that the scan itself reads."""
    found = list(variant.shapes(1, 1))
    if variant.norm != "batch":
        return found
    return [name for name in found if name not in ("W", "b", "gain_x")]


def available() -> bool:
    """Return whether the engine runs on this processor."""
    return lanes() > 0


def scan(
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x_TBI: Tensor,
    a_TBK: Tensor | None,
    lengths_B: Tensor,
    hidden: int,
) -> Tensor:
    """Return the outputs y_TBH of float32 or float64 inputs on the CPU; zeros in the padding.

    a_TBK is the hoisted input part for variants that normalise it, None for all others.
    """
    T = x_TBI.shape[0]
    steps = steps_of(lengths_B, T)
    compiled_scan = compiled(variant, x_TBI.dtype == torch.float64)
    program = _program(compiled_scan, x_TBI.shape[-1], hidden)
    x_NI = rows(x_TBI, steps)
    a_NK = None if a_TBK is None else rows(a_TBK, steps)
    tensors = [parameters[name].contiguous() for name in program.names]
    y_NP: Tensor = _Scanned.apply(  # type: ignore[no-untyped-call]
        program, steps, x_NI, a_NK, *tensors
    )
    return padded(y_NP, steps, T)
