"""The layers of several models at once, between their inputs and their readouts.

Shapes are suffixes: N rows of all models, K models, B sequences a model, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainables import engine
from trainables.cells.noise import Dropout, Noise
from trainables.engine.room import Room
from trainables.engine.rows import Rows
from trainables.layers.cohort_layer import CohortLayer, Trace
from trainables.layers.layer import Layer
from trainables.layers.model import Recurrent
from trainables.training.trainer import Training


@dataclass
class _Mask:
    """What a layer drops of its outputs: drawn for each model's padded batch as it is alone."""

    dropouts: list[Dropout]
    levels: list[NDArray[np.uint16] | None]  #: of each model, None for one that drops nothing

    @classmethod
    def drawn(cls, rows: Rows, noises: Sequence[Noise], width: int) -> "_Mask | None":
        dropouts = [noise.outputs for noise in noises]
        if not any(dropout.active for dropout in dropouts):
            return None
        levels = [
            dropout.levels(steps * rows.batch * width) if dropout.active else None
            for dropout, steps in zip(dropouts, rows.steps.tolist(), strict=True)
        ]
        return cls(dropouts, levels)

    def on(self, value: Tensor, out: Tensor, some: "_Some") -> Tensor:
        """Write the value, some rows of all models, masked and scaled, to out and return it."""
        for model, part in some.parts:
            dropout, levels = self.dropouts[model], self.levels[model]
            if levels is None:
                out[part] = value[part]
            else:
                places = some.places[part]
                engine.drop(out[part], value[part], levels, places, dropout.last, dropout.scale)
        return out


@dataclass
class _Some:
    """All rows, or those that a readout reads where it reads once a sequence."""

    index: Tensor | None  #: which they are; None for all
    places: Tensor  #: of each in its model's padded batch
    parts: list[tuple[int, slice]]  #: models, and where they have rows among these

    @classmethod
    def all(cls, rows: Rows) -> "_Some":
        return cls(None, rows.padded, list(enumerate(rows.slices())))

    @classmethod
    def read(cls, rows: Rows, both: bool) -> "_Some":
        """Return the last steps' rows, of all models; with both, the first steps' behind them."""
        ends = [rows.last.flatten(), rows.first.flatten()] if both else [rows.last.flatten()]
        index, batch = torch.cat(ends), rows.batch
        parts = [
            (at % rows.models, slice(at * batch, (at + 1) * batch))
            for at in range(len(ends) * rows.models)
        ]
        return cls(index, rows.padded.index_select(0, index), parts)

    def of(self, value: Tensor) -> Tensor:
        """Return these rows of all."""
        return value if self.index is None else value.index_select(0, self.index)

    def back(self, d: Tensor, count: int) -> Tensor:
        """Return the gradient of all rows, so many, from that of these."""
        if self.index is None:
            return d
        return d.new_zeros(count, d.shape[1]).index_add_(0, self.index, d)


@dataclass
class Run:
    """A forward pass of all layers, and what its backward pass needs."""

    rows: Rows
    who: list[int]
    read: list[Tensor]  #: what each model's readout reads, in memory of its own as it is alone
    projected: list[Tensor]
    traces: list[list[Trace]]
    masks: list[_Mask | None]
    needed: list[_Some]  #: of each layer
    skips: list[bool]  #: whether a layer's input was added to its output


class CohortLayers:
    """All members' layers, run without autograd. What a run returns is good until the next run."""

    def __init__(self, members: Sequence[Training]) -> None:
        self._members = members
        first = members[0].model
        self._info, self._residual = members[0].data.info, members[0].config.residual
        self._both = first.bidirectional
        self._dtype = first.readout.weight.dtype
        self._room = Room(self._dtype)
        self._layers: list[list[CohortLayer]] = []
        for depth in range(len(first.layers)):
            recurrent = [_recurrent(member, depth) for member in members]
            layers = [CohortLayer([layer.forwards for layer in recurrent], self._room)]
            if first.bidirectional:
                layers.append(CohortLayer([_backwards(layer) for layer in recurrent], self._room))
            self._layers.append(layers)

    def run(self, rows: Rows, who: list[int], x: Tensor, noises: Sequence[Noise] = ()) -> Run:
        """Run the layers of the members in `who`, one for each model; x: the inputs' rows."""
        run = Run(rows, who, [], [], [], [], [], [])
        models = np.array(who)
        if not x.is_floating_point():
            x = functional.one_hot(x, self._info.inputs)
        x = x.to(self._dtype)
        if self._members[0].model.project is not None:
            x = self._project(run, x)
        for depth, layers in enumerate(self._layers):
            traces = []
            for layer, backwards in zip(layers, (False, True), strict=False):
                read = x.index_select(0, rows.reversed) if backwards else x
                seen = _seen(rows, read, layer.variant.window)
                traces.append(layer.forward(rows, models, seen, noises))
            y = traces[0].y
            if len(traces) == 2:
                y = torch.cat([y, traces[1].y.index_select(0, rows.reversed)], dim=1)
            some, skip = self._needed(rows, depth), self._residual and x.shape == y.shape
            mask = _Mask.drawn(rows, noises, y.shape[1])
            y = some.of(y)
            if mask is not None:
                y = mask.on(y, self._room.take((depth, "masked"), *y.shape), some)
            x = some.of(x) + y if skip else y
            run.traces.append(traces)
            run.masks.append(mask)
            run.needed.append(some)
            run.skips.append(skip)
        run.read = self._read(rows, x)
        return run

    def back(self, run: Run, gradients: list[Tensor]) -> None:
        """Add the gradients of all parameters before the readout, given those of what was read.

        Where more than two terms meet they are added in autograd's order: the one that was
        computed from last comes first.
        """
        rows, models, d = run.rows, np.array(run.who), self._unread(run.rows, gradients)
        for depth in range(len(self._layers) - 1, -1, -1):
            layers, mask, some = self._layers[depth], run.masks[depth], run.needed[depth]
            terms = [some.back(d, len(rows))] if run.skips[depth] else []
            if mask is not None:
                d = mask.on(d, self._room.take("d", *d.shape), some)
            d = some.back(d, len(rows))
            wants_dx = depth > 0 or bool(run.projected)
            width = layers[0].width
            for direction in range(len(layers) - 1, -1, -1):
                layer, trace = layers[direction], run.traces[depth][direction]
                dy = d[:, direction * width : (direction + 1) * width]
                if direction:
                    dy = dy.index_select(0, rows.reversed)
                dx = layer.backward(rows, models, trace, dy, wants_dx=wants_dx)
                if dx is None or not wants_dx:
                    continue
                parts = _unseen(rows, dx, layer.variant.window)
                terms += [_total(parts).index_select(0, rows.reversed)] if direction else parts
            if wants_dx:
                d = _total(terms)
        if run.projected:
            torch.autograd.backward(run.projected, rows.pad(d))

    def _needed(self, rows: Rows, depth: int) -> _Some:
        """Return the rows of a layer's outputs that anybody reads."""
        if self._info.causal or depth < len(self._layers) - 1:
            return _Some.all(rows)
        return _Some.read(rows, self._both)

    def _read(self, rows: Rows, features: Tensor) -> list[Tensor]:
        """Return what each model's readout reads of the last layer's needed rows."""
        if self._info.causal:
            return rows.pad(features)
        if self._both:
            last, first = features.chunk(2)
            half = features.shape[1] // 2
            features = torch.cat([last[:, :half], first[:, half:]], dim=1)
        return [part.clone() for part in features.chunk(rows.models)]

    def _unread(self, rows: Rows, gradients: list[Tensor]) -> Tensor:
        """Return the gradient of the last layer's needed rows."""
        if self._info.causal:
            return rows.unpad(gradients)
        d = torch.cat(gradients)
        if not self._both:
            return d
        half = d.shape[1] // 2
        last, first = torch.zeros_like(d), torch.zeros_like(d)
        last[:, :half], first[:, half:] = d[:, :half], d[:, half:]
        return torch.cat([last, first])

    def _project(self, run: Run, x: Tensor) -> Tensor:
        """Return every member's input projection, made of its padded batch as it is alone."""
        for i, padded in zip(run.who, run.rows.pad(x), strict=True):
            project = self._members[i].model.project
            assert project is not None
            run.projected.append(project(padded))
        return run.rows.unpad([projected.detach() for projected in run.projected])


def _recurrent(member: Training, depth: int) -> Recurrent:
    layer = member.model.layers[depth]
    assert isinstance(layer, Recurrent)
    return layer


def _backwards(layer: Recurrent) -> Layer:
    assert layer.backwards is not None
    return layer.backwards


def _total(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _seen(rows: Rows, x: Tensor, window: int) -> Tensor:
    """Return what input matrices multiply: the input, and what came before it."""
    parts = [x]
    for back in range(1, window):
        here, there = rows.earlier(back)
        parts.append(torch.zeros_like(x).index_copy_(0, here, x.index_select(0, there)))
    return torch.cat(parts, dim=1) if window > 1 else x


def _unseen(rows: Rows, d: Tensor, window: int) -> list[Tensor]:
    """Return the terms of the input's gradient, the furthest back first."""
    width = d.shape[1] // window
    terms = []
    for back in range(window - 1, 0, -1):
        here, there = rows.earlier(back)
        part = d[:, back * width : (back + 1) * width]
        zeros = d.new_zeros(len(d), width)
        terms.append(zeros.index_copy_(0, there, part.index_select(0, here)))
    return [*terms, d[:, :width]]
