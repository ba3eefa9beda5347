"""One training step of several models on a device: on a card, captured once as a CUDA graph.

Everything that differs from step to step lies in memory that stays in place: weights, the chosen
sequences of a batch, the batch's number, sums. A replay reads and writes it there.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainables.cells.noise import Dropout
from trainables.engine.gpu import optimizer
from trainables.engine.gpu.noise import StackedDropout
from trainables.layers.stacked_model import StackedModel, StackedNoise
from trainables.training import optimizers
from trainables.training.stacked_data import StackedData
from trainables.training.stacked_scores import score
from trainables.training.trainer import Training

#: Runs of a step before it is captured, as torch asks for: libraries set themselves up in them.
WARM_UP = 2


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which steps are captured that run on the default one, always the same.

    Libraries keep memory for every stream that they have ever run on.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@dataclass
class Settings:
    """What each model of its own has for its step, [K] each."""

    rules: Tensor
    rates: Tensor
    decays: Tensor
    clips: Tensor

    @classmethod
    def of(cls, members: Sequence[Training]) -> "Settings":
        """Return the settings of members, on their device."""
        configs, device = [member.config for member in members], members[0].device

        def floats(values: list[float]) -> Tensor:
            return torch.tensor(values, device=device)

        rules = [optimizer.RULES[config.optimizer] for config in configs]
        clips = [c.gradient_clip for c in configs]
        return cls(
            torch.tensor(rules, dtype=torch.int32, device=device),
            floats([member.rate for member in members]),
            floats([c.weight_decay for c in configs]),
            floats([float("inf") if clip is None else clip for clip in clips]),
        )


class StackedStep:
    """The weights of all members, their optimizers' state, and the step that moves them."""

    def __init__(self, members: Sequence[Training], model: StackedModel, data: StackedData) -> None:
        first = members[0]
        self._model, self._data, self._info = model, data, first.data.info
        self._device, models = first.device, len(members)
        self.weights = torch.stack([member.weights for member in members])
        self.gradients = torch.zeros_like(self.weights)
        self.buffers = {
            name: torch.stack([member.buffers[name] for member in members])
            for name in first.buffers
        }
        self._settings = Settings.of(members)
        self._means, self._squares = (torch.zeros_like(self.weights) for _ in range(2))
        self._steps = torch.zeros(models, device=self._device)
        for at, member in enumerate(members):
            self._adopt(at, member)
        #: Of each member: whether it has not diverged, and the sums of its losses and their counts.
        self.alive = torch.ones(models, dtype=torch.bool, device=self._device)
        self.losses = torch.zeros(models, dtype=torch.float64, device=self._device)
        self.counts = torch.zeros(models, dtype=torch.int64, device=self._device)
        self._batch = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._chosen = torch.empty(0)
        weights = [w for member in members if (w := member.batches.class_weights) is not None]
        self._class_weights = torch.stack(weights).to(self._device) if weights else None
        self._noise = self._noise_of(members)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None  # memory that graphs share

    def _adopt(self, at: int, member: Training) -> None:
        """Let a member's weights and state be rows of ours."""
        member.adopt(
            self.weights[at],
            self.gradients[at],
            {name: stacked[at] for name, stacked in self.buffers.items()},
        )
        state = member.optimizer_state
        rule = member.config.optimizer
        if rule in ("adam", "adamw"):
            if state:
                self._means[at].copy_(state["exp_avg"])
                self._squares[at].copy_(state["exp_avg_sq"])
                self._steps[at].copy_(state["step"])
            rows = {"step": self._steps, "exp_avg": self._means, "exp_avg_sq": self._squares}
            member.optimizer_state = {name: stacked[at] for name, stacked in rows.items()}
        elif rule == "rmsprop":
            if state:
                self._squares[at].copy_(state["square_avg"])
            member.optimizer_state = {"square_avg": self._squares[at]}

    def _noise_of(self, members: Sequence[Training]) -> StackedNoise:
        models = len(members)
        self._seeds = torch.zeros(3, models, dtype=torch.int64, device=self._device)

        def dropout(stream: int, rates: list[float]) -> StackedDropout:
            rules = [Dropout(rate) for rate in rates]
            last = torch.tensor([rule.last for rule in rules], dtype=torch.int32)
            scale = torch.tensor([rule.scale for rule in rules])
            active = any(rate > 0 for rate in rates)
            on = self._device
            return StackedDropout(self._seeds[stream], last.to(on), scale.to(on), active)

        configs = [member.config for member in members]
        return StackedNoise(
            dropout(0, [config.dropout for config in configs]),
            dropout(1, [config.weight_drop for config in configs]),
            dropout(2, [config.zoneout for config in configs]),
            self._batch,
        )

    def begin_epoch(
        self, seeds_KS: list[tuple[int, ...]], rates_K: list[float], chosen: Tensor
    ) -> None:
        """Begin an epoch: seeds of each model's noise, its rate, and sequences [batches, K, B]."""
        self._settings.rates.copy_(torch.tensor(rates_K))
        self._seeds.copy_(torch.tensor(seeds_KS, dtype=torch.int64).T)
        if self._chosen.shape != chosen.shape:
            self._chosen = torch.empty_like(chosen, device=self._device)
            self._graphs.clear()  # they read the memory that was given up
        self._chosen.copy_(chosen)
        self.losses.zero_()
        self.counts.zero_()
        self._batch.zero_()

    def run(self, steps: int) -> None:
        """Take the next batch's step of all members; the batch is padded to that many steps."""
        if self._device.type != "cuda":
            self._run(steps)
            return
        if steps not in self._graphs:
            self._graphs[steps] = self._captured(lambda: self._run(steps))
        self._graphs[steps].replay()

    def _captured(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """Return a step as a graph, made on the stream that it is to run on.

        Its products use memory that libraries keep for that stream: on two streams at once, graphs
        of one stream would write into each other's.
        """
        current = torch.cuda.current_stream(self._device)
        default = torch.cuda.default_stream(self._device)
        stream = _side_stream(self._device) if current == default else current
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self.warm_up(step)
        current.wait_stream(stream)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream):  # one graph runs at a time
            step()
        return graph

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run a step on its own batch WARM_UP times; what that has changed is put back each time.

        Another batch may be longer than what the step is padded to.
        """
        state = [self.weights, self._means, self._squares, self._steps, self.alive]
        state += [self.losses, self.counts, self._batch, *self.buffers.values()]
        before = [tensor.clone() for tensor in state]
        for _ in range(WARM_UP):
            step()
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)

    def _run(self, steps: int) -> None:
        chosen_KB = self._chosen.index_select(0, self._batch).squeeze(0)
        x, lengths, targets = self._data.batch(chosen_KB, steps)
        # A leaf of this step alone: autograd ties a leaf to the stream that it was made on.
        weights = self.weights.detach().requires_grad_()
        self._noise.begin()
        with torch.enable_grad():
            outputs = self._model(weights, self.buffers, x, lengths, self._noise)
            scores = score(self._info, outputs, targets, lengths, self._class_weights)
            total = (scores.losses / scores.counts.clamp(min=1)).sum()
            (gradients,) = torch.autograd.grad(total, weights)
        with torch.no_grad():
            self._move(gradients, scores.losses.detach(), scores.counts)
            self._batch.add_(1)

    def _move(self, gradients: Tensor, losses: Tensor, counts: Tensor) -> None:
        """Take the optimizers' steps of members that have a batch and have not diverged."""
        settings = self._settings
        norms = torch.linalg.vector_norm(gradients, dim=1)
        has_batch = counts > 0
        self.alive.logical_and_((torch.isfinite(norms) & torch.isfinite(losses)) | ~has_batch)
        moves = self.alive & has_batch
        self._steps.add_(moves.to(self._steps.dtype))
        factors = (settings.clips / norms).clamp(max=1.0)
        optimizer.update(
            self.weights,
            gradients,
            self._means,
            self._squares,
            settings.rules,
            settings.rates,
            settings.decays,
            factors,
            self._steps,
            moves.to(torch.int32),
            betas=optimizers.BETAS,
            alpha=optimizers.ALPHA,
            epsilon=optimizers.EPSILON,
        )
        self.losses.add_(torch.where(moves, losses.double(), 0.0))
        self.counts.add_(torch.where(moves, counts, 0))
