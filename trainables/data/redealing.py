"""Deals a task's data anew, so that a comparison is not one of a single split. NumPy only.

    splits   training and validation part are dealt again, the test part stays as it is
    nested   all sequences are dealt again, to an outer training, validation and test part

Parts keep their sizes. Classes stay in proportion, and groups whole. A text or a series is cut into
contiguous stretches. A task that generates its data draws all of it anew under either design. Where
a task standardises or fills with means, these are fitted again on the new training part, and so is
a vocabulary that was learned from it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainables.data import tasks
from trainables.data.scaling import filled, standardised
from trainables.data.sequences import Data, Sequences
from trainables.data.splits import grouped, proportional, rotated

CHECKED = 20  #: dealings that are tried before a job begins, where groups may be too few


@dataclass(frozen=True)
class Split:
    """One way of dealing a task's data: equal ones give equal parts."""

    design: Literal["splits", "nested"]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the split as plain JSON types."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what as_dict() gave as a split."""
        return cls(**plain)


class Splits:
    """A task's data on one split or another; each is kept for as long as somebody uses it."""

    def __init__(self, data: Data) -> None:
        self.loaded = data  #: as the task deals it
        self._dealt: WeakValueDictionary[Split, Data] = WeakValueDictionary()

    def of(self, split: Split | None) -> Data:
        """Return the data on a split; None is the one that it was loaded with."""
        if split is None:
            return self.loaded
        found = self._dealt.get(split)
        if found is None:
            self._dealt[split] = found = redeal(self.loaded, split)
        return found


def deal(data: Data, split: Split) -> list[NDArray[np.int64]]:
    """Return which sequences are for training, validation and test, as three sorted vectors.

    Sequences are numbered through the data's training, validation and test part as loaded. Not for
    tasks that draw their data. Raises InputError where there are too few groups.
    """
    dealing = data.dealing
    parts = data.parts[:2] if split.design == "splits" else data.parts
    sizes = [len(part) for part in parts]
    number, rng = sum(sizes), np.random.default_rng(split.seed)
    labels = np.zeros(number, dtype=np.int64)
    if data.info.kind == "classification":
        labels = np.concatenate([part.y for part in parts if part.y is not None]).astype(np.int64)
    if dealing.group is not None:
        shares = [size / number for size in sizes]
        found = grouped(dealing.group[:number], labels, shares, rng, f"{data.info.name}: group")
    elif dealing.by == "stretches":
        order = np.arange(number) if dealing.order is None else dealing.order[:number]
        found = rotated(order, sizes, rng)
    else:
        found = proportional(labels, sizes, rng)
    if split.design == "splits":
        found.append(np.arange(number, number + len(data.test)))
    return found


def redeal(data: Data, split: Split) -> Data:
    """Return the data dealt anew. Its x is that of pooled data, read in another order."""
    if data.dealing.by == "draws":
        assert data.dealing.spec is not None
        drawn = data.dealing.spec.model_copy(update={"seed": split.seed})
        return tasks.load(drawn, Path())
    told = f"{data.info.fingerprint} {split.design} {split.seed}"
    info = replace(data.info, fingerprint=hashlib.sha256(told.encode()).hexdigest())
    if data.dealing.text is not None:
        return data.dealing.text.redealt(replace(data, info=info), split.design, split.seed)
    data = pooled(data)
    dealt = deal(data, split)
    train, validation, test = (_chosen(data, positions) for positions in dealt)
    dealt_anew = Data(info, train, validation, test, dealing=data.dealing)
    return standardised(dealt_anew) if data.dealing.standardised else filled(dealt_anew)


def pooled(data: Data) -> Data:
    """Return the same data with one x that all three parts are read from.

    However often it is dealt anew, its values are in memory once.
    """
    if data.dealing.by == "draws" or data.dealing.text is not None:
        return data
    if data.train.x is data.validation.x is data.test.x:
        return data
    x = np.concatenate([part.x for part in data.parts])
    begins = np.cumsum([0, *(len(part.x) for part in data.parts)])[:-1]
    of_steps = [part.y for part in data.parts if part.stepwise and part.y is not None]
    y = np.concatenate(of_steps) if of_steps else None
    train, validation, test = (
        replace(part, x=x, y=part.y if y is None else y, at=part.starts + begin)
        for part, begin in zip(data.parts, begins, strict=True)
    )
    return replace(data, train=train, validation=validation, test=test)


def check(data: Data, design: Literal["seeds", "splits", "nested"]) -> None:
    """Raise InputError where the data cannot be dealt anew: too few groups, or parts in time."""
    if design != "seeds" and data.dealing.by == "time":
        rule = f"design must be seeds for forecasting, whose parts follow time, not {design}"
        raise InputError.of("confirm.design", rule, "write design: seeds")
    if design != "seeds" and data.dealing.group is not None:
        for seed in range(CHECKED):
            deal(data, Split(design, seed))


def notes(data: Data, design: Literal["seeds", "splits", "nested"]) -> list[str]:
    """Return sentences on what a design means for this data, where one might expect otherwise."""
    if design == "seeds":
        return []
    if data.dealing.by == "draws":
        return [
            f"confirm.design {design} draws new data for every replicate: the task generates it"
        ]
    if design == "nested" and data.dealing.official_test:
        return [
            "confirm.design nested deals the official test part anew with all other sequences: its "
            "test values are not those that others report for the official one"
        ]
    return []


def _chosen(data: Data, positions: NDArray[np.int64]) -> Sequences:
    """Return some sequences of pooled data, numbered through its parts."""
    y = data.train.y
    if y is not None and not data.train.stepwise:
        y = np.concatenate([part.y for part in data.parts if part.y is not None])[positions]
    offsets = [part.offsets for part in data.parts if part.offsets is not None]
    return Sequences(
        data.train.x,
        np.concatenate([part.lengths for part in data.parts])[positions],
        y,
        np.concatenate([part.starts for part in data.parts])[positions],
        stepwise=data.train.stepwise,
        offsets=np.concatenate(offsets)[positions] if offsets else None,
    )
