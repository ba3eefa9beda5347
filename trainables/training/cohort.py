"""Cohort replicas: several trainings of one shape in one process, each as it would be alone.

What depends on the size of a whole batch (matrix products, sums, norms) is computed for each member
by itself, exactly as it is alone; what does not (gathering, masks, gates, elementwise work) and all
bookkeeping around it is done once for all members. Each gets the very bits that it gets alone, so
that nothing depends on who trains with whom.
"""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.config import TrialConfig
from spaces.hyperparameters import HYPERPARAMETERS
from trainables import engine
from trainables.cells.noise import Noise
from trainables.data.batches import Batch, Batches
from trainables.data.sequences import Sequences
from trainables.engine.rows import Rows
from trainables.training import batching, optimizers
from trainables.training.cohort_layers import CohortLayers
from trainables.training.curve import Epoch
from trainables.training.metrics import SCORES, Scored, Totals
from trainables.training.trainer import Training

Whole = NDArray[np.int64]

#: Settings in which members of one Cohort may differ.
OWN = frozenset(row.name for row in HYPERPARAMETERS.values() if row.own)
#: Settings that members share: they make the shape.
SHARED = frozenset(TrialConfig.model_fields) - OWN


def can_batch(config: TrialConfig, device: str = "cpu") -> bool:
    """Return whether members of that configuration train together, not one after the other."""
    if (config.cell, config.gates) in batching.UNBATCHABLE or torch.device(device).type != "cpu":
        return False
    return engine.available()


class Cohort:
    """Trainings of one shape on one data set, advanced together.

    A member that diverges drops out; one that has more epochs behind it than others ends earlier.
    Members stay trainings of their own, with their own curve, best epoch and checkpoint, and may go
    on alone or in other company at any time. Where cells cannot be fused (see can_batch) members
    advance one after the other, epoch by epoch.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        """Raises ValueError where the members' shapes or data differ."""
        self.members = tuple(members)
        first = self.members[0]
        for member in self.members[1:]:
            for name in SHARED:
                ours, theirs = getattr(first.config, name), getattr(member.config, name)
                if ours != theirs:
                    raise ValueError(f"members differ in {name}: {ours} and {theirs}")
            if first.data.info.fingerprint != member.data.info.fingerprint:
                raise ValueError("members differ in their data")
        self._data, self._kind = first.data, first.data.info.kind
        self.together = len(self.members) > 1 and can_batch(first.config, str(first.device))
        if self.together:
            self._stack = CohortLayers(self.members)

    def advance(self, until: int, seconds: float = math.inf) -> list[list[Epoch]]:
        """Train every member up to that epoch, or until the seconds have passed.

        Returns each member's new points; see Training.advance. An epoch's seconds are the member's
        share of the time that all took together.
        """
        began = time.perf_counter()
        before = [member.epoch for member in self.members]
        while who := [i for i, member in enumerate(self.members) if _goes_on(member, until)]:
            self._advance_one(who)
            if time.perf_counter() - began >= seconds:
                break
        return [member.curve[n:] for member, n in zip(self.members, before, strict=True)]

    def evaluate(self, split: str) -> list[dict[str, float] | None]:
        """Return all metrics of each member with its best epoch's weights; None without one."""
        found: list[dict[str, float] | None] = [None] * len(self.members)
        who = [i for i, member in enumerate(self.members) if member.best is not None]
        if not self.together:
            for i in who:
                found[i] = self.members[i].evaluate(split)
            return found
        with ExitStack() as stack:
            for i in who:
                stack.enter_context(self.members[i].at_best())
            for i, metrics in zip(
                who, self._evaluate(who, getattr(self._data, split)), strict=True
            ):
                found[i] = metrics
        return found

    def _advance_one(self, who: list[int]) -> None:
        if not self.together or len(who) == 1:
            for i in who:
                self.members[i].advance(self.members[i].epoch + 1)
            return
        began = time.perf_counter()
        losses = self._train_epoch(who)
        left = [i for i in who if losses[i] is not None]
        metrics = dict(zip(left, self._evaluate(left, self._data.validation), strict=True))
        share = (time.perf_counter() - began) / len(who)
        for i in who:
            self.members[i].finish_epoch(losses[i], metrics.get(i, {}), share)

    def _train_epoch(self, who: list[int]) -> dict[int, float | None]:
        """Train one epoch of each; return mean losses, None for those that diverged."""
        members = self.members
        noises = {i: members[i].noise(members[i].epoch + 1) for i in who}
        choices = [
            members[i].batches.shuffled_choices(
                members[i].config.batch_size, members[i].seed, members[i].epoch + 1
            )
            for i in who
        ]
        totals, count = dict.fromkeys(who, 0.0), 0
        longest = self._data.info.longest
        live = list(who)
        for chosen in zip(*choices, strict=True):
            by_member = dict(zip(who, chosen, strict=True))
            scores: dict[int, Scored] = {}
            for some in self._portions(live, batching.numbers(self.members[0].config, longest)):
                scores |= self._gradients(some, np.stack([by_member[i] for i in some]), noises)
            live = self._update(live, scores)
            for i in live:
                totals[i] += self._losses[i]
            if not live:
                break
            count += scores[live[0]].count
        return {i: totals[i] / count if i in live else None for i in who}

    def _portions(self, who: list[int], numbers: int) -> list[list[int]]:
        """Return members in portions that fit into memory, and hence into caches."""
        portions = max(1, -(-len(who) * numbers // batching.MAX_NUMBERS_AT_ONCE))
        size = max(1, -(-len(who) // portions))
        return [who[start : start + size] for start in range(0, len(who), size)]

    def _gradients(
        self, who: list[int], chosen: Whole, noises: dict[int, Noise]
    ) -> dict[int, Scored]:
        """Put the gradients of one batch of each in place; chosen [K, B]."""
        torch._foreach_zero_([gradient_of(self.members[i]) for i in who])
        batches = self.members[0].batches
        rows = Rows(batches.lengths(chosen))
        run = self._stack.run(rows, who, _read(batches, chosen, rows), [noises[i] for i in who])
        leaves = [leaf.requires_grad_() for leaf in run.read]
        scores = {}
        with torch.enable_grad():
            for i, leaf, ours in zip(who, leaves, chosen, strict=True):
                scores[i] = self._score(i, leaf, ours, batches)
            means = [scored.loss / scored.count for scored in scores.values()]
        torch.autograd.backward(means)
        self._stack.back(run, [leaf.grad for leaf in leaves if leaf.grad is not None])
        # Outputs of all portions at once would fill the caches, and training asks for none.
        return {
            i: replace(scored, loss=scored.loss.detach(), classes=None)
            for i, scored in scores.items()
        }

    def _update(self, who: list[int], scores: dict[int, Scored]) -> list[int]:
        """Clip and step those whose loss and gradient are finite, and return them."""
        members = self.members
        losses = torch.stack([scores[i].loss for i in who]).tolist()
        norms = torch.stack(torch._foreach_norm([gradient_of(members[i]) for i in who])).tolist()
        self._losses = dict(zip(who, losses, strict=True))
        live = []
        for i, loss, norm in zip(who, losses, norms, strict=True):
            if not (math.isfinite(norm) and math.isfinite(loss)):
                continue
            clip = members[i].config.gradient_clip
            if clip is not None and norm > clip:
                gradient_of(members[i]).mul_(clip / norm)
            live.append(i)
        for alike in self._alike(live):
            weights: list[Tensor] = [member.weights for member in alike]
            states = [member.optimizer_state for member in alike]
            optimizers.step(alike[0].config, weights, states)
        return live

    def _alike(self, who: list[int]) -> list[list[Training]]:
        """Return these members by optimizer and its settings: one step moves all of a kind."""
        found: dict[tuple[object, ...], list[Training]] = defaultdict(list)
        for i in who:
            config = self.members[i].config
            settings = config.optimizer, config.learning_rate, config.weight_decay
            found[settings].append(self.members[i])
        return list(found.values())

    def _evaluate(self, who: list[int], sequences: Sequences) -> list[dict[str, float]]:
        totals = {i: Totals(self._kind) for i in who}
        batches = Batches(sequences, self._kind)
        with torch.no_grad():
            for ours in batches.ordered_choices():
                config = self.members[0].config.model_copy(update={"batch_size": len(ours)})
                for some in self._portions(
                    who, batching.numbers(config, int(batches.lengths(ours)[0]))
                ):
                    chosen = np.tile(ours, (len(some), 1))
                    rows = Rows(batches.lengths(chosen))
                    run = self._stack.run(rows, some, _read(batches, chosen, rows))
                    for i, leaf in zip(some, run.read, strict=True):
                        totals[i].add(self._score(i, leaf, ours, batches))
        return [totals[i].metrics() for i in who]

    def _score(self, i: int, read: Tensor, chosen: Whole, batches: Batches) -> Scored:
        """Score one member's outputs, read from its last step or from every one."""
        if self._data.info.causal:
            batch = batches.batch(chosen)
        else:
            lengths = torch.from_numpy(batches.lengths(chosen))
            batch = Batch(torch.empty(int(lengths[0]), 0), lengths, batches.targets(chosen))
        return SCORES[self._kind](self.members[i].model.readout(read), batch)


def gradient_of(member: Training) -> Tensor:
    """Return the vector of all of a member's gradients."""
    gradient = member.weights.grad
    assert gradient is not None
    return gradient


def _goes_on(member: Training, until: int) -> bool:
    return not member.diverged and member.epoch < min(until, member.config.max_epochs)


def _read(batches: Batches, chosen: Whole, rows: Rows) -> Tensor:
    """Return the input's rows."""
    return batches.steps(chosen[rows.model, rows.place], rows.step)
