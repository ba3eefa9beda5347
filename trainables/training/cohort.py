"""Cohort: several trainings of one shape in one process, each as it would be alone.

What depends on the size of a whole batch (matrix products, sums, norms) is computed for each member
by itself, exactly as it is alone; the rest (gathering, masks, gates, elementwise work) and all
bookkeeping around it is done once for all members. Each gets the very bits that it gets alone: a
result does not depend on the other members.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.config import TrialConfig
from trainables import engine
from trainables.cells.noise import Noise
from trainables.data.batches import Batch, Batches
from trainables.engine.gpu.paths import OLDEST, has_triton, interpreted
from trainables.engine.rows import Rows
from trainables.training import batching
from trainables.training.advancing import Advancing
from trainables.training.cohort_layers import CohortLayers
from trainables.training.measured_path import measured_path
from trainables.training.metrics import Scored, Totals, score
from trainables.training.step import train_epoch
from trainables.training.trainer import Training, device_name

if TYPE_CHECKING:
    from trainables.training.stacked_cohort import StackedCohort

#: What trains together, whichever way.
AnyCohort: TypeAlias = "Cohort | StackedCohort"
Positions = NDArray[np.int64]
T = TypeVar("T")


def stacks(config: TrialConfig, device: str) -> bool:
    """Return whether a configuration trains as a StackedCohort does: on a card, with Triton."""
    if config.cell == "transformer" or config.carry_state != "never" or not has_triton():
        return False
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= OLDEST
    return interpreted()


def can_batch(config: TrialConfig, device: str = "cpu") -> bool:
    """Return whether members of that configuration train together, not one after the other."""
    if stacks(config, device):
        return True
    if config.carry_state != "never":  # what goes on from batch to batch is trained alone
        return False
    if (config.cell, config.gates) in batching.UNBATCHABLE or torch.device(device).type != "cpu":
        return False
    return engine.available()


def cohort_of(members: Sequence[Training]) -> AnyCohort:
    """Return the cohort of trainings of one shape that their device calls for."""
    if stacks(members[0].config, str(members[0].device)):
        # It needs Triton, which is where a card is.
        from trainables.training.stacked_cohort import StackedCohort

        return StackedCohort(members)
    return Cohort(members)


class Cohort(Advancing):
    """Trainings of one shape on one task, advanced together, each on the split that it has.

    A member that diverges leaves the others; one that starts with more epochs than they have ends
    earlier. Members stay trainings of their own, with their own curve, best epoch and checkpoint,
    and may go on alone or in another cohort at any time. Where members cannot be batched (see
    can_batch), or their splits are of different sizes, they advance one after the other, epoch by
    epoch.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        """Raises ValueError where the members' shapes or tasks differ."""
        super().__init__(members)
        first = self.members[0]
        self._data, self._config = first.data, first.config
        self.batched = len(self.members) > 1 and can_batch(first.config, str(first.device))
        self.batched &= len({len(member.batches) for member in self.members}) == 1
        if self.batched:
            self._layers = CohortLayers([member.model for member in self.members])
            self._path = measured_path("engine", device_name(first.device), "float32")

    def evaluate(
        self, split: str, whose: Iterable[int] | None = None
    ) -> list[dict[str, float] | None]:
        """Return all metrics of each member with its best epoch's weights; None without one.

        whose: the places of the members that are evaluated; the others' are None.
        """
        found: list[dict[str, float] | None] = [None] * len(self.members)
        active = self.evaluable(whose)
        if not self.batched:
            for i in active:
                found[i] = self.members[i].evaluate(split)
            return found
        with ExitStack() as stack:
            for i in active:
                stack.enter_context(self.members[i].at_best())
            metrics = self._evaluate(active, split)
        for i, metric in zip(active, metrics, strict=True):
            found[i] = metric
        return found

    def _epoch(self, active: list[int]) -> Iterator[None]:
        yield from ()  # what runs here, or eagerly on a card, leaves nothing to wait for
        if not self.batched or len(active) == 1:
            for i in active:
                self.members[i].advance(self.members[i].epoch + 1)
            return
        began = time.perf_counter()
        for i in active:
            self.members[i].path = self._path
        losses = dict(zip(active, self._train_epoch(active), strict=True))
        left = [i for i in active if losses[i] is not None]
        metrics = dict(zip(left, self._evaluate(left, "validation"), strict=True))
        share = (time.perf_counter() - began) / len(active)
        for i in active:
            self.members[i].record_epoch(losses[i], metrics.get(i, {}), share)

    def _train_epoch(self, active: list[int]) -> list[float | None]:
        """Train one epoch of each active member; return mean losses, None for diverged ones."""
        members = [self.members[i] for i in active]
        noises = [member.noise(member.epoch + 1) for member in members]
        choices = [
            member.batches.shuffled_choices(self._config.batch_size, member.seed, member.epoch + 1)
            for member in members
        ]
        size = batching.batch_numbers(self._config, self._data.info.longest)

        def differentiate(left: list[int], chosen: tuple[Positions, ...]) -> list[Scored]:
            scores: list[Scored] = []
            for chunk in self._chunks(left, size):
                chosen_KB = np.stack([chosen[at] for at in chunk])
                group = [active[at] for at in chunk]
                scores += self._differentiate(group, chosen_KB, [noises[at] for at in chunk])
            return scores

        return train_epoch(members, zip(*choices, strict=True), differentiate)

    def _chunks(self, active: list[T], size: int) -> list[list[T]]:
        """Return members in chunks that fit into caches; size: the numbers of a member's batch."""
        chunks = max(1, -(-len(active) * size // batching.MAX_COHORT_NUMBERS))
        length = max(1, -(-len(active) // chunks))
        return [active[start : start + length] for start in range(0, len(active), length)]

    def _differentiate(
        self, active: list[int], chosen_KB: Positions, noises: list[Noise]
    ) -> list[Scored]:
        """Add the gradients of one batch of each active member to its own, and score it."""
        batches = [self.members[i].batches for i in active]
        rows = _rows(batches, chosen_KB)
        x = self._inputs(batches, chosen_KB, rows)
        done = self._layers.forward(rows, active, x, noises)
        features = [feature.requires_grad_() for feature in done.features]
        with torch.enable_grad():
            scores = [
                self._score(i, feature, chosen_B, read)
                for i, feature, chosen_B, read in zip(
                    active, features, chosen_KB, batches, strict=True
                )
            ]
            means = [scored.loss / scored.count for scored in scores]
        torch.autograd.backward(means)
        self._layers.backward(done, [f.grad for f in features if f.grad is not None])
        # Outputs of all chunks at once would fill the caches, and training reads none.
        return [replace(scored, loss=scored.loss.detach(), predicted=None) for scored in scores]

    def _evaluate(self, active: list[int], split: str) -> list[dict[str, float]]:
        kind = self._data.info.kind
        data = {i: self.members[i].data for i in active}
        parts = {i: getattr(each, split) for i, each in data.items()}
        totals = {i: Totals(self._data.info, data[i].unit(parts[i])) for i in active}
        buckets = self._config.buckets
        batches = {i: Batches(part, kind, buckets=buckets) for i, part in parts.items()}
        choices = [[(i, chosen_B) for chosen_B in batches[i].ordered_choices()] for i in active]
        with torch.no_grad():
            for together in zip_longest(*choices):
                sizes: defaultdict[int, list[tuple[int, Positions]]] = defaultdict(list)
                for one in together:  # other splits may fill other batches
                    if one is not None:
                        sizes[len(one[1])].append(one)
                for number, group in sizes.items():
                    config = self._config.model_copy(update={"batch_size": number})
                    longest = max(int(batches[i].lengths(chosen_B)[0]) for i, chosen_B in group)
                    size = batching.batch_numbers(config, longest)
                    for chunk in self._chunks(group, size):
                        self._evaluate_batch(chunk, batches, totals)
        return [totals[i].metrics() for i in active]

    def _evaluate_batch(
        self,
        chunk: list[tuple[int, Positions]],
        batches: dict[int, Batches],
        totals: dict[int, Totals],
    ) -> None:
        """Add the scores of one batch of each member, all of one size, to the totals."""
        chosen_KB = np.stack([chosen_B for _, chosen_B in chunk])
        active = [i for i, _ in chunk]
        read = [batches[i] for i in active]
        rows = _rows(read, chosen_KB)
        done = self._layers.forward(rows, active, self._inputs(read, chosen_KB, rows))
        for (i, chosen_B), features in zip(chunk, done.features, strict=True):
            totals[i].add(self._score(i, features, chosen_B, batches[i]))

    def _inputs(self, batches: list[Batches], chosen_KB: Positions, rows: Rows) -> Tensor:
        """Return the inputs' rows of all models' batches, as a model alone reads them."""
        x = _inputs(batches, chosen_KB, rows)
        if self._data.info.ahead.relative:
            pairs = list(zip(batches, chosen_KB, strict=True))
            last = [b.steps(chosen_B, b.lengths(chosen_B) - 1)[:, :1] for b, chosen_B in pairs]
            x[:, :1] -= torch.stack(last)[rows.model, rows.place]
        return x

    def _score(self, i: int, features: Tensor, chosen_B: Positions, batches: Batches) -> Scored:
        """Score one member's readout of features of the last step or of every one."""
        info = self._data.info
        if info.stepwise:
            batch = batches.batch(chosen_B)
        else:
            lengths = torch.from_numpy(batches.lengths(chosen_B))
            none, targets = torch.empty(int(lengths[0]), 0), batches.targets(chosen_B)
            of_each = targets, batches.class_weights, batches.units(chosen_B)
            batch = Batch(none, lengths, *of_each)
        return score(info, self.members[i].model.read(features), batch)


def _rows(batches: list[Batches], chosen_KB: Positions) -> Rows:
    """Return the rows of all models' batches."""
    return Rows(
        np.stack([b.lengths(chosen_B) for b, chosen_B in zip(batches, chosen_KB, strict=True)])
    )


def _inputs(batches: list[Batches], chosen_KB: Positions, rows: Rows) -> Tensor:
    """Return the inputs' rows of all models' batches."""
    if all(each.reads_as(batches[0]) for each in batches):
        return batches[0].steps(chosen_KB[rows.model, rows.place], rows.step)
    return torch.cat(
        [
            each.steps(chosen_B[rows.place[part]], rows.step[part])
            for each, chosen_B, part in zip(batches, chosen_KB, rows.slices(), strict=True)
        ]
    )
