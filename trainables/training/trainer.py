"""Training: trains one configuration on one data set, epoch by epoch. Knows no Ray.

All randomness of an epoch is derived from (seed, epoch) and never continued from the epoch before:
a training that was stopped and restored is, bit for bit, the one that was never stopped.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spaces.config import TrialConfig, completed
from trainables.cells.noise import NONE, Bits, Dropout, Noise
from trainables.checkpoints.base import CheckpointError
from trainables.checkpoints.format import read_checkpoint, write_checkpoint
from trainables.data.batches import Batch, Batches
from trainables.data.scaling import known_means
from trainables.data.sequences import Data, Sequences
from trainables.layers.model import Model
from trainables.training import carried, optimizers
from trainables.training.class_weights import class_weights
from trainables.training.curve import Epoch
from trainables.training.example_scores import ExampleScores
from trainables.training.examples import Examples
from trainables.training.measured_path import measured_path
from trainables.training.metrics import Scored, Totals, score
from trainables.training.schedule import Schedule, stops_early
from trainables.training.step import train_epoch

#: Streams of random numbers that are derived from a seed. Another number gives other trainings.
_WEIGHTS, _DROPOUT, _WEIGHT_DROP, _ZONEOUT = 1, 2, 3, 4
#: Those of the noise of an epoch: of outputs, of weights, of updates.
NOISE_STREAMS = _DROPOUT, _WEIGHT_DROP, _ZONEOUT


def derived_seed(*key: int) -> int:
    """Return a seed that follows from the key alone."""
    state = np.random.SeedSequence(key).generate_state(2, np.uint32)
    return int(state[0]) << 31 ^ int(state[1])


def derived(device: torch.device, *key: int) -> torch.Generator:
    """Return a generator on the device whose stream follows from the key alone."""
    return torch.Generator(device).manual_seed(derived_seed(*key))


def _mask_bits(device: torch.device, *key: int) -> Bits:
    """Return the source of dropout masks that follows from the key alone."""
    if device.type == "cpu":
        return np.random.SFC64(np.random.SeedSequence(key))
    return derived(device, *key)


def device_name(device: torch.device) -> str:
    """Return the name of a card, or the kind of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


class Training:
    """One configuration in training.

    All weights are in one vector [N], and so are their gradients; the model's parameters are views
    into them. Norm, clipping and update are then few operations, however many tensors there are.
    """

    def __init__(self, config: TrialConfig, data: Data, *, seed: int, device: str = "cpu") -> None:
        """Draw the weights. Raises InputError where the configuration fits no model."""
        self.config, self.data, self.seed = config, data, seed
        self.curve: list[Epoch] = []
        self.diverged = False
        self.best: Epoch | None = None
        self._schedule = Schedule(config, data.info.metric)
        self.path: str | None = None  #: of the latest epoch trained here, see measured_path.py
        self.device = torch.device(device)
        weights = class_weights(config, data)
        self.batches = Batches(data.train, data.info.kind, weights, buckets=config.buckets)
        self._streams = carried.trained_streams(config, data)
        generator = derived(torch.device("cpu"), seed, _WEIGHTS)
        model = Model(config, data.info, generator, self.batches.longest)
        if data.train.fill is not None:
            model.set_means(known_means(data))
        self.model = model.to(self.device)
        self.parameters = model.count
        parameters = list(model.parameters())
        weights = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        buffers = dict(model.named_buffers())  # running statistics, where a cell has them
        self.adopt(weights, torch.zeros_like(weights), buffers)
        self.optimizer_state: optimizers.State = {}
        self.gradient_norm: float | None = None
        self._best_weights = self.weights.clone()
        self._best_buffers = _copies(self.buffers)

    def adopt(self, weights: Tensor, gradient: Tensor, buffers: dict[str, Tensor]) -> None:
        """Keep the model in this memory from now on: weights [N], gradient [N] and buffers."""
        self.weights, self.gradient, self.buffers = weights, gradient, buffers
        parameters = list(self.model.parameters())
        for parameter, part in zip(parameters, _parts(parameters), strict=True):
            parameter.data = weights[part].view(parameter.shape)
            parameter.grad = gradient[part].view(parameter.shape)
        for name, buffer in self.model.named_buffers():
            buffer.data = buffers[name]

    @property
    def epoch(self) -> int:
        """Return the number of epochs trained."""
        return len(self.curve)

    @property
    def ended(self) -> bool:
        """Return whether there is nothing left to train."""
        return self.diverged or self.epoch >= self.config.max_epochs or self._patience_is_over

    @property
    def rate(self) -> float:
        """Return the learning rate of the next epoch."""
        return self._schedule.rate

    @property
    def _patience_is_over(self) -> bool:
        best = self.best
        return best is not None and stops_early(self.config, self.epoch, best.epoch)

    def advance(self, until: int, seconds: float = math.inf) -> list[Epoch]:
        """Train up to that epoch, or until the seconds have passed; return the new points.

        At least one epoch is trained, and never more than max_epochs and patience allow. At the
        first loss or gradient norm that is not finite training ends for good: `diverged` is set,
        and the epoch gives no point.
        """
        began = time.perf_counter()
        first = self.epoch
        while self.epoch < until and not self.ended:
            self._advance_one()
            if time.perf_counter() - began >= seconds:
                break
        return self.curve[first:]

    def evaluate(self, split: str) -> dict[str, float]:
        """Return all metrics on "train", "validation" or "test" with the best epoch's weights."""
        if self.best is None:
            raise ValueError("nothing to evaluate: no epoch was finished")
        with self.at_best():
            return self._evaluate(getattr(self.data, split))

    def evaluate_examples(self, split: str) -> tuple[dict[str, float], Examples]:
        """Return what evaluate() does, and what each of the part's sequences scored."""
        if self.best is None:
            raise ValueError("nothing to evaluate: no epoch was finished")
        sequences: Sequences = getattr(self.data, split)
        scores = ExampleScores(self.data.info, len(sequences), self.data.unit(sequences))
        with self.at_best():
            metrics = self._evaluate(sequences, scores)
        return metrics, scores.examples()

    @contextmanager
    def at_best(self) -> Iterator[None]:
        """Put the best epoch's weights in place; those of the last epoch come back afterwards."""
        current, buffers = self.weights.clone(), _copies(self.buffers)
        self._set_weights(self._best_weights, self._best_buffers)
        try:
            yield
        finally:
            self._set_weights(current, buffers)

    def _set_weights(self, weights: Tensor, buffers: dict[str, Tensor]) -> None:
        self.weights.copy_(weights)
        for name, buffer in self.buffers.items():
            buffer.copy_(buffers[name])

    def best_model(self) -> Model:
        """Return a model of its own, on the CPU, with the best epoch's weights."""
        model = Model(self.config, self.data.info)
        best, parameters = self._best_weights.cpu(), list(model.parameters())
        with torch.no_grad():
            for parameter, part in zip(parameters, _parts(parameters), strict=True):
                parameter.copy_(best[part].view(parameter.shape))
            for name, buffer in model.named_buffers():
                buffer.copy_(self._best_buffers[name])
        return model.eval()

    def _advance_one(self) -> None:
        began = time.perf_counter()
        self.path = self.path_alone()
        train_loss = self._train_epoch(self.epoch + 1)
        metrics = {} if train_loss is None else self._evaluate(self.data.validation)
        self.record_epoch(train_loss, metrics, time.perf_counter() - began)

    def path_alone(self) -> str:
        """Return the path that it takes by itself: in float32, whatever its cohorts take."""
        path = self.model.path(carried=self._streams is not None)
        return measured_path(path, device_name(self.device), "float32")

    def noise(self, number: int) -> Noise:
        """Return the dropout, weight drop and zoneout of an epoch, before its first mask."""
        config = self.config

        def dropout(probability: float, stream: int) -> Dropout:
            return Dropout(probability, _mask_bits(self.device, self.seed, stream, number))

        return Noise(
            outputs=dropout(config.dropout, _DROPOUT),
            weights=dropout(config.weight_drop, _WEIGHT_DROP),
            updates=dropout(config.zoneout, _ZONEOUT),
        )

    def record_epoch(
        self, train_loss: float | None, metrics: dict[str, float], seconds: float
    ) -> None:
        """Add an epoch to the curve, and keep its weights if it is the best so far.

        Without a loss, or with a metric that is not finite, the training has diverged.
        """
        if train_loss is None or not all(math.isfinite(value) for value in metrics.values()):
            self.diverged = True
            return
        number = self.epoch + 1
        metric = self.data.info.metric
        value = metrics[metric.name]
        made = time.time_ns() // 1_000_000
        point = Epoch(number, train_loss, value, seconds, made, metrics, self.gradient_norm)
        self.gradient_norm = None  # of this epoch alone
        self.curve.append(point)
        self._schedule.observe(point)
        if self.best is None or point.rank(metric) < self.best.rank(metric):
            self.best = point
            self._best_weights.copy_(self.weights)
            self._best_buffers = _copies(self.buffers)

    def _train_epoch(self, number: int) -> float | None:
        """Train one epoch; return its mean loss, or None where it diverged."""
        noise = self.noise(number)

        def differentiated(scored: Scored) -> list[Scored]:
            (scored.loss / scored.count).backward()  # type: ignore[no-untyped-call]
            return [scored]

        self.model.train()
        if self._streams is not None:
            reader = carried.Carried(self.model, self._streams.count)
            (loss,) = train_epoch(
                [self], self._streams, lambda _, window: differentiated(reader.score(window, noise))
            )
            return loss
        batches = self.batches.shuffled(self.config.batch_size, self.seed, number)
        (loss,) = train_epoch(
            [self], batches, lambda _, batch: differentiated(self._score(batch, noise))
        )
        return loss

    def _evaluate(
        self, sequences: Sequences, examples: ExampleScores | None = None
    ) -> dict[str, float]:
        if carried.scored_in_one(self.config, sequences):
            return carried.evaluate(self.model, self.data, sequences, examples)
        kind = self.data.info.kind
        totals = Totals(self.data.info, self.data.unit(sequences))
        batches = Batches(sequences, kind, buckets=self.config.buckets)
        self.model.eval()
        with torch.inference_mode():
            for chosen_B in batches.ordered_choices():
                batch = batches.batch(chosen_B).to(self.device)
                outputs = self.model(batch.x, batch.lengths, NONE)
                totals.add(score(self.data.info, outputs, batch))
                if examples is not None:
                    examples.add(chosen_B, outputs, batch)
        return totals.metrics()

    def _score(self, batch: Batch, noise: Noise) -> Scored:
        batch = batch.to(self.device)
        outputs = self.model(batch.x, batch.lengths, noise)
        return score(self.data.info, outputs, batch)

    def save(self, folder: Path) -> None:
        """Write a checkpoint's files to a folder that has none: a store's draft.

        A training that has ended is stored with the weights of its best epoch alone.
        """
        tensors = {"best": self._best_weights}
        tensors |= {f"best_buffer.{name}": buffer for name, buffer in self._best_buffers.items()}
        if not self.ended:
            tensors["weights"] = self.weights
            tensors |= {f"buffer.{name}": buffer for name, buffer in self.buffers.items()}
            tensors |= {f"optimizer.{name}": value for name, value in self.optimizer_state.items()}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        state = {
            **self._identity(),
            "epoch": self.epoch,
            "diverged": self.diverged,
            "best_epoch": None if self.best is None else self.best.epoch,
            "curve": [asdict(point) for point in self.curve],
        }
        write_checkpoint(folder, tensors, state)

    @classmethod
    def restore(
        cls, folder: Path, config: TrialConfig, data: Data, *, seed: int, device: str = "cpu"
    ) -> "Training":
        """Return the training that was saved in the folder, to be continued.

        One that had ended has the best epoch's weights for its last ones.

        Raises CheckpointError where the folder is no whole checkpoint, belongs to another
        configuration (max_epochs aside, where no rate depends on it), seed or data set, or had
        ended and would now go on.
        """
        tensors, state = read_checkpoint(folder)
        training = cls(config, data, seed=seed, device=device)
        if "config" in state:
            state["config"] = completed(state["config"])
        for name, value in training._identity().items():
            if state.get(name) != value:
                raise CheckpointError(
                    f"{folder} is of another {name}: {state.get(name)}, not {value}"
                )
        try:
            training._load(tensors, state)
        except (KeyError, TypeError, IndexError, RuntimeError) as error:
            raise CheckpointError(f"{folder} does not fit the model: {error}") from error
        return training

    def _identity(self) -> dict[str, Any]:
        aside = set() if self.config.schedule == "cosine" else {"max_epochs"}
        config = self.config.model_dump(mode="json", exclude=aside)
        return {"config": config, "seed": self.seed, "data": self.data.info.fingerprint}

    def _load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.curve = [Epoch(**point) for point in state["curve"]]
        for point in self.curve:
            if not isinstance(point.metrics, dict):
                raise TypeError(f"metrics must be figures by name, not {point.metrics!r}")
            self._schedule.observe(point)
        self.diverged = _truth(state["diverged"])
        best = state["best_epoch"]
        if best is not None:
            if type(best) is not int or not 1 <= best <= self.epoch:
                raise TypeError(f"best_epoch must be one of its {self.epoch} epochs, not {best!r}")
            self.best = self.curve[best - 1]
        self._best_weights.copy_(_like(self.weights, tensors.pop("best")))
        self._best_buffers = {
            name: _like(buffer, tensors.pop(f"best_buffer.{name}")).to(self.device)
            for name, buffer in self.buffers.items()
        }
        if self.ended and "weights" not in tensors:
            self._set_weights(self._best_weights, self._best_buffers)
        else:
            buffers = {
                name: _like(buffer, tensors.pop(f"buffer.{name}"))
                for name, buffer in self.buffers.items()
            }
            self._set_weights(_like(self.weights, tensors.pop("weights")), buffers)
        self.optimizer_state = {
            name.removeprefix("optimizer."): tensor.to(self.device)
            for name, tensor in tensors.items()
        }


def _truth(value: Any) -> bool:
    """Return a stored truth value. Raises TypeError where it is something else."""
    if not isinstance(value, bool):
        raise TypeError(f"diverged must be true or false, not {value!r}")
    return value


def _like(wanted: Tensor, stored: Tensor) -> Tensor:
    """Return a stored tensor. Raises TypeError unless it has the wanted shape and type.

    Copying alone would take one number for all, or a truth value for a number.
    """
    if stored.shape != wanted.shape or stored.dtype != wanted.dtype:
        found = f"{tuple(stored.shape)} of {stored.dtype}"
        raise TypeError(f"it must have {tuple(wanted.shape)} of {wanted.dtype}, not {found}")
    return stored


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _parts(parameters: list[torch.nn.Parameter]) -> Iterator[slice]:
    """Yield where each parameter is in the vector of all weights."""
    start = 0
    for parameter in parameters:
        yield slice(start, start + parameter.numel())
        start += parameter.numel()
