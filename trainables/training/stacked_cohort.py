"""StackedCohort: trainings of one shape on a device, all in the same launches.

Each member has its own weights, learning rate, optimizer, dropout, seed, order of data and end. Its
masks and batches are those that it has alone, as a cohort of one. Its results are those that it has
alone within rounding: a library may add a product up in another order if there are more models.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from spaces.hyperparameters import Precision
from trainables.data.batches import Batches
from trainables.data.sequences import Sequences
from trainables.layers.stacked_model import StackedModel
from trainables.layers.stacked_scan import valid_steps
from trainables.part_metrics import summed_metrics
from trainables.training.advancing import Advancing
from trainables.training.measured_path import measured_path
from trainables.training.metrics import decided_by_part, in_units
from trainables.training.stacked_data import StackedData, on_device
from trainables.training.stacked_scores import score
from trainables.training.stacked_step import StackedStep
from trainables.training.trainer import NOISE_STREAMS, Training, derived_seed, device_name

Positions = NDArray[np.int64]
#: Of each model evaluated: sums of losses, of what is correct, and of counts.
Totals = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
#: Of a batch, where a metric needs all at once: outputs [K, B, O], targets [K, B], who was chosen.
Predicted = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

#: Padded steps of all models in one batch of an evaluation, at most.
EVALUATION_STEPS = 1 << 21


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Let libraries multiply float32 operands as the precision says: exactly, or as tf32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


class StackedCohort(Advancing):
    """Trainings of one shape on one task, advanced together on one device.

    Each reads the split that it has: what differs from the others' is on the device as well.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        """Raises ValueError where the members' shapes or data differ."""
        super().__init__(members)
        self._first = first = self.members[0]
        self._model = StackedModel(first.model, first.config.precision)
        self._splits: dict[str, StackedData] = {}
        self._inner: tuple[tuple[int, ...], StackedStep] | None = None
        self._buckets = first.config.buckets
        self.batched = True

    def evaluate(
        self, split: str, whose: Iterable[int] | None = None
    ) -> list[dict[str, float] | None]:
        """Return all metrics of each member with its best epoch's weights; None without one.

        whose: the places of the members that are evaluated; the others' are None.
        """
        found: list[dict[str, float] | None] = [None] * len(self.members)
        active = self.evaluable(whose)
        with ExitStack() as stack:
            for i in active:
                stack.enter_context(self.members[i].at_best())
            stack.enter_context(products(self._first.config.precision))
            metrics = self._metrics(active, split, *self._begin_evaluation(active, split))
        for i, metric in zip(active, metrics, strict=True):
            found[i] = metric
        return found

    def _epoch(self, active: list[int]) -> Iterator[None]:
        began, precision = time.perf_counter(), self._first.config.precision
        with products(precision):
            whose, step = self._begin_training(active)
        yield
        losses = _losses(active, whose, step)
        left = [i for i in active if losses[i] is not None]
        with products(precision):
            scores = self._begin_evaluation(left, "validation")
        yield
        metrics = dict(zip(left, self._metrics(left, "validation", *scores), strict=True))
        share = (time.perf_counter() - began) / (len(active) + self.beside)
        for i in active:
            self.members[i].record_epoch(losses[i], metrics.get(i, {}), share)

    def _step(self, active: list[int]) -> tuple[tuple[int, ...], StackedStep]:
        """Return the step, and whose it is: of all members, until most of them have ended."""
        if self._inner is None or not set(active) <= set(self._inner[0]):
            whose = tuple(range(len(self.members)))
        elif 2 * len(active) <= len(self._inner[0]):
            whose = tuple(active)
        else:
            return self._inner
        if self._inner is None or whose != self._inner[0]:
            members = [self.members[i] for i in whose]
            self._inner = whose, StackedStep(members, self._model, self._data("train"))
        return self._inner

    def _begin_training(self, active: list[int]) -> tuple[tuple[int, ...], StackedStep]:
        """Give the device an epoch of each active member; return the step, and whose it is."""
        whose, step = self._step(active)
        batches, size = self._batches(whose, active)
        chosen = np.full((len(batches), len(whose), size), -1, np.int64)
        first = self._first_of(whose, "train")
        for number, of_members in enumerate(batches):
            for place, positions in of_members:
                chosen[number, place, : len(positions)] = positions + first[place]
        seeds = [
            tuple(derived_seed(member.seed, stream, member.epoch + 1) for stream in NOISE_STREAMS)
            for member in (self.members[i] for i in whose)
        ]
        for i in active:
            self.members[i].path = self._path(len(whose))
        rates = [self.members[i].rate for i in whose]
        step.begin_epoch(seeds, rates, torch.from_numpy(chosen))
        data = self._data("train")
        for number in range(len(batches)):
            step.run(data.steps(chosen[number], buckets=self._buckets))
        return whose, step

    def _path(self, models: int) -> str:
        """Return the path of so many models in one launch."""
        device = self._first.device
        path = self._model.path(device, models)
        return measured_path(path, device_name(device), self._first.config.precision)

    def _batches(
        self, whose: tuple[int, ...], active: list[int]
    ) -> tuple[list[list[tuple[int, Positions]]], int]:
        """Return each batch's chosen sequences by their model's place, and the largest size."""
        size = self._first.config.batch_size
        batches: list[list[tuple[int, Positions]]] = []
        for place, i in enumerate(whose):
            if i not in active:
                continue
            member = self.members[i]
            choices = member.batches.shuffled_choices(size, member.seed, member.epoch + 1)
            for number, positions in enumerate(choices):
                if number == len(batches):
                    batches.append([])
                batches[number].append((place, positions))
        largest = max(len(positions) for batch in batches for _, positions in batch)
        return batches, largest

    def _data(self, split: str) -> StackedData:
        """Return a part of all members' splits: what is on the device is read as it is there."""
        if split not in self._splits:
            parts: list[Sequences] = [getattr(member.data, split) for member in self.members]
            first = self._first
            self._splits[split] = on_device(parts, first.data.info.kind, first.device)
        return self._splits[split]

    def _first_of(self, whose: Sequence[int], split: str) -> list[int]:
        """Return the number of the first sequence of each member's part on the device."""
        data = self._data(split)
        return [data.first[id(getattr(self.members[i].data, split))] for i in whose]

    def _evaluation(self, active: list[int], split: str) -> Iterator[Positions]:
        """Yield which sequences [K, B] of a part each member is scored on, -1 for none."""
        steps = max(1, EVALUATION_STEPS // len(active))
        kind = self._first.data.info.kind
        parts: list[Sequences] = [getattr(self.members[i].data, split) for i in active]
        found = {
            id(part): list(Batches(part, kind, buckets=self._buckets).ordered_choices(steps))
            for part in {id(part): part for part in parts}.values()
        }
        first = self._first_of(active, split)
        for together in zip_longest(*(found[id(part)] for part in parts)):
            size = max(len(chosen_B) for chosen_B in together if chosen_B is not None)
            chosen_KB = np.full((len(active), size), -1, np.int64)
            for place, chosen_B in enumerate(together):
                if chosen_B is not None:
                    chosen_KB[place, : len(chosen_B)] = chosen_B + first[place]
            yield chosen_KB

    def _begin_evaluation(
        self, active: list[int], split: str
    ) -> tuple[Totals | None, list[Predicted]]:
        """Let the device score each active member with the weights that it has now."""
        predicted: list[Predicted] = []
        if not active:
            return None, predicted
        info, data = self._first.data.info, self._data(split)
        members = [self.members[i] for i in active]
        weights = torch.stack([member.weights for member in members])
        buffers = {
            name: torch.stack([member.buffers[name] for member in members])
            for name in self._model.buffers
        }
        losses = torch.zeros(len(active), dtype=torch.float64, device=weights.device)
        counts, correct = (torch.zeros_like(losses, dtype=torch.int64) for _ in range(2))
        with torch.inference_mode():
            for chosen_KB in self._evaluation(active, split):
                chosen = torch.from_numpy(chosen_KB).to(weights.device)
                x, lengths, targets = data.batch(
                    chosen, data.steps(chosen_KB, buckets=self._buckets)
                )
                outputs = self._model(weights, buffers, x, lengths)
                scores = score(info, outputs, targets, lengths)
                losses += scores.losses.double()
                counts += scores.counts
                if scores.correct is not None:
                    correct += scores.correct
                if info.by_part:
                    there = chosen >= 0
                    if info.stepwise:
                        there = valid_steps(lengths, outputs.shape[1])
                    told = outputs, targets
                    if info.kind == "forecasting":
                        forecasts = outputs[..., info.central]
                        told = in_units(forecasts, targets, data.units(chosen))
                    predicted.append((*told, there))
        return (losses, correct, counts), predicted

    def _metrics(
        self, active: list[int], split: str, totals: Totals | None, predicted: list[Predicted]
    ) -> list[dict[str, float]]:
        if totals is None:
            return []
        rows = zip(*(total.tolist() for total in totals), strict=True)
        info, data = self._first.data.info, [self.members[i].data for i in active]
        units = [each.unit(getattr(each, split)) for each in data]
        found = [
            summed_metrics(info, loss, correct, count, unit)
            for (loss, correct, count), unit in zip(rows, units, strict=True)
        ]
        for at, unit in enumerate(units if predicted else ()):
            parts = [(o[at][there[at]], t[at][there[at]]) for o, t, there in predicted]
            outputs, targets = (torch.cat(each) for each in zip(*parts, strict=True))
            found[at] |= decided_by_part(info, outputs, targets, unit)
        return found


def _losses(
    active: list[int], whose: tuple[int, ...], step: StackedStep
) -> dict[int, float | None]:
    """Return mean losses of the epoch that a step has trained, None for diverged members."""
    alive, losses, counts = step.alive.tolist(), step.losses.tolist(), step.counts.tolist()
    return {
        i: losses[place] / counts[place] if alive[place] else None
        for place, i in enumerate(whose)
        if i in active
    }
