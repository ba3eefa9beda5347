"""Data of a part on a device, from which the batches of several models are gathered at once.

Models on splits of their own have that part of each split side by side there.

Shapes are suffixes: n sequences, K models, T steps, B sequences a model, I inputs.
"""

import math
import weakref
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.kinds import TaskKind, is_causal
from trainables.data.forecast_units import ForecastUnits, units_of
from trainables.data.sequences import Sequences

#: Padded lengths are multiples of a share of the longest: batches of few different shapes.
SHARES = 4
#: Where batches are of nearly one length, they are the longest divided by powers of this.
GRADE = 1.1


class StackedData:
    """All sequences of a part, of one split or of several, padded, on a device."""

    def __init__(self, parts: tuple[Sequences, ...], kind: TaskKind, device: torch.device) -> None:
        """Lay the parts end to end: those of one split, or of several that are not the same."""
        self._of = parts  # kept, so that no others have their identity; see on_device
        self._causal = is_causal(kind)  # targets are x, one step on
        sizes = [len(part) for part in parts]
        #: Of each part, by its identity: the number of its first sequence.
        self.first = {id(part): sum(sizes[:at]) for at, part in enumerate(parts)}
        lengths = np.concatenate([part.lengths for part in parts])
        self._longest = int(lengths.max()) - self._causal
        x = parts[0].x
        padded = np.zeros((len(lengths), int(lengths.max()), *x.shape[1:]), x.dtype)
        exists = np.arange(padded.shape[1]) < lengths[:, None]
        padded[exists] = np.concatenate([part.all_steps() for part in parts])
        self._x = torch.from_numpy(padded).to(device)
        self._lengths = torch.from_numpy(lengths - self._causal).to(device)
        self._read: NDArray[np.int64] = lengths - self._causal
        self._stepwise = parts[0].stepwise  # targets are one a step, padded as x is
        if self._stepwise:
            y = np.zeros(exists.shape, np.int64)
            y[exists] = np.concatenate([part.step_targets() for part in parts])
            self._y: Tensor | None = torch.from_numpy(y).to(device)
        else:
            targets = [part.targets for part in parts if part.targets is not None]
            self._y = torch.from_numpy(np.concatenate(targets)).to(device) if targets else None
        units = units_of(parts[0])  # of forecasts, which are never on splits of their own
        self._units = None if units is None else units.to(device)

    def steps(self, chosen: NDArray[np.int64], *, buckets: bool = False) -> int:
        """Return to how many steps batches of these sequences are padded; -1 is none.

        buckets: whether these batches are of nearly one length, see Batches.
        """
        longest = int(self._read[chosen[chosen >= 0]].max())
        if buckets:
            grades = math.floor(math.log(self._longest / longest, GRADE))
            return max(longest, math.ceil(self._longest / GRADE**grades))
        share = -(-self._longest // SHARES)
        return min(self._longest, -(-longest // share) * share)

    def batch(self, chosen_KB: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return x [K, T, B, I] or symbols [K, T, B], lengths [K, B] and targets.

        Where nobody is chosen (-1) there is a sequence of length 0. Targets are [K, B], several of
        them [K, B, targets], classes of steps [K, T, B], or x one step on.
        """
        at = chosen_KB.clamp(min=0)
        lengths = torch.where(chosen_KB >= 0, self._lengths[at], 0)
        x = self._x[at, :steps].transpose(1, 2).contiguous()
        if self._y is not None and self._stepwise:
            return x, lengths, self._y[at, :steps].transpose(1, 2).contiguous()
        if self._y is not None:
            return x, lengths, self._y[at]
        return x, lengths, self._x[at, 1 : steps + 1].transpose(1, 2).contiguous()

    def units(self, chosen_KB: Tensor) -> ForecastUnits | None:
        """Return the units of forecasts; those of the first one where nobody is chosen."""
        return None if self._units is None else self._units.chosen(chosen_KB.clamp(min=0))


_KEPT: weakref.WeakValueDictionary[tuple[tuple[int, ...], TaskKind, torch.device], StackedData] = (
    weakref.WeakValueDictionary()
)


def on_device(parts: Iterable[Sequences], kind: TaskKind, device: torch.device) -> StackedData:
    """Return the parts' data on a device: the same arrays for all cohorts that use them now."""
    different = tuple({id(part): part for part in parts}.values())
    key = tuple(map(id, different)), kind, device
    if (data := _KEPT.get(key)) is None:
        _KEPT[key] = data = StackedData(different, kind, device)
        if device.type == "cuda":  # other streams may read it at once
            torch.cuda.current_stream(device).synchronize()
    return data
