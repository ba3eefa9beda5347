"""Pairs of replicates: which of two arms wins one, at a margin below which results are the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.results.evidence.betting import Floats
from spaces.errors import InputError
from spaces.text import show

#: Results of one arm by what pairs them: a replicate's number, or the name of a split and seed.
#: None is a replicate that diverged, which counts as worse than any value.
Scores = Mapping[str, float | None]
#: Rounding that no difference may rest on: 0.98 - 0.97 is above 0.01 in floating point.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Margin:
    """The difference up to which two results count as the same."""

    value: float
    relative: bool = False  #: a share of the larger of two absolute values

    def widths(self, first: Floats, second: Floats) -> Floats:
        """Return the margin for each pair, in the values' own unit."""
        larger = np.maximum(np.abs(first), np.abs(second))
        return self.value * larger if self.relative else np.full_like(larger, self.value)

    def __str__(self) -> str:
        return f"{100 * self.value:.6g} %" if self.relative else f"{self.value:.6g}"


def default_margin(*, maximize: bool) -> Margin:
    """Return 0.01 for what is maximized, as accuracies are, and 2 % for losses."""
    return Margin(0.01) if maximize else Margin(0.02, relative=True)


def parse_margin(text: str) -> Margin:
    """Return the margin that a text means: 0.01, or 2% of a value. Raises InputError."""
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    relative = "%" in text
    if not 0 <= value < (100 if relative else math.inf):
        rule = f"--margin must be a number from 0 on, or a percentage below 100 %, not {show(text)}"
        raise InputError.of("gatesearch judge", rule, "give 0.01, or 2%")
    return Margin(value / 100, relative=True) if relative else Margin(value)


@dataclass(frozen=True)
class Paired:
    """The replicates that two arms have in common, in the order of the first arm."""

    first: Floats  #: [n], NaN where a replicate diverged
    second: Floats  #: [n]

    @classmethod
    def of(cls, first: Scores, second: Scores) -> "Paired":
        """Pair the scores of two arms; a key that one arm lacks is left out."""
        keys = [key for key in first if key in second]
        return cls(_array([first[key] for key in keys]), _array([second[key] for key in keys]))

    def outcomes(self, margin: Margin, *, maximize: bool) -> Floats:
        """Return X of shape [n]: 1 where the first arm wins, 1/2 for a tie, 0 where it loses.

        A diverged replicate loses against any value; two diverged ones tie.
        """
        gain = (self.first - self.second) * (1.0 if maximize else -1.0)
        widths = margin.widths(self.first, self.second)
        larger = np.maximum(np.abs(self.first), np.abs(self.second))
        widths = widths + _ROUNDING * np.maximum(widths, larger)
        # Comparisons with NaN are false: these are settled by who diverged.
        first_lost, second_lost = np.isnan(self.first), np.isnan(self.second)
        wins = (gain > widths) | (second_lost & ~first_lost)
        losses = (gain < -widths) | (first_lost & ~second_lost)
        return np.where(wins, 1.0, np.where(losses, 0.0, 0.5))

    @property
    def differences(self) -> Floats:
        """first - second where neither diverged."""
        difference = self.first - self.second
        return np.asarray(difference[~np.isnan(difference)])


def _array(values: Sequence[float | None]) -> Floats:
    finite = [v if v is not None and math.isfinite(v) else math.nan for v in values]
    return np.array(finite, dtype=np.float64)
