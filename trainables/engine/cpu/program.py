"""A compiled scan at one size: the memory that it needs, and how it is called.

Both passes are told where everything is by address. Room to work in is one stretch of memory; what
is in it afterwards means nothing. The tape is what the backward pass needs of the forward pass.
"""

import ctypes
import functools
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.cells.variant import Variant
from trainables.engine.cpu.compile import Scan, compiled, shared_address
from trainables.engine.cpu.function import BACKWARD, FORWARD
from trainables.engine.cpu.plan import Plan
from trainables.engine.cpu.product import ACCUMULATED, WIDEST
from trainables.engine.cpu.steps import Running, Word, Words

Whole = NDArray[np.int64]

#: Room for the sums of one group of units, in bytes: what stays in the first-level cache.
TMP_BYTES = 20_480
_AT = {word: place for place, word in enumerate(BACKWARD)}
_T, _B, _OFF, _N = (_AT[word] for word in ("T", "B", "off", "n"))
_TAPE, _ROW_VALUES = _AT["tape"], _AT["row_values"]
#: What stands in the room, one after the other, of the forward pass and of the backward pass.
_ROOM = (_AT["panels"], _AT["tmp"])
_ROOM_BACKWARD = (*_ROOM, _AT["across"], _AT["row_sums"], _AT["carry"])
#: As shared.py has it.
_EACH = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)


class _Numbers:
    """What sizes of memory follow from in a plan."""

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
def _numbers(plan: Plan) -> _Numbers:
    return _Numbers(plan)


def _even(most: int, blocks: int) -> int:
    """Return the size of groups of at most that many, all as equal as can be."""
    groups = -(-blocks // most)
    return -(-blocks // groups)


class Program:
    """All that does not change from call to call. Sizes are in numbers, addresses in bytes."""

    def __init__(self, scan: Scan, inputs: int, hidden: int) -> None:
        plan, variant = scan.plan, scan.plan.variant
        self._scan, self.plan, self.variant = scan, plan, variant
        self.inputs, self.hidden, self.width = inputs, hidden, variant.width(hidden)
        self.dtype = torch.float64 if scan.kind.double else torch.float32
        self._bytes = scan.kind.bytes
        #: Parameters that the scan reads.
        self.matrices: tuple[str, ...] = tuple(
            name for name in ("W", "R", "P") if name in variant.shapes(1, 1)
        )
        self.vectors = tuple(plan.pieces)
        #: Of each of these, one after the other.
        self.vector_sizes = [len(blocks) * hidden for blocks in plan.pieces.values()]
        found = _numbers(plan)
        self._tape_row = plan.blocks * hidden
        self._row_values = 2 * len(plan.groups)
        self.tape_row = self._tape_row + self._row_values  #: of the tape, for each row
        #: Whether the backward pass needs room for the input's gradient though nobody wants it.
        self.writes_dx = plan.backward.input is not None

        whole = self.up(hidden)
        highest = max(ACCUMULATED, found.products * hidden)
        self._initial = torch.tensor(found.initial, dtype=self.dtype)
        self._initial = self._initial.unsqueeze(1).repeat(1, hidden)
        sizes = {"I": inputs, "H": hidden, "width": self.width, "tape_row": self._tape_row}
        sizes |= {"initial": self._initial.data_ptr()}
        double = scan.kind.double
        sizes |= {name: shared_address(name, double) for name in ("product", "accumulate", "apply")}
        self._each = _EACH(shared_address("each", double))
        group, chunk, tmp = self._group(found.widest_run, found.slots)
        self._forward_room = found.products * max(inputs, hidden) * whole, tmp
        self.forward_room = sum(self._forward_room)  #: the size of the room that forward works in
        known = {**sizes, "group": group, "chunk": chunk}
        self._forward = array("q", [known.get(word, 0) for word in FORWARD])
        group, chunk, tmp = self._group(1, found.slots_behind)
        panels = highest * max(whole, self.up(inputs))
        sequences = len(plan.across) * hidden, self._row_values, len(plan.fields) * hidden
        self._backward_room, self._sequences_room = (panels, tmp), sequences
        known = {**sizes, "group": group, "chunk": chunk}
        self._backward = array("q", [known.get(word, 0) for word in BACKWARD])

    def up(self, width: int) -> int:
        """Return a width rounded up to whole vectors."""
        lanes = self._scan.kind.lanes
        return -(-width // lanes) * lanes

    def _group(self, widest_run: int, slots: int) -> tuple[int, int, int]:
        """Return the vectors of units that go together, the rows, and the room they take."""
        lanes = self._scan.kind.lanes
        group = _even(max(1, WIDEST // widest_run), -(-self.hidden // lanes))
        row = slots * group * lanes
        chunk = max(12, TMP_BYTES // (row * self._bytes))
        return group, chunk, row * chunk

    def backward_room(self, batch: int) -> int:
        """Return the size of the room that backward works in."""
        return sum(self._behind(batch))

    def _behind(self, batch: int) -> list[int]:
        """Return the sizes of the parts of the backward pass's room."""
        sequences = [self.up(numbers * batch) for numbers in self._sequences_room]
        return [*self._backward_room, *sequences]

    def forward(self, running: Running[int], tape: int, room: int, at: Mapping[str, int]) -> None:
        """Run over all steps.

        tape: where [rows, tape_row] numbers are written; room: forward_room numbers. at: where x
        and y are, the vectors one after the other, and those of W, R and P that there are.
        """
        words = self._forward[:]
        self._place(words, running, tape, at)
        self._divide(words, _ROOM, room, self._forward_room)
        self._scan.forward(words.buffer_info()[0])

    def forward_each(
        self, running: Running[Whole], tape: Whole, room: int, at: Mapping[str, Words]
    ) -> None:
        """Run the scans of several models one after the other; see forward.

        What is told of each is one number for all, or [K]. All work in the same room.
        """
        words = self._words(self._forward, running)
        self._place(words, running, tape, at)
        self._divide(words, _ROOM, room, self._forward_room)
        self._call_each("forward", words)

    def backward(self, running: Running[int], tape: int, room: int, at: Mapping[str, int]) -> None:
        """Run over all steps, the last one first, and add to the gradients.

        tape: as forward left it, and used up; room: backward_room numbers. at: what forward was
        told, and dy; where to add to: dvectors, and dW, dR and dP with the lengths of their rows,
        dW_row and so on: rows have to have room for whole vectors. dx and dx_row likewise where
        wants_dx is 1 or this writes_dx; what dx was before means nothing.
        """
        words = self._backward[:]
        self._place(words, running, tape, at)
        self._divide(words, _ROOM_BACKWARD, room, self._behind(running.batch))
        self._scan.backward(words.buffer_info()[0])

    def backward_each(
        self, running: Running[Whole], tape: Whole, room: int, at: Mapping[str, Words]
    ) -> None:
        """Run the scans of several models backwards, one after the other; see backward."""
        words = self._words(self._backward, running)
        self._place(words, running, tape, at)
        self._divide(words, _ROOM_BACKWARD, room, self._behind(running.batch))
        self._call_each("backward", words)

    @staticmethod
    def _words(known: "array[int]", running: Running[Whole]) -> Whole:
        """Return the words of several models, [words, K]."""
        return np.repeat(np.array(known)[:, None], len(running.rows), axis=1)

    def _call_each(self, name: str, words: Whole) -> None:
        each = np.ascontiguousarray(words.T)
        models, apart = len(each), each.strides[0]
        self._each(self._scan.addresses[name], each.ctypes.data, models, apart)

    def _place(
        self,
        words: Any,
        running: Running[Word],
        tape: Word,
        at: Mapping[str, Words],
    ) -> None:
        """Tell what is told of one model, in an array of words, or of several, in [words, K]."""
        words[_T], words[_B] = running.steps, running.batch
        words[_OFF], words[_N] = running.offsets, running.counts
        words[_TAPE] = tape
        words[_ROW_VALUES] = tape + running.rows * (self._tape_row * self._bytes)
        for name, word in at.items():
            words[_AT[name]] = word

    def _divide(
        self,
        words: Any,
        places: Sequence[int],
        room: int,
        sizes: Sequence[int],
    ) -> None:
        """Tell where the parts of the room begin, given their sizes."""
        for place, size in zip(places, sizes, strict=True):
            words[place] = room
            room += size * self._bytes


@functools.lru_cache(maxsize=256)
def _program(scan: Scan, inputs: int, hidden: int) -> Program:
    return Program(scan, inputs, hidden)


def program(variant: Variant, double: bool, inputs: int, hidden: int) -> Program:
    """Return a variant's compiled scan for layers of one size."""
    return _program(compiled(variant, double), inputs, hidden)
