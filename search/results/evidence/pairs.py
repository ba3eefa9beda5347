"""Pairs of replicates: which of two arms wins one, at a margin below which results are the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean

import numpy as np

from search.results.evidence.betting import Floats
from search.results.evidence.components import Observation
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
class Result:
    """One result of an arm."""

    arm: str
    key: str  #: what it has in common with a result of another arm
    value: float | None  #: None: diverged
    split: str | None = None  #: of the data; None where that is not known
    configuration: str = ""  #: within its arm


class Results:
    """The results of some arms, paired.

    Results of an arm on one of several splits share its luck: they are no further pairs, and their
    mean counts as one result. Where all are of one split, equal keys are pairs.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results
        splits = {result.split for result in results}
        #: Whether there are several results of an arm on one of several splits.
        self.averaged = len(splits) > 1 and len({(r.arm, r.split) for r in results}) < len(results)

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """The values by arm and by what pairs them, arms in the order in which they come."""
        groups: dict[str, dict[str, list[float | None]]] = {}
        for result in self._results:
            groups.setdefault(result.arm, {}).setdefault(self._key(result), []).append(result.value)
        return {
            arm: {key: _mean(values) for key, values in own.items()} for arm, own in groups.items()
        }

    @property
    def observations(self) -> list[Observation]:
        """The single results whose splits are known, for components of variance."""
        return [
            Observation(r.arm, r.split, r.configuration, r.value)
            for r in self._results
            if r.split is not None and r.value is not None
        ]

    @property
    def unpaired(self) -> int:
        """The number of results that no pair of arms can use."""
        used = {
            (arm, key)
            for first, second in combinations(self.scores, 2)
            for key in self.scores[first].keys() & self.scores[second].keys()
            for arm in (first, second)
        }
        return sum((result.arm, self._key(result)) not in used for result in self._results)

    def _key(self, result: Result) -> str:
        return str(result.split) if self.averaged else result.key


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of one split's values; None where half of them or more diverged."""
    finite = [value for value in values if value is not None]
    return fmean(finite) if 2 * len(finite) > len(values) else None


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

    def within(self, margin: Margin) -> float | None:
        """Return the mean margin of the pairs in the values' unit; None where each has diverged."""
        widths = margin.widths(self.first, self.second)
        known = widths[~np.isnan(self.first - self.second)]
        return float(known.mean()) if len(known) else None

    @property
    def differences(self) -> Floats:
        """first - second where neither diverged."""
        difference = self.first - self.second
        return np.asarray(difference[~np.isnan(difference)])


def _array(values: Sequence[float | None]) -> Floats:
    finite = [v if v is not None and math.isfinite(v) else math.nan for v in values]
    return np.array(finite, dtype=np.float64)
