"""The layers of several models at once, between their inputs and their readouts.

Shapes are suffixes: N rows of all models, K models, B sequences a model, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import engine
from trainables.cells.noise import Dropout, Noise
from trainables.engine.rows import Rows
from trainables.engine.workspace import Workspace
from trainables.layers.cohort_layer import CohortLayer, SavedActivations
from trainables.layers.layer import Layer
from trainables.layers.model import Model, Recurrent, join_ends
from trainables.layers.told import together


@dataclass(frozen=True)
class _Subset:
    """The rows of a layer's outputs that somebody reads: all, or those at the sequences' ends."""

    index: Tensor | None  #: which of all rows; None for all
    places: Tensor  #: of each in its model's padded batch
    parts: list[tuple[int, slice]]  #: models, and where they have rows among these

    @classmethod
    def all(cls, rows: Rows) -> "_Subset":
        return cls(None, rows.padded, list(enumerate(rows.slices())))

    @classmethod
    def ends(cls, rows: Rows, both: bool) -> "_Subset":
        """Return the last steps' rows, of all models; with both, the first steps' behind them."""
        ends = [rows.last.flatten(), rows.first.flatten()] if both else [rows.last.flatten()]
        index, batch = torch.cat(ends), rows.batch
        parts = [
            (at % rows.models, slice(at * batch, (at + 1) * batch))
            for at in range(len(ends) * rows.models)
        ]
        return cls(index, rows.padded.index_select(0, index), parts)

    def select(self, value: Tensor) -> Tensor:
        """Return these rows of all."""
        return value if self.index is None else value.index_select(0, self.index)

    def select_backward(self, d: Tensor, count: int) -> Tensor:
        """Return the gradient of all `count` rows, given that of these."""
        if self.index is None:
            return d
        return d.new_zeros(count, d.shape[1]).index_add_(0, self.index, d)


@dataclass(frozen=True)
class _OutputDropout:
    """Dropout of a layer's outputs, drawn for each model's padded batch as it is alone."""

    dropouts: list[Dropout]
    levels: list[NDArray[np.uint16] | None]  #: of each model, None for one that drops nothing

    @classmethod
    def draw(cls, rows: Rows, noises: Sequence[Noise], width: int) -> "_OutputDropout | None":
        dropouts = [noise.outputs for noise in noises]
        if not any(dropout.active for dropout in dropouts):
            return None
        levels = [
            dropout.levels(steps * rows.batch * width) if dropout.active else None
            for dropout, steps in zip(dropouts, rows.steps.tolist(), strict=True)
        ]
        return cls(dropouts, levels)

    def apply(self, value: Tensor, out: Tensor, subset: _Subset) -> Tensor:
        """Write the value of a subset's rows, masked and scaled, to out and return it."""
        for model, part in subset.parts:
            dropout, levels = self.dropouts[model], self.levels[model]
            if levels is None:
                out[part] = value[part]
            else:
                places = subset.places[part]
                engine.drop(out[part], value[part], levels, places, dropout.last, dropout.scale)
        return out


@dataclass
class ForwardPass:
    """What the backward pass of all layers needs of their forward pass."""

    rows: Rows
    active: list[int]  #: the models that take part
    #: What each model's readout reads, in memory of its own as it is alone.
    features: list[Tensor] = field(default_factory=list)
    #: What comes into the first layer, where models have weights before it.
    entered: list[Tensor] = field(default_factory=list)
    saved: list[list[SavedActivations]] = field(default_factory=list)  #: of each layer's directions
    dropouts: list[_OutputDropout | None] = field(default_factory=list)  #: of each layer
    subsets: list[_Subset] = field(default_factory=list)  #: of each layer


class CohortLayers:
    """All models' layers, run without autograd.

    What a forward pass returns is good until the next one: it lies in memory that is used again.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._models, self._first = models, models[0]
        self._both, self._stepwise = self._first.bidirectional, self._first.info.stepwise
        self._workspace = Workspace(self._first.readout.weight.dtype)
        self._layers: list[list[CohortLayer]] = []
        for depth in range(len(self._first.layers)):
            recurrent = [_recurrent(model, depth) for model in models]
            layers = [CohortLayer([layer.forwards for layer in recurrent], self._workspace)]
            if self._both:
                layers.append(
                    CohortLayer([_backwards(layer) for layer in recurrent], self._workspace)
                )
            self._layers.append(layers)

    def forward(
        self, rows: Rows, active: list[int], x: Tensor, noises: Sequence[Noise] = ()
    ) -> ForwardPass:
        """Run the layers of the active models; x: the inputs' rows; noises: one a model."""
        done = ForwardPass(rows, active)
        models = np.array(active)
        x = self._first.encode(x)
        if self._first.enters:
            x = self._enter(done, x)
        x, told = self._first.apart(x)
        for depth, layers in enumerate(self._layers):
            saved = []
            for layer, backwards in zip(layers, (False, True), strict=False):
                read = together(x, told)
                read = read.index_select(0, rows.reversed) if backwards else read
                seen = _windowed(rows, read, layer.variant.window)
                saved.append(layer.forward(rows, models, seen, noises))
            y = saved[0].y
            if len(saved) == 2:
                y = torch.cat([y, saved[1].y.index_select(0, rows.reversed)], dim=1)
            subset = self._subset(rows, depth)
            dropout = _OutputDropout.draw(rows, noises, y.shape[1])
            y = subset.select(y)
            if dropout is not None:
                y = dropout.apply(y, self._workspace.take((depth, "masked"), *y.shape), subset)
            x = subset.select(x) + y if self._first.residual[depth] else y
            done.saved.append(saved)
            done.dropouts.append(dropout)
            done.subsets.append(subset)
        done.features = self._readout_features(rows, x)
        return done

    def backward(self, done: ForwardPass, gradients: list[Tensor]) -> None:
        """Add the gradients of all parameters before the readout, given those of its features.

        Where more than two terms meet they are added in autograd's order: the one that was
        computed from last comes first.
        """
        rows, models = done.rows, np.array(done.active)
        d = self._readout_features_backward(rows, gradients)
        told = self._first.told.width
        for depth in range(len(self._layers) - 1, -1, -1):
            layers, subset = self._layers[depth], done.subsets[depth]
            dropout = done.dropouts[depth]
            residual = self._first.residual[depth]
            terms = [subset.select_backward(d, len(rows))] if residual else []
            if dropout is not None:
                d = dropout.apply(d, self._workspace.take("d", *d.shape), subset)
            d = subset.select_backward(d, len(rows))
            wants_dx = depth > 0 or bool(done.entered)
            width = layers[0].width
            for direction in range(len(layers) - 1, -1, -1):
                layer, activations = layers[direction], done.saved[depth][direction]
                dy = d[:, direction * width : (direction + 1) * width]
                if direction:
                    dy = dy.index_select(0, rows.reversed)
                dx = layer.backward(rows, models, activations, dy, wants_dx=wants_dx)
                if dx is None or not wants_dx:
                    continue
                if told:  # it is given: nothing is learned before it
                    dx = dx[:, :-told]
                parts = _windowed_backward(rows, dx, layer.variant.window)
                terms += [_total(parts).index_select(0, rows.reversed)] if direction else parts
            if wants_dx:
                d = _total(terms)
        if done.entered:
            d = torch.cat([d, d.new_zeros(len(d), told)], dim=1) if told else d
            torch.autograd.backward(done.entered, rows.scatter_each(d))

    def _subset(self, rows: Rows, depth: int) -> _Subset:
        """Return the rows of a layer's outputs that the next layer or the readout reads."""
        if self._stepwise or depth < len(self._layers) - 1:
            return _Subset.all(rows)
        return _Subset.ends(rows, self._both)

    def _readout_features(self, rows: Rows, features: Tensor) -> list[Tensor]:
        """Return what each model's readout reads of the last layer's rows."""
        if self._stepwise:
            return rows.scatter_each(features)
        if self._both:
            features = join_ends(*features.chunk(2))
        return [part.clone() for part in features.chunk(rows.models)]

    def _readout_features_backward(self, rows: Rows, gradients: list[Tensor]) -> Tensor:
        """Return the gradient of the last layer's rows."""
        if self._stepwise:
            return rows.gather_each(gradients)
        d = torch.cat(gradients)
        if not self._both:
            return d
        half = d.shape[1] // 2
        last, first = torch.zeros_like(d), torch.zeros_like(d)
        last[:, :half], first[:, half:] = d[:, :half], d[:, half:]
        return torch.cat([last, first])

    def _enter(self, done: ForwardPass, x: Tensor) -> Tensor:
        """Return what enters every model's first layer, made of its padded batch as it is alone."""
        for i, padded in zip(done.active, done.rows.scatter_each(x), strict=True):
            done.entered.append(self._models[i].entered(padded))
        return done.rows.gather_each([entered.detach() for entered in done.entered])


def _recurrent(model: Model, depth: int) -> Recurrent:
    layer = model.layers[depth]
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


def _windowed(rows: Rows, x: Tensor, window: int) -> Tensor:
    """Return what input matrices multiply: the input, and what came before it."""
    parts = [x]
    for back in range(1, window):
        here, there = rows.earlier(back)
        parts.append(torch.zeros_like(x).index_copy_(0, here, x.index_select(0, there)))
    return torch.cat(parts, dim=1) if window > 1 else x


def _windowed_backward(rows: Rows, d: Tensor, window: int) -> list[Tensor]:
    """Return the terms of the input's gradient, the furthest back first."""
    width = d.shape[1] // window
    terms = []
    for back in range(window - 1, 0, -1):
        here, there = rows.earlier(back)
        part = d[:, back * width : (back + 1) * width]
        zeros = d.new_zeros(len(d), width)
        terms.append(zeros.index_copy_(0, there, part.index_select(0, here)))
    return [*terms, d[:, :width]]
