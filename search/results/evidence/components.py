"""What the results vary with: components of variance, by the method of moments.

The model: a value is the arm's mean + split + arm x split + configuration + seed, all independent.
A component that the data cannot tell from others is None. Estimates below zero, which the method
gives where a component is small, are reported as 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np


@dataclass(frozen=True)
class Observation:
    """One result, and what it was made with; equal names are the same thing."""

    arm: str
    split: str
    configuration: str  #: within its arm
    value: float  #: finite


@dataclass(frozen=True)
class Components:
    """Variances, in the metric's unit squared; None: these results cannot tell."""

    split: float | None = None  #: between splits, common to the arms
    arm_split: float | None = None  #: between splits, an arm's own
    configuration: float | None = None  #: between configurations of an arm
    seed: float | None = None  #: between trainings of one configuration on one split


def components(observations: Sequence[Observation]) -> Components:
    """Estimate the components.

    seed: within one configuration on one split. configuration: between means of configurations of
    one arm on one split, less their share of seed. split: the covariance of two arms' means over
    splits. arm_split: an arm's variance over splits, less split, and less its means' shares of
    configuration and seed; with a new configuration for each split, it contains configuration.
    """
    cells: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seen in observations:
        cells[seen.arm, seen.split][seen.configuration].append(seen.value)
    by_arm: dict[str, dict[str, float]] = defaultdict(dict)
    for (arm, name), cell in cells.items():
        by_arm[arm][name] = fmean(map(fmean, cell.values()))
    seed = _pooled(values for cell in cells.values() for values in cell.values())
    configuration = _configuration(list(cells.values()), seed)
    split = _covariance(list(by_arm.values()))
    arm_split = _pooled(list(own.values()) for own in by_arm.values())
    if arm_split is not None and split is not None and seed is not None:
        # What seeds and configurations add to the mean of a cell.
        means = [fmean(1 / len(v) for v in cell.values()) / len(cell) for cell in cells.values()]
        several = fmean(1 / len(cell) for cell in cells.values())
        own = max(configuration or 0.0, 0.0) * several
        arm_split = _positive(arm_split - split - seed * fmean(means) - own)
    else:
        arm_split = None
    return Components(_positive(split), arm_split, _positive(configuration), seed)


def _configuration(
    cells: Sequence[Mapping[str, Sequence[float]]], seed: float | None
) -> float | None:
    """Return the variance between configurations of one arm on one split, without seeds' share."""
    several = [cell for cell in cells if len(cell) > 1]
    between = _pooled([fmean(values) for values in cell.values()] for cell in several)
    if between is None or seed is None:
        return None
    return between - seed * fmean(1 / len(values) for cell in several for values in cell.values())


def _pooled(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the variance within groups; None where no group has two values."""
    squares, freedom = 0.0, 0
    for group in groups:
        squares += float(np.var(group)) * len(group)
        freedom += len(group) - 1
    return squares / freedom if freedom else None


def _covariance(arms: Sequence[dict[str, float]]) -> float | None:
    """Return the mean covariance of two arms over the splits that both have."""
    found = []
    for first, second in combinations(arms, 2):
        common = [split for split in first if split in second]
        if len(common) > 1:
            ours, theirs = [first[s] for s in common], [second[s] for s in common]
            found.append(float(np.cov(ours, theirs)[0, 1]))
    return fmean(found) if found else None


def _positive(variance: float | None) -> float | None:
    return None if variance is None else max(variance, 0.0)
