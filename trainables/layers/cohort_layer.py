"""One layer of several models at once, on the compiled scan, without autograd.

Every model's scan calls the same compiled functions that run it alone, with the model's own weights
and rows. Nothing is added up across models, so each gets the very bits that it gets alone. The gain
is in all that surrounds the calls, which is done once for all models.

Gradients are added in place to those of the layers' parameters, which must exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables import engine, torch_compat
from trainables.cells.noise import Noise
from trainables.cells.zoneout import zoned
from trainables.engine.rows import Int64s, Rows
from trainables.engine.workspace import Workspace
from trainables.layers.layer import Layer

#: Addresses and row lengths by the names of Program's arguments: one for all models, or [K].
Memory = dict[str, int | Int64s]


@dataclass(frozen=True)
class SavedActivations:
    """What the backward pass of a layer needs of its forward pass."""

    x: Tensor  #: [N, I]
    y: Tensor  #: [N, P]
    tape: Tensor  #: [N, tape_row]
    #: Factors of each model's R by weight drop, None for a model that drops no weights.
    masks: Sequence[Tensor | None] = ()
    masked_weights: Sequence[Tensor] = ()  #: each model's R times its mask
    input_matrices: Sequence[Tensor] = ()  #: each model's, where no parameter is it alone
    keep: Tensor | None = None  #: factors of zoneout, [N, F], or [1, F] if all rows share them


class CohortLayer:
    """Layers of one shape, one of each model. What forward returns is valid until the next call."""

    def __init__(self, layers: Sequence[Layer], workspace: Workspace) -> None:
        first = layers[0]
        self.variant, self.hidden, self._zoneout = first.variant, first.hidden, first.zoneout
        if self._zoneout:
            self.variant = zoned(self.variant)
        self.width = self.variant.width(self.hidden)
        inputs = self.variant.window * first.inputs
        like = next(first.parameters())
        self._bytes = like.element_size()
        self._layers, self._workspace = layers, workspace
        double = like.dtype == torch.float64
        self._program = engine.program(self.variant, double, inputs, self.hidden)
        matrices, vectors = self._program.matrices, self._program.vectors
        self._shapes = {name: tuple(first.get_parameter(name).shape) for name in matrices}
        self._parameter_names = {name for name, _ in first.named_parameters()}
        self._assembled = self.variant.gaps != "none"  #: whether W is made of several parameters
        if self._assembled:
            self._shapes["W"] = tuple(first.input_matrix().shape)
        #: Addresses of the parameters and of their gradients, [K] by name.
        self._parameters = {name: _addresses(layers, name, False) for name in matrices}
        self._gradients = {f"d{name}": _addresses(layers, name, True) for name in matrices}
        self._parameters["vectors"] = _joint_addresses(layers, vectors, False)
        self._gradients["dvectors"] = _joint_addresses(layers, vectors, True)
        self._row_lengths = {f"d{name}_row": row for name, (_, row) in self._shapes.items()}
        #: Gradients whose rows are no whole vectors: the scan cannot write to them directly.
        self._narrow = {
            name: [_gradient(layer, name) for layer in layers]
            for name, (_, row) in self._shapes.items()
            if self._program.whole_vectors(row) > row or (self._assembled and name == "W")
        }

    def forward(
        self, rows: Rows, models: Int64s, x: Tensor, noises: Sequence[Noise] = ()
    ) -> SavedActivations:
        """Run the layers of the models with these indices over their rows.

        x [N, I]; noises: one for each model, or none in evaluation.
        """
        program = self._program
        y = self._workspace.take((self, "y"), len(rows), self.width)
        tape = self._workspace.take((self, "tape"), len(rows), program.tape_row)
        masks, masked_weights = self._drop_weights(models, noises)
        keep = self._keep(rows, noises)
        assembled = self._input_matrices(models)
        saved = SavedActivations(x, y, tape, masks, masked_weights, assembled, keep)
        scratch = self._workspace.take("scratch", 1, program.forward_scratch).data_ptr()
        memory = self._memory(rows, models, saved)
        program.forward_each(rows.arguments_each, self._starts(tape, rows), scratch, memory)
        return saved

    def _drop_weights(
        self, models: Int64s, noises: Sequence[Noise]
    ) -> tuple[list[Tensor | None], list[Tensor]]:
        """Return masks for the models' recurrent matrices, and the matrices times their masks."""
        masks: list[Tensor | None] = []
        masked_weights = []
        if "R" in self._shapes and any(noise.weights.active for noise in noises):
            for model, noise in zip(models.tolist(), noises, strict=True):
                R = self._layers[model].get_parameter("R").detach()
                mask = noise.weights.mask(R) if noise.weights.active else None
                masks.append(mask)
                masked_weights.append(R if mask is None else R * mask)
        return masks, masked_weights

    def _input_matrices(self, models: Int64s) -> list[Tensor]:
        """Return what multiplies the models' inputs, where no parameter does alone."""
        if not self._assembled:
            return []
        with torch.no_grad():
            return [self._layers[model].input_matrix() for model in models.tolist()]

    def _keep(self, rows: Rows, noises: Sequence[Noise]) -> Tensor | None:
        """Return the factors of zoneout, drawn for each model's padded batch as it is alone."""
        if not self._zoneout:
            return None
        width = len(self.variant.zoneout_fields) * self.hidden
        if not noises:
            return torch.full((1, width), self._zoneout, dtype=self._program.dtype)
        keep = self._workspace.take((self, "keep"), len(rows), width)
        for noise, part, steps in zip(noises, rows.slices(), rows.steps.tolist(), strict=True):
            passed = noise.updates.kept((steps * rows.batch, width))
            keep[part] = passed.index_select(0, rows.padded[part]).logical_not_()
        return keep

    def backward(
        self, rows: Rows, models: Int64s, saved: SavedActivations, dy: Tensor, *, wants_dx: bool
    ) -> Tensor | None:
        """Add the gradients of the parameters; return that of the input if it is wanted."""
        program, workspace = self._program, self._workspace
        if not dy.is_contiguous():
            dy = workspace.take("dy", *dy.shape).copy_(dy)
        memory = self._memory(rows, models, saved)
        memory |= {name: addresses[models] for name, addresses in self._gradients.items()}
        memory |= {"dy": self._starts(dy, rows), **self._row_lengths}
        dx, narrow = None, self._zeros(rows.models)
        if wants_dx or program.writes_dx:
            dx_row = program.whole_vectors(saved.x.shape[1])
            dx = workspace.take((self, "dx"), len(rows), dx_row)
            memory |= {"dx": self._starts(dx, rows), "dx_row": dx_row, "wants_dx": int(wants_dx)}
        for name, zeros in narrow.items():
            stride = zeros.stride(0) * self._bytes
            memory[f"d{name}"] = zeros.data_ptr() + stride * np.arange(rows.models)
            memory[f"d{name}_row"] = zeros.shape[2]
        scratch = workspace.take("scratch", 1, program.backward_scratch(rows.batch)).data_ptr()
        program.backward_each(rows.arguments_each, self._starts(saved.tape, rows), scratch, memory)
        for name, zeros in narrow.items():
            found = list(zeros[:, :, : self._shapes[name][1]])
            if self._assembled and name == "W":
                self._take_apart(models, found)
                continue
            gradients = [self._narrow[name][model] for model in models.tolist()]
            torch_compat.add(gradients, found)
        for model, mask in zip(models.tolist(), saved.masks, strict=False):
            if mask is not None:
                _gradient(self._layers[model], "R").mul_(mask)
        return dx[:, : saved.x.shape[1]] if dx is not None and wants_dx else None

    def _take_apart(self, models: Int64s, found: list[Tensor]) -> None:
        """Add the gradients of assembled matrices to those of the parameters in them."""
        for model, dW in zip(models.tolist(), found, strict=True):
            layer = self._layers[model]
            rows, read = layer.get_parameter("W").shape
            _gradient(layer, "W").add_(dW[:rows, :read])
            if "D" in self._parameter_names:
                times = layer.get_parameter("D").shape[1]
                _gradient(layer, "D").add_(dW[rows:, read : read + times])

    def _memory(self, rows: Rows, models: Int64s, saved: SavedActivations) -> Memory:
        """Return where the models' parameters and values are."""
        memory: Memory = {name: found[models] for name, found in self._parameters.items()}
        memory |= {"x": self._starts(saved.x, rows), "y": self._starts(saved.y, rows)}
        if saved.input_matrices:
            memory["W"] = np.array([W.data_ptr() for W in saved.input_matrices])
        if saved.masked_weights:
            memory["R"] = np.array([R.data_ptr() for R in saved.masked_weights])
        if saved.keep is not None:
            shared = len(saved.keep) != len(rows)
            memory["keep"] = saved.keep.data_ptr() if shared else self._starts(saved.keep, rows)
            memory["keep_row"] = 0 if shared else saved.keep.shape[1]
        return memory

    def _zeros(self, models: int) -> dict[str, Tensor]:
        """Return [K, height, whole vectors] for the gradients of narrow matrices."""
        found = {}
        for name in self._narrow:
            height, row = self._shapes[name]
            shape = models, height, self._program.whole_vectors(row)
            found[name] = torch.zeros(shape, dtype=self._program.dtype)
        return found

    def _starts(self, tensor: Tensor, rows: Rows) -> Int64s:
        """Return the address of each model's first row."""
        found: Int64s = tensor.data_ptr() + rows.starts * (tensor.shape[1] * self._bytes)
        return found


def _gradient(layer: Layer, name: str) -> Tensor:
    gradient = layer.get_parameter(name).grad
    assert gradient is not None
    return gradient


def _addresses(layers: Sequence[Layer], name: str, gradient: bool) -> Int64s:
    """Return the address of a parameter, or of its gradient, in each layer."""
    found = [_gradient(layer, name) if gradient else layer.get_parameter(name) for layer in layers]
    return np.array([tensor.data_ptr() for tensor in found])


def _joint_addresses(layers: Sequence[Layer], names: Sequence[str], gradient: bool) -> Int64s:
    """Return where parameters begin that follow each other in memory, as a training's do."""
    if not names:
        return np.zeros(len(layers), np.int64)
    first = address = _addresses(layers, names[0], gradient)
    for name in names:
        assert np.array_equal(_addresses(layers, name, gradient), address)
        parameter = layers[0].get_parameter(name)
        address = address + parameter.numel() * parameter.element_size()
    return first
