"""What may be exported: a complete trial with its replicates, and how these rank."""

import statistics
from dataclasses import dataclass

from search.journal.trial import TrialResult
from search.results.read import Results
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.text import suggestion
from trainables.data.sequences import Data
from trainables.export import onnx


@dataclass(frozen=True)
class Candidate:
    """A complete search trial and the replicates that it was confirmed with."""

    trial: TrialResult
    replicates: tuple[TrialResult, ...] = ()  #: complete ones
    diverged: int = 0  #: replicates that diverged

    @property
    def confirmed(self) -> float | None:
        """The mean validation value of the replicates, or None without any."""
        values = [r.value for r in self.replicates if r.value is not None]
        return statistics.fmean(values) if values else None


@dataclass(frozen=True)
class Exported:
    """One configuration as it was exported: what the card tells."""

    results: Results
    candidate: Candidate
    data: Data
    config: TrialConfig
    scaling: onnx.Scaling | None
    best_epoch: int
    metrics: dict[str, float]  #: on validation data, at the best epoch
    comparison: onnx.Comparison


def ranked(results: Results, arm: str | None = None) -> list[Candidate]:
    """Return the complete search trials, best first: confirmed ones, then the others.

    A finalist whose replicates diverged comes after those whose replicates diverged less often.
    """
    if arm is not None and arm not in results.arms:
        raise InputError.of(
            "--arm", f"the job has no arm {arm!r}", suggestion(arm, list(results.arms))
        )
    sign = -1 if results.info.metric.direction == "maximize" else 1
    candidates = []
    for trial in results.ranked(arm):
        own = [r for r in results.confirm if r.arm == trial.arm and r.finalist == trial.number]
        complete = tuple(r for r in own if r.state == "complete" and r.value is not None)
        diverged = sum(r.state == "diverged" for r in own)
        candidates.append(Candidate(trial, complete, diverged))

    def key(candidate: Candidate) -> tuple[bool, int, float]:  # the sort is stable
        mean = candidate.confirmed
        return mean is None, candidate.diverged, 0.0 if mean is None else sign * mean

    return sorted(candidates, key=key)
