"""What every format of own data becomes before it is checked, and how its places are named."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import Columns, Label
from trainables.data.formats.feature_check import FeatureCheck

Array = NDArray[Any]
#: What a sequence has; "x" are its steps.
Part = Literal["x", "lengths", "y", "split", "group"]


class Places(Protocol):
    """Names places in the user's file for messages, as the user would look for them."""

    def whole(self, part: Part) -> str:
        """Return the place of all values of a part."""

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value."""

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""


@dataclass(frozen=True)
class Ragged:
    """Sequences that lie end to end, of known types and shapes; values are not checked yet.

    x: [steps, features] numbers, or [steps] whole numbers where symbols are asked for.
    y: [n] classes 0 … C-1 (see labels) or numbers, [n, targets] several of them, [steps] classes
       of each step (tagging), where a task has targets.
    split: [n] text. group: [n] text or whole numbers.
    """

    x: Array
    lengths: NDArray[np.int64]
    places: Places = field(repr=False)
    y: Array | None = None
    split: Array | None = None
    group: Array | None = None
    ids: Array | None = None  #: [n] text or whole numbers: what the user calls each sequence
    labels: tuple[Label, ...] | None = None  #: of classes or symbols; None where 0, 1, 2, …
    in_order: bool = False  #: sequences are stretches of one text: parts are dealt in its order
    columns: Columns | None = None  #: of a table, how it was read
    #: [steps] time since the step before, 0 at the first one, where steps have times.
    gap: NDArray[np.float32] | None = None
    characters: Array | None = None  #: of text in a learned vocabulary, as in Sequences
    #: Of features that were looked at and not kept, what was found. x has no values of them then,
    #: but for a series that is forecast.
    checked: FeatureCheck | None = None


def sequence_of(lengths: NDArray[np.int64], step: int) -> tuple[int, int]:
    """Return the sequence that a step of x is of, and the step's number in it."""
    ends = np.cumsum(lengths)
    sequence = int(np.searchsorted(ends, step, side="right"))
    return sequence, step - int(ends[sequence] - lengths[sequence])


def first(wrong: NDArray[np.bool_]) -> int | None:
    """Return the first position that is marked, or None."""
    return int(np.argmax(wrong)) if wrong.any() else None
