"""Looks at features for values that no training takes, stretch by stretch: none need be kept."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spaces.kinds import TaskKind
from spaces.own_data import Missing

Steps = NDArray[np.int64]


@dataclass
class Odd:
    """Values of one sort among all steps."""

    at: tuple[int, int] | None = None  #: the first one's step and feature
    value: float = 0.0  #: of the first one, in float32
    values: int = 0
    steps: int = 0  #: in which there are such values

    def add(self, odd: NDArray[np.bool_], values: NDArray[np.float32], steps: Steps) -> None:
        """Count values [n, features] where they are odd. steps: [n] the number of each step."""
        of_step = odd.any(axis=1)
        if not of_step.any():
            return
        self.values += int(odd.sum())
        self.steps += int(of_step.sum())
        rows = np.flatnonzero(of_step)
        row = int(rows[np.argmin(steps[rows])])
        at = (int(steps[row]), int(np.argmax(odd[row])))
        if self.at is None or at < self.at:
            self.at, self.value = at, float(values[row, at[1]])


@dataclass
class FeatureCheck:
    """What was found of features of all steps."""

    kind: TaskKind
    missing: Missing
    absent: Odd = field(default_factory=Odd)  #: NaN, where it is refused
    infinite: Odd = field(default_factory=Odd)
    no_frame: Odd = field(default_factory=Odd)  #: neither 0 nor 1, of frames

    def look(self, values: NDArray[np.float32], steps: Steps) -> None:
        """Look at some steps [n, features]. steps: [n] the number of each."""
        if not np.isfinite(values).all():
            if self.missing == "refuse":
                self.absent.add(np.isnan(values), values, steps)
            self.infinite.add(np.isinf(values), values, steps)
        if self.kind == "next-step":
            self.no_frame.add((values != 0) & (values != 1), values, steps)
