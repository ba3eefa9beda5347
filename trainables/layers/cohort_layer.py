"""One layer of several models at once, on the compiled scan.

Every model's scan is a call of the same compiled functions that run it alone, with the model's own
weights and rows; nothing is added up across models, so that each gets the very bits that it gets
alone. What is saved is all that surrounds the calls: it is done once for all models.

Gradients are added in place to those of the layers' parameters, which must be zeros before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import engine, torch_compat
from trainables.cells.noise import Noise
from trainables.cells.zoneout import zoned
from trainables.engine import Words
from trainables.engine.room import Room
from trainables.engine.rows import Rows
from trainables.layers.layer import Layer

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """What the backward pass of a layer needs of its forward pass."""

    x: Tensor  #: [N, I]
    y: Tensor  #: [N, P]
    tape: Tensor  #: [N, the scan's own]
    #: Factors 0 or 1 / keep of each model's R, None for one that drops no weights.
    masks: Sequence[Tensor | None] = ()
    dropped: Sequence[Tensor] = ()  #: each model's R with its mask on it
    keep: Tensor | None = None  #: what zoneout keeps, [N, F] or the same for all rows, [1, F]


class CohortLayer:
    """Layers of one shape, one of each model, whose gradients exist."""

    def __init__(self, layers: Sequence[Layer], room: Room) -> None:
        first = layers[0]
        self.variant, self.hidden, self._zoneout = first.variant, first.hidden, first.zoneout
        if self._zoneout:
            self.variant = zoned(self.variant)
        self.width = self.variant.width(self.hidden)
        inputs = self.variant.window * first.inputs
        like = next(first.parameters())
        self._bytes = like.element_size()
        self._layers, self._room = layers, room
        double = like.dtype == torch.float64
        self._program = engine.program(self.variant, double, inputs, self.hidden)
        matrices, vectors = self._program.matrices, self._program.vectors
        self._shapes = {name: tuple(first.get_parameter(name).shape) for name in matrices}
        #: Where the parameters and their gradients are, [K] by name.
        self._values = {name: _addresses(layers, name, False) for name in matrices}
        self._gradients = {f"d{name}": _addresses(layers, name, True) for name in matrices}
        self._values["vectors"] = _joined(layers, vectors, False)
        self._gradients["dvectors"] = _joined(layers, vectors, True)
        self._rows = {f"d{name}_row": row for name, (_, row) in self._shapes.items()}
        #: Gradients of matrices whose rows are no whole vectors: they have no room for these.
        self._narrow = {
            name: [_gradient(layer, name) for layer in layers]
            for name, (_, row) in self._shapes.items()
            if self._program.up(row) > row
        }

    def forward(self, rows: Rows, who: Whole, x: Tensor, noises: Sequence[Noise] = ()) -> Trace:
        """Run the layers of the models in `who` over their rows; x [N, I], noises one a model."""
        program = self._program
        y = self._room.take((self, "y"), len(rows), self.width)
        tape = self._room.take((self, "tape"), len(rows), program.tape_row)
        trace = Trace(x, y, tape, *self._drop_weights(who, noises), self._keep(rows, noises))
        works = self._room.take("works", 1, program.forward_room).data_ptr()
        at = self._places(rows, who, trace)
        program.forward_each(rows.running, self._at(tape, rows), works, at)
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

    def _keep(self, rows: Rows, noises: Sequence[Noise]) -> Tensor | None:
        """Return what zoneout keeps, drawn for each model's padded batch as it is alone."""
        if not self._zoneout:
            return None
        width = len(self.variant.zoneout_fields) * self.hidden
        if not noises:
            return torch.full((1, width), self._zoneout, dtype=self._program.dtype)
        keep = self._room.take((self, "keep"), len(rows), width)
        steps = rows.steps.tolist()
        for noise, part, longest in zip(noises, rows.slices(), steps, strict=True):
            kept = noise.updates.kept((longest * rows.batch, width))
            keep[part] = kept.index_select(0, rows.padded[part]).logical_not_()
        return keep

    def backward(
        self, rows: Rows, who: Whole, trace: Trace, dy: Tensor, *, wants_dx: bool
    ) -> Tensor | None:
        """Add the gradients of the parameters; return that of the input where it is wanted."""
        program, room = self._program, self._room
        if not dy.is_contiguous():
            dy = room.take("dy", *dy.shape).copy_(dy)
        at = self._places(rows, who, trace)
        at |= {name: addresses[who] for name, addresses in self._gradients.items()}
        at |= {"dy": self._at(dy, rows), **self._rows}
        dx, narrow = None, self._zeros(rows.models)
        if wants_dx or program.writes_dx:
            dx = room.take((self, "dx"), len(rows), program.up(trace.x.shape[1]))
            at |= {"dx": self._at(dx, rows), "dx_row": dx.shape[1], "wants_dx": int(wants_dx)}
        for name, zeros in narrow.items():
            apart = zeros.stride(0) * self._bytes
            at[f"d{name}"] = zeros.data_ptr() + apart * np.arange(rows.models)
            at[f"d{name}_row"] = zeros.shape[2]
        works = room.take("works", 1, program.backward_room(rows.batch)).data_ptr()
        program.backward_each(rows.running, self._at(trace.tape, rows), works, at)
        for name, zeros in narrow.items():
            gradients = [self._narrow[name][model] for model in who.tolist()]
            torch_compat.add(gradients, list(zeros[:, :, : self._shapes[name][1]]))
        for model, mask in zip(who.tolist(), trace.masks, strict=False):
            if mask is not None:
                _gradient(self._layers[model], "R").mul_(mask)
        return dx[:, : trace.x.shape[1]] if dx is not None and wants_dx else None

    def _places(self, rows: Rows, who: Whole, trace: Trace) -> dict[str, Words]:
        """Return where the models' values and parameters are."""
        at: dict[str, Words] = {name: addresses[who] for name, addresses in self._values.items()}
        at |= {"x": self._at(trace.x, rows), "y": self._at(trace.y, rows)}
        if trace.dropped:
            at["R"] = np.array([R.data_ptr() for R in trace.dropped])
        if trace.keep is not None:
            each = len(trace.keep) == len(rows)
            at["keep"] = self._at(trace.keep, rows) if each else trace.keep.data_ptr()
            at["keep_row"] = trace.keep.shape[1] if each else 0
        return at

    def _zeros(self, models: int) -> dict[str, Tensor]:
        """Return [K, height, whole vectors] for the gradients of narrow matrices."""
        found = {}
        for name in self._narrow:
            height, row = self._shapes[name]
            shape = models, height, self._program.up(row)
            found[name] = torch.zeros(shape, dtype=self._program.dtype)
        return found

    def _at(self, tensor: Tensor, rows: Rows) -> Whole:
        """Return where each model's rows begin."""
        found: Whole = tensor.data_ptr() + rows.starts * (tensor.shape[1] * self._bytes)
        return found


def _gradient(layer: Layer, name: str) -> Tensor:
    gradient = layer.get_parameter(name).grad
    assert gradient is not None
    return gradient


def _addresses(layers: Sequence[Layer], name: str, gradient: bool) -> Whole:
    """Return where a parameter, or its gradient, is in each layer."""
    found = [_gradient(layer, name) if gradient else layer.get_parameter(name) for layer in layers]
    return np.array([tensor.data_ptr() for tensor in found])


def _joined(layers: Sequence[Layer], names: Sequence[str], gradient: bool) -> Whole:
    """Return where parameters begin that stand one after the other, as those of a training do."""
    if not names:
        return np.zeros(len(layers), np.int64)
    first = at = _addresses(layers, names[0], gradient)
    for name in names:
        assert np.array_equal(_addresses(layers, name, gradient), at)
        parameter = layers[0].get_parameter(name)
        at = at + parameter.numel() * parameter.element_size()
    return first
