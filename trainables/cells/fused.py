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

from trainables.cells import engine
from trainables.cells.dropout import Noise
from trainables.cells.layer import Layer
from trainables.cells.zoneout import zoned
from trainables.room import Room
from trainables.rows import Rows

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


class FusedLayer:
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
        #: Where each layer's parameters and their gradients are.
        self._values: list[dict[str, int]] = [{} for _ in layers]
        self._gradients: list[dict[str, int]] = [{} for _ in layers]
        for found, gradient, d in ((self._values, False, ""), (self._gradients, True, "d")):
            for name in matrices:
                for at, address in zip(found, _addresses(layers, name, gradient), strict=True):
                    at[d + name] = address
            for at, address in zip(found, _joined(layers, vectors, gradient), strict=True):
                at[d + "vectors"] = address
        for at in self._gradients:
            at.update({f"d{name}_row": row for name, (_, row) in self._shapes.items()})
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
        places = self._places(rows, who, trace)
        tapes = self._at(tape, rows)
        for running, place, at in zip(rows.running, tapes, places, strict=True):
            program.forward(running, place, works, **at)
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
        width = len(self.variant.zones) * self.hidden
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
        places = self._places(rows, who, trace)
        if not dy.is_contiguous():
            dy = room.take("dy", *dy.shape).copy_(dy)
        dx, narrow = None, self._zeros(rows.models)
        if wants_dx or program.writes_dx:
            dx = room.take((self, "dx"), len(rows), program.up(trace.x.shape[1])).zero_()
            for at, place in zip(places, self._at(dx, rows), strict=True):
                at |= {"dx": place, "dx_row": dx.shape[1], "wants_dx": int(wants_dx)}
        for at, model, place in zip(places, who.tolist(), self._at(dy, rows), strict=True):
            at |= self._gradients[model]
            at["dy"] = place
        for name, zeros in narrow.items():
            for at, room_for_it in zip(places, zeros, strict=True):
                at |= {f"d{name}": room_for_it.data_ptr(), f"d{name}_row": zeros.shape[2]}
        needed = max(program.backward_room(running) for running in rows.running)
        works = room.take("works", 1, needed).data_ptr()
        for running, place, at in zip(
            rows.running, self._at(trace.tape, rows), places, strict=True
        ):
            program.backward(running, place, works, **at)
        for name, zeros in narrow.items():
            found = zeros[:, :, : self._shapes[name][1]]
            for model, gradient in zip(who.tolist(), found, strict=True):
                self._narrow[name][model].add_(gradient)
        for model, mask in zip(who.tolist(), trace.masks, strict=False):
            if mask is not None:
                _gradient(self._layers[model], "R").mul_(mask)
        return dx[:, : trace.x.shape[1]] if dx is not None and wants_dx else None

    def _places(self, rows: Rows, who: Whole, trace: Trace) -> list[dict[str, int]]:
        """Return for each model where its values and parameters are."""
        places = []
        at_x, at_y = self._at(trace.x, rows), self._at(trace.y, rows)
        for model, x, y in zip(who.tolist(), at_x, at_y, strict=True):
            places.append({"x": x, "y": y, **self._values[model]})
        for place, R in zip(places, trace.dropped, strict=False):
            place["R"] = R.data_ptr()
        if trace.keep is not None:
            each = len(trace.keep) == len(rows)
            first = [trace.keep.data_ptr()] * len(places)
            at_keep = self._at(trace.keep, rows) if each else first
            for place, keep in zip(places, at_keep, strict=True):
                place |= {"keep": keep, "keep_row": trace.keep.shape[1] if each else 0}
        return places

    def _zeros(self, models: int) -> dict[str, Tensor]:
        """Return [K, height, whole vectors] for the gradients of narrow matrices."""
        found = {}
        for name in self._narrow:
            height, row = self._shapes[name]
            shape = models, height, self._program.up(row)
            found[name] = torch.zeros(shape, dtype=self._program.dtype)
        return found

    def _at(self, tensor: Tensor, rows: Rows) -> list[int]:
        """Return where each model's rows begin."""
        addresses: list[int] = (
            tensor.data_ptr() + rows.starts * (tensor.shape[1] * self._bytes)
        ).tolist()
        return addresses


def _gradient(layer: Layer, name: str) -> Tensor:
    gradient = layer.get_parameter(name).grad
    assert gradient is not None
    return gradient


def _addresses(layers: Sequence[Layer], name: str, gradient: bool) -> list[int]:
    """Return where a parameter, or its gradient, is in each layer."""
    found = [_gradient(layer, name) if gradient else layer.get_parameter(name) for layer in layers]
    return [tensor.data_ptr() for tensor in found]


def _joined(layers: Sequence[Layer], names: Sequence[str], gradient: bool) -> list[int]:
    """Return where parameters begin that stand one after the other, as those of a training do."""
    if not names:
        return [0] * len(layers)
    first = at = _addresses(layers, names[0], gradient)
    for name in names:
        assert _addresses(layers, name, gradient) == at
        parameter = layers[0].get_parameter(name)
        at = [address + parameter.numel() * parameter.element_size() for address in at]
    return first
