"""StackedModel: several models of one shape as one function of all their weights.

Shapes are suffixes: K models, N weights of a model, T steps, B sequences, I inputs, H units, D
directions times units, O outputs.
"""

from collections import Counter
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.cells.zoneout import zoned
from trainables.engine.gpu.noise import StackedDropout
from trainables.engine.gpu.paths import Path, card_of, path_of
from trainables.layers import scan, stacked_scan
from trainables.layers.forecast_head import as_forecast, as_relative
from trainables.layers.model import Model, Recurrent
from trainables.layers.told import decayed, together

Kind = Literal["outputs", "weights", "updates"]


class StackedNoise:
    """All dropout of one training step of every model; see cells.noise.Noise.

    batch: [1] int64 on the device, the number of the batch in the epoch. Draws of each kind are
    numbered by themselves: a model alone may lack a kind that others of a cohort have.
    """

    def __init__(
        self,
        outputs: StackedDropout,
        weights: StackedDropout,
        updates: StackedDropout,
        batch: Tensor,
    ) -> None:
        self._outputs, self._weights, self._updates = outputs, weights, updates
        self._batch = batch
        self._drawn: Counter[Kind] = Counter()

    def begin(self) -> None:
        """Begin with a batch: its draws are numbered from 0."""
        self._drawn.clear()

    def _draw(self, kind: Kind, dropout: StackedDropout, shape: tuple[int, ...]) -> Tensor:
        number = self._drawn[kind]
        self._drawn[kind] += 1
        return dropout.draw(shape, self._batch, number, passed=kind == "updates")

    def outputs(self, y_KTBD: Tensor) -> Tensor:
        """Return a layer's outputs times a fresh mask."""
        if not self._outputs.active:
            return y_KTBD
        return y_KTBD * self._draw("outputs", self._outputs, tuple(y_KTBD.shape[1:]))

    def weights(self, R: Tensor, models: int) -> Tensor:
        """Return recurrent matrices [S, |R| H, W] times fresh masks."""
        if not self._weights.active:
            return R
        shape = tuple(R.shape[1:])
        directions = range(len(R) // models)
        masks = [self._draw("weights", self._weights, shape) for _ in directions]
        return R * torch.cat(masks)

    def kept(self, directions: int, shape: tuple[int, int, int]) -> Tensor | None:
        """Return the masks of zoneout [S, T, B, F], None where nothing is retained."""
        if not self._updates.active:
            return None
        masks = [self._draw("updates", self._updates, shape) for _ in range(directions)]
        return torch.cat(masks)


def _recurrent(model: Model, depth: int) -> Recurrent:
    layer = model.layers[depth]
    assert isinstance(layer, Recurrent)
    return layer


def _linear(values: dict[str, Tensor], name: str, x_KMI: Tensor) -> Tensor:
    weight, bias = values[f"{name}.weight"], values[f"{name}.bias"]
    return torch.baddbmm(bias.unsqueeze(1), x_KMI, weight.mT)


class StackedModel:
    """The function that a Model computes, for K sets of weights [K, N] in the Model's order."""

    def __init__(self, model: Model, precision: str = "float32") -> None:
        self._model, self._precision = model, precision
        self._shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        self.buffers = [name for name, _ in model.named_buffers()]

    def path(self, device: torch.device, models: int) -> Path:
        """Return the path that the scans of that many models take on a device."""
        config, model = self._model.config, self._model
        variant = _recurrent(model, 0).forwards.variant
        torch_has = models == 1 and not model.bidirectional and not config.zoneout
        return path_of(
            zoned(variant) if config.zoneout else variant,
            config.hidden_size,
            self._precision,
            card_of(device),
            torch_has=torch_has and variant.name in scan.KERNELS and device.type == "cuda",
            double=model.readout.weight.dtype == torch.float64,
        )

    def _parameters(self, weights_KN: Tensor) -> dict[str, Tensor]:
        """Return all parameters by name, [K, *shape]; their gradients are joined in one go."""
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = weights_KN.split_with_sizes(sizes, dim=1)
        named = zip(self._shapes.items(), parts, strict=True)
        return {name: part.view(len(part), *shape) for (name, shape), part in named}

    def _layer(self, values: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
        """Return what belongs to a layer, [S, *shape]: of the models, then of those backwards."""
        found: dict[str, list[Tensor]] = {}
        for direction in ("forwards", "backwards"):
            prefix = f"layers.{depth}.{direction}."
            for name, value in values.items():
                if name.startswith(prefix):
                    found.setdefault(name.removeprefix(prefix), []).append(value)
        return {name: torch.cat(v) if len(v) > 1 else v[0] for name, v in found.items()}

    def _features(
        self,
        values: dict[str, Tensor],
        buffers: dict[str, Tensor],
        x: Tensor,
        lengths_KB: Tensor,
        noise: StackedNoise | None,
    ) -> Tensor:
        """Return y [K, T, B, D], the last layer's outputs; see __call__."""
        model, config, info = self._model, self._model.config, self._model.info
        if not x.is_floating_point():
            x = functional.one_hot(x, info.inputs).to(model.readout.weight.dtype)
        if info.ahead.relative:
            x = as_relative(x, lengths_KB)
        models, steps, batch, _ = x.shape
        path = self.path(x.device, models)
        if model.project is not None:
            x = _linear(values, "project", x.flatten(1, 2))
            x = x.view(models, steps, batch, -1)
        if model.decay is not None:
            names = values["decay.w"], values["decay.b"], buffers["decay.mean"]
            x = decayed(x, *(each[:, None, None] for each in names))
        x, told = model.apart(x)
        for depth, residual in enumerate(model.residual):
            recurrent = _recurrent(model, depth)
            variant = recurrent.forwards.variant
            directions = 1 if recurrent.backwards is None else 2
            parameters = self._layer(values, depth)
            keep = None
            if config.zoneout:
                width = len(variant.zoneout_fields) * config.hidden_size
                if noise is not None:
                    keep = noise.kept(directions, (steps, batch, width))
                else:
                    shape = models * directions, 1, 1, width
                    keep = x.new_full(shape, config.zoneout)
                variant = zoned(variant)
            if noise is not None and "R" in parameters:
                parameters["R"] = noise.weights(parameters["R"], models)
            running = self._layer(buffers, depth)
            statistics = None
            if running:
                statistics = running["running_mean"], running["running_variance"]
            y = stacked_scan.scans(
                variant,
                parameters,
                together(x, told),
                lengths_KB,
                config.hidden_size,
                path,
                self._precision,
                statistics,
                noise is not None,
                keep,
            )
            if running and noise is not None:
                self._set_buffers(buffers, depth, running)
            if directions == 2:
                y = torch.cat(y.chunk(2), dim=-1)
            y = noise.outputs(y) if noise is not None else y
            x = x + y if residual else y
        return x

    def _set_buffers(
        self, buffers: dict[str, Tensor], depth: int, running: dict[str, Tensor]
    ) -> None:
        """Write running statistics back where they were stacked from both directions."""
        if self._model.bidirectional:
            for name, both in running.items():
                for direction, value in zip(("forwards", "backwards"), both.chunk(2), strict=True):
                    buffers[f"layers.{depth}.{direction}.{name}"].copy_(value)

    def __call__(
        self,
        weights_KN: Tensor,
        buffers: dict[str, Tensor],
        x: Tensor,
        lengths_KB: Tensor,
        noise: StackedNoise | None = None,
    ) -> Tensor:
        """Return outputs [K, B, O] (classification, regression) or [K, T, B, O] (one a step).

        x is [K, T, B, I], or [K, T, B] for integer symbols. A sequence of length 0 does not exist;
        its outputs mean nothing. buffers: running statistics [K, *shape] by name, which training
        (noise is given) moves.
        """
        values = self._parameters(weights_KN)
        y_KTBD = self._features(values, buffers, x, lengths_KB, noise)
        if self._model.info.stepwise:
            steps = y_KTBD.shape[1]
            outputs = _linear(values, "readout", y_KTBD.flatten(1, 2))
            return outputs.view(len(outputs), steps, -1, outputs.shape[-1])
        last_K1B1 = (lengths_KB - 1).clamp(min=0)[:, None, :, None]
        last_KBD = y_KTBD.take_along_dim(last_K1B1, dim=1).squeeze(1)
        if self._model.bidirectional:
            half = last_KBD.shape[-1] // 2
            last_KBD = torch.cat([last_KBD[..., :half], y_KTBD[:, 0, :, half:]], dim=-1)
        return as_forecast(_linear(values, "readout", last_KBD), self._model.info.forecast)
