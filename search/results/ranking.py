"""Which configuration comes first: the one place of the rules that order trials.

Search rank: complete search trials are ordered by their validation value, then by the validation
loss of their best epoch, then fewer parameters, then the lower number. The finalists of an arm are
the first ones.

Candidates: once finalists are trained again with fresh seeds, they come before the other trials,
and are ordered by validation data alone: a choice by test data would flatter the choice. First
come those that completed a replicate; then those whose replicates diverged less often; then those
with the better mean validation value, or for equal means the lower mean validation loss, over the
replicates that all of these finalists of the arm completed; then the search rank decides. Only the
first CHOOSING replicates of each count: who stands for an arm is settled by then, and no seeds that
are added after test scores were read change it.

The first candidate of an arm leads it: it stands for the arm in every table, and is exported first.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from search.journal.replay import TrialState
from search.journal.trial import TrialResult
from spaces.kinds import Metric

CHOOSING = 10  #: replicates of each finalist by which an arm's leader is chosen

#: Less is better; see search_rank.
SearchRank = tuple[float, float, int, int]


def search_rank(metric: Metric, trial: TrialResult | TrialState) -> SearchRank:
    """Return the key that sorts search trials, the best one first; last those without a value."""
    cost = math.inf if trial.value is None else metric.cost(trial.value)
    return cost, trial.loss, trial.parameters or 0, trial.number


@dataclass(frozen=True)
class Candidate:
    """A complete search trial, with its replicates where it is a finalist."""

    trial: TrialResult
    replicates: tuple[TrialResult, ...] = ()  #: in any state, by their replicate number

    @property
    def finalist(self) -> bool:
        """Whether the trial was chosen to be trained again with fresh seeds."""
        return bool(self.replicates)

    @cached_property
    def completed(self) -> tuple[TrialResult, ...]:
        """The replicates that were trained to their end."""
        return tuple(r for r in self.replicates if r.state == "complete" and r.value is not None)

    @property
    def diverged(self) -> int:
        """The number of replicates that diverged."""
        return sum(replicate.state == "diverged" for replicate in self.replicates)

    @cached_property
    def diverged_early(self) -> int:
        """How many of the replicates by which a leader is chosen diverged."""
        return sum(r.state == "diverged" and _choosing(r) for r in self.replicates)

    @cached_property
    def validation(self) -> dict[int | None, tuple[float, float]]:
        """Validation value and loss of those that were completed, by their replicate number."""
        return {
            r.replicate: (r.value, r.loss)
            for r in self.completed
            if r.value is not None and _choosing(r)
        }


def _choosing(replicate: TrialResult) -> bool:
    return replicate.replicate is None or replicate.replicate < CHOOSING


def ranked(metric: Metric, trials: Iterable[TrialResult]) -> list[TrialResult]:
    """Return the complete search trials among some, by search rank."""
    complete = (
        trial
        for trial in trials
        if trial.phase == "search" and trial.state == "complete" and trial.value is not None
    )
    return sorted(complete, key=lambda trial: search_rank(metric, trial))


def candidates(metric: Metric, trials: Sequence[TrialResult]) -> list[Candidate]:
    """Return the complete search trials of one arm or of several with their replicates, best first.

    trials: trials of both phases.
    """
    replicates: dict[tuple[str, int | None], list[TrialResult]] = defaultdict(list)
    for replicate in trials:
        if replicate.phase == "confirm":
            replicates[replicate.arm, replicate.finalist].append(replicate)
    found = [
        Candidate(trial, tuple(sorted(own, key=lambda replicate: replicate.replicate or 0)))
        for trial in ranked(metric, trials)
        for own in [replicates[trial.arm, trial.number]]
    ]
    means = _means(found)

    def key(candidate: Candidate) -> tuple[bool, bool, int, float, float]:  # the sort is stable
        mean = means.get((candidate.trial.arm, candidate.trial.number))
        cost, loss = (math.inf, math.inf) if mean is None else (metric.cost(mean[0]), mean[1])
        return (
            not candidate.finalist,
            not candidate.validation,
            candidate.diverged_early,
            cost,
            loss,
        )

    return sorted(found, key=key)


def _means(found: Sequence[Candidate]) -> dict[tuple[str, int], tuple[float, float]]:
    """Return finalists' mean validation value and loss over replicates that all rivals completed.

    Rivals are finalists of one arm whose replicates diverged equally often; see CHOOSING.
    """
    rivals: dict[tuple[str, int], list[Candidate]] = defaultdict(list)
    for candidate in found:
        if candidate.validation:
            rivals[candidate.trial.arm, candidate.diverged_early].append(candidate)
    return {
        (c.trial.arm, c.trial.number): (
            statistics.fmean(c.validation[r][0] for r in common),
            statistics.fmean(c.validation[r][1] for r in common),
        )
        for group in rivals.values()
        if (common := set.intersection(*(set(c.validation) for c in group)))
        for c in group
    }
