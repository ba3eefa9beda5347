"""The compiled scan as an autograd function: torch in, torch out.

Sequences are laid side by side, the longest first, and only the steps that exist are kept: N rows
in all, those of step t from off[t] on. Input and recurrent products, gates and their derivatives
are made step by step in compiled code; the gradients of the matrices are one product each, after
the last step.
"""

import ctypes
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.engine.compile import Scan, compiled, kind, lanes, whole_product
from trainables.cells.engine.emit import BACKWARD, FORWARD, Plan, Run
from trainables.cells.engine.product import ACCUMULATED, WIDEST
from trainables.cells.engine.trace import Node
from trainables.cells.variant import Variant

#: Room for the sums of one group of units, in bytes: what stays in the first-level cache.
TMP_BYTES = 20_480


@dataclass(frozen=True)
class Steps:
    """Which sequences run at which step, and where their rows are."""

    steps: int
    counts: NDArray[np.int64]  #: [T] sequences that still run
    offsets: NDArray[np.int64]  #: [T] the first row of each step
    rows: int  #: in all
    index: Tensor | None  #: [N] the rows' places in [T · B]; None where they are all of it
    previous: Tensor | None  #: [N - counts[0]] the row one step before, from the second step on


@functools.lru_cache(maxsize=256)
def _steps(content: bytes, steps: int) -> Steps:
    lengths = np.frombuffer(content, np.int64)
    batch = len(lengths)
    if int(lengths.min()) == steps:
        offsets = np.arange(steps, dtype=np.int64) * batch
        return Steps(steps, np.full(steps, batch), offsets, steps * batch, None, None)
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths[order[0]])
    running_TB = np.arange(longest)[:, None] < lengths[order]
    counts = running_TB.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    step_N, place_N = np.nonzero(running_TB)
    index = torch.from_numpy(step_N * batch + order[place_N])
    later = step_N > 0
    previous = torch.from_numpy(offsets[step_N[later] - 1] + place_N[later])
    return Steps(longest, counts, offsets, int(counts.sum()), index, previous)


def _even(most: int, blocks: int) -> int:
    """Return the size of groups of at most that many, all as equal as can be."""
    groups = -(-blocks // most)
    return -(-blocks // groups)


class _Call:
    """The sizes and addresses that a compiled function is called with."""

    def __init__(self, scan: Scan, steps: Steps, batch: int, H: int, P: int) -> None:
        self._words: dict[str, int] = {
            "T": steps.steps,
            "B": batch,
            "H": H,
            "P": P,
            "product": scan.product,
            "off": steps.offsets.ctypes.data,
            "n": steps.counts.ctypes.data,
        }
        self._scan = scan

    def give(self, **words: int | Tensor) -> None:
        for name, word in words.items():
            self._words[name] = word.data_ptr() if isinstance(word, Tensor) else word

    def group(self, widest_run: int, slots: int, width: int) -> int:
        """Choose how many vectors of units go together; return the numbers that tmp must hold."""
        lanes = self._scan.kind.lanes
        group = _even(max(1, WIDEST // widest_run), -(-width // lanes))
        row = slots * group * lanes
        chunk = max(12, TMP_BYTES // (row * self._scan.kind.bytes))
        self.give(group=group, chunk=chunk)
        return row * chunk

    def array(self, names: tuple[str, ...]) -> Any:
        return (ctypes.c_int64 * len(names))(*[self._words.get(name, 0) for name in names])


def _padded(width: int, lanes: int) -> int:
    return -(-width // lanes) * lanes


class _Sizes:
    """What a variant's calls need to know of its plan, found once."""

    def __init__(self, plan: Plan) -> None:
        t = plan.trace
        stages = range(t.first, t.last + 1)
        runs = [run for source in t.sources for stage in stages
                for run in plan.runs(source, plan.sums_of(stage))]  # fmt: skip
        self.widest_run = max(len(run.blocks) for run in runs) if runs else 1
        self.slots = max(1, *(len(plan.sums_of(stage)) for stage in stages), 1)
        self.slots_behind = max(1, *(len(plan.sources_behind(stage)) for stage in stages), 1)
        self.products = sum(len(run.blocks) for run in runs)
        self.initial = [plan.variant.initial.get(name, 0.0) for name in plan.fields]


@functools.cache
def _sizes(plan: Plan) -> _Sizes:
    return _Sizes(plan)


class _Scanned(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scan: Scan,
        steps: Steps,
        batch: int,
        hidden: int,
        x_NI: Tensor,
        hoisted_NK: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        plan, variant = scan.plan, scan.plan.variant
        sizes = _sizes(plan)
        parameters = dict(zip(_names(variant), tensors, strict=True))
        width = variant.width(hidden)
        vectors = _vectors(plan, parameters, x_NI)
        initial = torch.tensor(sizes.initial, dtype=x_NI.dtype).unsqueeze(1).repeat(1, hidden)
        y_NP = x_NI.new_empty(steps.rows, width)
        tape = x_NI.new_empty(steps.rows, len(plan.tape) * hidden)
        call = _Call(scan, steps, batch, hidden, width)
        tmp = x_NI.new_empty(call.group(sizes.widest_run, sizes.slots, hidden))
        wide = scan.kind.lanes
        inputs = x_NI.shape[1]
        room = sizes.products * (max(inputs, hidden) * _padded(hidden, wide))
        panels = x_NI.new_empty(room)
        call.give(I=inputs, x=x_NI, y=y_NP, tape=tape, vectors=vectors, initial=initial,
                  panels=panels, tmp=tmp)  # fmt: skip
        _give_matrices(call, parameters)
        if hoisted_NK is not None:
            call.give(hoisted=hoisted_NK)
        scan.forward(call.array(FORWARD))
        ctx.save_for_backward(x_NI, y_NP, tape, vectors, initial, *tensors)
        ctx.constants = scan, steps, batch, hidden, hoisted_NK is not None
        return y_NP

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scan, steps, batch, hidden, hoisted = ctx.constants
        x_NI, y_NP, tape, vectors, initial, *tensors = ctx.saved_tensors
        plan, variant = scan.plan, scan.plan.variant
        sizes, t = _sizes(plan), plan.trace
        dy_NP = gradients[0].contiguous()
        parameters = dict(zip(_names(variant), tensors, strict=True))
        D = x_NI.new_empty(steps.rows, len(t.sums) * hidden)
        carry = x_NI.new_zeros(max(1, len(plan.fields)), batch, hidden)
        across = x_NI.new_empty(len(plan.across), batch, hidden)
        dvectors = torch.zeros_like(vectors)
        wide = scan.kind.lanes
        dx_NI = _room(x_NI, wide) if plan.backward.input is not None else None
        call = _Call(scan, steps, batch, hidden, y_NP.shape[1])
        tmp = x_NI.new_empty(call.group(1, sizes.slots_behind, hidden))
        room = sizes.products * hidden * _padded(hidden, wide)
        panels = x_NI.new_empty(room)
        call.give(dx_row=0 if dx_NI is None else dx_NI.stride(0))
        call.give(I=x_NI.shape[1], x=x_NI, y=y_NP, tape=tape, vectors=vectors, initial=initial,
                  panels=panels, tmp=tmp, dy=dy_NP, D=D, carry=carry, across=across,
                  dvectors=dvectors)  # fmt: skip
        if dx_NI is not None:
            call.give(dx=dx_NI)
        _give_matrices(call, parameters)
        scan.backward(call.array(BACKWARD))

        found = {name: _room(tensor, wide) for name, tensor in parameters.items()
                 if name in ("W", "R", "P")}  # fmt: skip
        wants_dx = ctx.needs_input_grad[4]
        if wants_dx and dx_NI is None:
            dx_NI = _room(x_NI, wide)
        for source in t.sources:
            for run in _whole_runs(plan, source):
                rows = run.rows(hidden)
                D_run = D[:, run.first * hidden : run.first * hidden + rows.stop - rows.start]
                if source.word == "input":
                    accumulate(found["W"][rows], D_run, x_NI)
                    if wants_dx:
                        assert dx_NI is not None
                        apply(dx_NI, D_run, parameters["W"][rows])
                    continue
                D_run = D_run[:, : found[run.matrix].shape[0]]
                values, first = _values(plan, source, steps, y_NP, tape, hidden)
                accumulate(found[run.matrix][rows], D_run[first:], values)
        at = 0
        if variant.norm == "none" and variant.b:
            at = len(variant.b)
            found["b"] = dvectors[:at].reshape(-1)
        for name in variant.vectors:
            found[name] = dvectors[at]
            at += 1
        dhoisted = _hoisted_gradient(plan, D, hidden) if hoisted else None
        none = (None, None, None, None)
        return (*none, dx_NI, dhoisted, *(found.get(name) for name in _names(variant)))


def _room(like: Tensor, lanes: int) -> Tensor:
    """Return zeros of a matrix's shape whose rows have room for whole vectors."""
    rows, columns = like.shape
    return like.new_zeros(rows, _padded(columns, lanes))[:, :columns]


def _whole(name: str, C: Tensor, A: Tensor, B: Tensor, sizes: tuple[int, int, int], K: int) -> None:
    double = C.dtype == torch.float64
    wide = kind(double).lanes
    group = _even(WIDEST, -(-sizes[2] // wide))
    panel = C.new_empty(K * _padded(sizes[2], wide))
    whole_product(name, double)(
        C.data_ptr(), C.stride(0), A.data_ptr(), A.stride(0), B.data_ptr(), B.stride(0),
        *sizes, group, panel.data_ptr(),
    )  # fmt: skip


def accumulate(C: Tensor, A: Tensor, X: Tensor) -> None:
    """Add Aᵀ X to C [M, width], which has room for whole vectors; A is [N, M], X [N, width]."""
    _whole("accumulate", C, A, X, (len(A), A.shape[1], X.shape[1]), ACCUMULATED)


def apply(C: Tensor, A: Tensor, M: Tensor) -> None:
    """Add A M to C [N, width], which has room for whole vectors; A is [N, K], M [K, width]."""
    _whole("apply", C, A, M, (len(A), A.shape[1], M.shape[1]), A.shape[1])


@dataclass(frozen=True)
class _WholeRun:
    """A run of sums whose blocks are neighbours in their matrix too."""

    matrix: str
    first: int
    block: int
    count: int

    def rows(self, hidden: int) -> slice:
        if self.matrix == "P":
            return slice(0, hidden)
        return slice(self.block * hidden, (self.block + self.count) * hidden)


@functools.cache
def _whole_runs(plan: Plan, source: Node) -> list[_WholeRun]:
    found: list[_WholeRun] = []
    for run in plan.runs(source):
        names = _blocks(plan.variant, run)
        for offset, block in enumerate(run.blocks):
            place, last = names.index(block), found[-1] if found else None
            sum_ = run.first + offset
            if (
                last is not None
                and last.matrix == run.matrix
                and last.block + last.count == place
                and last.first + last.count == sum_
            ):
                found[-1] = _WholeRun(run.matrix, last.first, last.block, last.count + 1)
            else:
                found.append(_WholeRun(run.matrix, sum_, place, 1))
    return found


def _blocks(variant: Variant, run: Run) -> tuple[str, ...]:
    return {"W": variant.W, "R": variant.R, "P": ("P",)}[run.matrix]


def _names(variant: Variant) -> list[str]:
    """Return the parameters that the scan itself reads."""
    if variant.norm == "none":
        return list(variant.shapes(1, 1))
    return [name for name in variant.shapes(1, 1) if name not in ("W", "b", "gain_x")]


def _vectors(plan: Plan, parameters: dict[str, Tensor], like: Tensor) -> Tensor:
    """Return all vectors [·, H] under each other, biases first."""
    names = list(plan.variant.vectors)
    parts = [parameters[name] for name in names]
    if plan.variant.norm == "none" and plan.variant.b:
        parts.insert(0, parameters["b"])
    if not parts:
        return like.new_empty(0, 1)
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined.detach().contiguous().view(len(plan.vectors), -1)


def _give_matrices(call: _Call, parameters: dict[str, Tensor]) -> None:
    for name, word in (("W", "W"), ("R", "R"), ("P", "P_matrix")):
        if name in parameters:
            call.give(**{word: parameters[name]})


def _values(
    plan: Plan, source: Node, steps: Steps, y_NP: Tensor, tape: Tensor, hidden: int
) -> tuple[Tensor, int]:
    """Return what a source was at each row, and the first row at which it was not zero."""
    if source.word != "state":
        slot = plan.tape[source]
        return tape[:, slot * hidden : (slot + 1) * hidden], 0
    first = int(steps.counts[0])
    if source.name == plan.variant.output:
        after = y_NP
    else:
        slot = plan.field_slots[source.name]
        after = tape[:, slot * hidden : (slot + 1) * hidden]
    if steps.previous is None:
        return after[: steps.rows - first], first
    return after.index_select(0, steps.previous), first


def _hoisted_gradient(plan: Plan, D: Tensor, hidden: int) -> Tensor:
    blocks = [node.start[1] for node in plan.trace.sums if node.start is not None]
    if tuple(blocks) == plan.variant.W:
        return D
    parts = [
        D[:, blocks.index(k) * hidden : (blocks.index(k) + 1) * hidden] for k in plan.variant.W
    ]
    return torch.cat(parts, dim=1)


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
    T, B, _ = x_TBI.shape
    steps = _steps(lengths_B.numpy().tobytes(), T)
    compiled_scan = compiled(variant, x_TBI.dtype == torch.float64)
    x_NI = _rows(x_TBI, steps)
    a_NK = None if a_TBK is None else _rows(a_TBK, steps)
    tensors = [parameters[name].contiguous() for name in _names(variant)]
    y_NP: Tensor = _Scanned.apply(  # type: ignore[no-untyped-call]
        compiled_scan, steps, B, hidden, x_NI, a_NK, *tensors
    )
    if steps.index is None:
        return y_NP.view(T, B, -1)
    padded = y_NP.new_zeros(T * B, y_NP.shape[1])
    return padded.index_copy(0, steps.index, y_NP).view(T, B, -1)


def _rows(values_TBK: Tensor, steps: Steps) -> Tensor:
    flat = values_TBK.reshape(-1, values_TBK.shape[-1])
    return flat.contiguous() if steps.index is None else flat.index_select(0, steps.index)
