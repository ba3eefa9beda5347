"""One layer of several models at once, on the compiled scan.

Every model's scan is a call of the same compiled functions that run it alone, with the model's own
weights and rows; nothing is added up across models, so that each gets the very bits that it gets
alone. What is saved is all that surrounds the calls: it is done once for all models.

Gradients are added in place to those of the layers' parameters, which must be zeros before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.cells.dropout import Noise
from trainables.cells.engine import run as engine
from trainables.cells.engine.compile import compiled
from trainables.cells.engine.product import ACCUMULATED, WIDEST
from trainables.cells.engine.trace import Node
from trainables.cells.layer import Layer
from trainables.room import Room
from trainables.rows import Rows

Whole = NDArray[np.int64]
_MATRICES = ("W", "R", "P")


@dataclass(frozen=True)
class Trace:
    """What the backward pass of a layer needs of its forward pass."""

    x: Tensor  #: [N, I]
    y: Tensor  #: [N, P]
    tape: Tensor  #: [N, the scan's own]
    #: Factors 0 or 1 / keep of each model's R, None for one that drops no weights.
    masks: Sequence[Tensor | None] = ()
    dropped: Sequence[Tensor] = ()  #: each model's R with its mask on it


class FusedLayer:
    """Layers of one shape, one of each model, whose gradients exist."""

    def __init__(self, layers: Sequence[Layer], room: Room) -> None:
        first = layers[0]
        self.variant, self.hidden = first.variant, first.hidden
        self.inputs = self.variant.window * first.inputs
        self.width = self.variant.width(self.hidden)
        like = next(first.parameters())
        self._bytes = like.element_size()
        self._room = room
        scan = compiled(self.variant, like.dtype == torch.float64)
        self._program = engine._program(scan, self.inputs, self.hidden)
        program, plan = self._program, self._program.plan
        names = [name for name in ("b", *self.variant.vectors) if _has(first, name)]
        self._vectors = _joined(layers, names, gradient=False)
        self._vector_gradients = _joined(layers, names, gradient=True)
        self._weights = {name: _addresses(layers, name, gradient=False) for name in _MATRICES}
        self._layers = layers
        self._gradients = {name: _addresses(layers, name, gradient=True) for name in _MATRICES}
        self._shapes = {
            name: tuple(first.get_parameter(name).shape) for name in _MATRICES if _has(first, name)
        }
        #: Gradients of matrices whose rows are no whole vectors: compiled code writes beyond them.
        self._roomy = {
            name: [_gradient(layer, name) for layer in layers]
            for name, (_, columns) in self._shapes.items()
            if columns % program.lanes
        }
        self._panels = max(program.forward_panels, program.backward_panels)
        self._tmp = max(program.forward_tmp, program.backward_tmp)
        highest = max(ACCUMULATED, *(height for height, _ in self._shapes.values()), 0)
        self._panel = highest * program._up(max(self.inputs, self.hidden))
        self._fields, self._across = max(1, len(plan.fields)), len(plan.across)

    def forward(self, rows: Rows, who: Whole, x: Tensor, noises: Sequence[Noise] = ()) -> Trace:
        """Run the layers of the models in `who` over their rows; x [N, I], noises one a model."""
        y = self._room.take((self, "y"), len(rows), self.width)
        tape = self._room.take((self, "tape"), len(rows), self._program.tape_row)
        trace = Trace(x, y, tape, *self._drop_weights(who, noises))
        words = self._words(self._program._forward, rows, who, trace)
        words.call(self._program.scan.forward)
        return trace

    def _drop_weights(
        self, who: Whole, noises: Sequence[Noise]
    ) -> tuple[list[Tensor | None], list[Tensor]]:
        """Return masks for the models' recurrent matrices, and the matrices with them on."""
        masks: list[Tensor | None] = []
        dropped = []
        if "R" in self._shapes and any(noise.weights.active for noise in noises):
            for model, noise in zip(who.tolist(), noises, strict=True):
                R = self._layers[model].get_parameter("R").detach()
                mask = noise.weights.mask(R) if noise.weights.active else None
                masks.append(mask)
                dropped.append(R if mask is None else R * mask)
        return masks, dropped

    def backward(
        self, rows: Rows, who: Whole, trace: Trace, dy: Tensor, *, wants_dx: bool
    ) -> Tensor | None:
        """Add the gradients of the parameters; return that of the input where it is wanted."""
        program, room = self._program, self._room
        D = room.take("D", len(rows), program.D_row)
        carry = room.take("carry", rows.models, self._fields * rows.batch * self.hidden).zero_()
        across = room.take("across", self._across, rows.batch * self.hidden)
        dx = None
        if wants_dx or program.plan.backward.input is not None:
            dx = room.take((self, "dx"), len(rows), program._up(self.inputs)).zero_()
        words = self._words(program._backward, rows, who, trace)
        if not dy.is_contiguous():
            dy = room.take("dy", *dy.shape).copy_(dy)
        words.by_row(dy=dy, D=D)
        words.give(carry=_each(carry), across=across, dvectors=self._vector_gradients[who])
        if dx is not None:
            words.by_row(dx=dx)
            words.give(dx_row=dx.shape[1])
        words.call(program.scan.backward)
        self._whole(rows, who, trace, D, dx if wants_dx else None)
        for model, mask in zip(who.tolist(), trace.masks, strict=False):
            if mask is not None:
                _gradient(self._layers[model], "R").mul_(mask)
        return dx[:, : self.inputs] if dx is not None and wants_dx else None

    def _words(
        self,
        template: tuple[list[int], dict[str, int]],
        rows: Rows,
        who: Whole,
        trace: Trace,
    ) -> "_Words":
        words = _Words(template, rows)
        words.give(
            T=rows.steps,
            B=rows.batch,
            off=_each(rows.offsets),
            n=_each(rows.counts),
            initial=self._program.initial,
            panels=self._room.take("panels", 1, self._panels),
            tmp=self._room.take("tmp", 1, self._tmp),
            vectors=self._vectors[who],
            W=self._weights["W"][who],
            R=_each_of(trace.dropped) if trace.dropped else self._weights["R"][who],
            P_matrix=self._weights["P"][who],
        )
        words.by_row(x=trace.x, y=trace.y, tape=trace.tape)
        return words

    def _whole(self, rows: Rows, who: Whole, trace: Trace, D: Tensor, dx: Tensor | None) -> None:
        """Make the gradients of matrices and inputs, one product each for each model."""
        program = self._program
        accumulate, apply = program._accumulate, program._apply
        panel = self._room.take("panel", 1, self._panel).data_ptr()
        to = {name: self._gradients[name][who] for name in self._shapes}
        row_of = {name: columns for name, (_, columns) in self._shapes.items()}
        rooms = {}
        for name in self._roomy:
            height, columns = self._shapes[name]
            rooms[name] = D.new_zeros(rows.models, height, program._up(columns))
            to[name], row_of[name] = _each(rooms[name]), rooms[name].shape[2]
        before: Node | None = None
        for source, whole, part in program.wholes:
            if source is not before:
                values, X, width, first = self._values(rows, trace, source)
                X_row, counts = values.shape[1], (rows.sizes - first).tolist()
                group, before = engine._even(WIDEST, -(-width // program.lanes)), source
            start = part.start
            height = min(part.stop, self._shapes[whole.matrix][0]) - start
            row = row_of[whole.matrix]
            C = to[whole.matrix] + start * row * self._bytes
            A = self._rows_at(D, whole.first * self.hidden, rows.starts + first)
            each = zip(C.tolist(), A.tolist(), X.tolist(), counts, strict=True)
            for c, a, x, count in each:
                accumulate(c, row, a, D.shape[1], x, X_row, count, height, width, group, panel)
            if dx is None or source.word != "input":
                continue
            C = self._rows_at(dx, 0, rows.starts)
            M = self._weights["W"][who] + start * width * self._bytes
            each = zip(C.tolist(), A.tolist(), M.tolist(), counts, strict=True)
            for c, a, m, count in each:
                apply(c, dx.shape[1], a, D.shape[1], m, width, count, height, width, group, panel)
        for name, room in rooms.items():
            columns = self._shapes[name][1]
            for model, found in zip(who.tolist(), room, strict=True):
                self._roomy[name][model].add_(found[:, :columns])

    def _values(self, rows: Rows, trace: Trace, source: Node) -> tuple[Tensor, Whole, int, int]:
        """Return what a source was: the tensor, each model's address in it, width, first row."""
        if source.word == "input":
            return trace.x, self._rows_at(trace.x, 0, rows.starts), self.inputs, 0
        tape, plan = trace.tape, self._program.plan
        if source.word != "state":
            column = plan.tape[source] * self.hidden
            return tape, self._rows_at(tape, column, rows.starts), self.hidden, 0
        after = trace.y
        if source.name != self.variant.output:
            column = plan.field_slots[source.name] * self.hidden
            after = tape[:, column : column + self.hidden]
        previous = rows.previous  # no rows for first steps: there it was zero
        before = self._room.take("before", len(previous), after.shape[1])
        torch.index_select(after, 0, previous, out=before)
        starts = rows.starts - rows.batch * np.arange(rows.models)
        return before, self._rows_at(before, 0, starts), before.shape[1], rows.batch

    def _rows_at(self, tensor: Tensor, column: int, rows: Whole) -> Whole:
        return tensor.data_ptr() + (rows * tensor.shape[1] + column) * self._bytes


class _Words:
    """What a compiled function is called with: an array of 64-bit words for each model."""

    def __init__(self, template: tuple[list[int], dict[str, int]], rows: Rows) -> None:
        words, self._at = template
        self._starts = rows.starts
        self._words = np.tile(np.array(words, np.int64), (rows.models, 1))

    def give(self, **words: int | Whole | Tensor) -> None:
        """Set words by name: one for all models or one for each, or a tensor's address."""
        for name, word in words.items():
            self._words[:, self._at[name]] = word.data_ptr() if isinstance(word, Tensor) else word

    def by_row(self, **tensors: Tensor) -> None:
        """Set addresses: where each model's rows begin."""
        for name, tensor in tensors.items():
            row = tensor.shape[1] * tensor.element_size()
            self._words[:, self._at[name]] = tensor.data_ptr() + self._starts * row

    def call(self, function: Callable[[int], None]) -> None:
        """Call a compiled function for one model after the other."""
        start, step = self._words.ctypes.data, self._words.strides[0]
        for model in range(len(self._words)):
            function(start + model * step)


def _has(layer: Layer, name: str) -> bool:
    return getattr(layer, name, None) is not None


def _gradient(layer: Layer, name: str) -> Tensor:
    gradient = layer.get_parameter(name).grad
    assert gradient is not None
    return gradient


def _each(stacked: Tensor | Whole) -> Whole:
    """Return the addresses of a stack's parts."""
    if isinstance(stacked, Tensor):
        start, step = stacked.data_ptr(), stacked.stride(0) * stacked.element_size()
    else:
        start, step = stacked.ctypes.data, stacked.strides[0]
    return start + step * np.arange(len(stacked))


def _each_of(tensors: Sequence[Tensor]) -> Whole:
    """Return the addresses of tensors."""
    return np.array([tensor.data_ptr() for tensor in tensors], np.int64)


def _addresses(layers: Sequence[Layer], name: str, *, gradient: bool) -> Whole:
    """Return where a parameter, or its gradient, is in each layer; 0 where there is none."""
    if not _has(layers[0], name):
        return np.zeros(len(layers), np.int64)
    found = [_gradient(layer, name) if gradient else layer.get_parameter(name) for layer in layers]
    return _each_of(found)


def _joined(layers: Sequence[Layer], names: list[str], *, gradient: bool) -> Whole:
    """Return where parameters begin that stand one after the other, as those of a training do."""
    if not names:
        return np.zeros(len(layers), np.int64)
    found = _addresses(layers, names[0], gradient=gradient)
    at = found
    for name in names:
        assert (_addresses(layers, name, gradient=gradient) == at).all()
        parameter = layers[0].get_parameter(name)
        at = at + parameter.numel() * parameter.element_size()
    return found
