"""A verdict: which arm, by how much, how sure. `judge` in judge.py reaches one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from search.results.evidence.components import Components
from search.results.evidence.decision import Decision
from search.results.evidence.difference import Interval
from search.results.evidence.needed import StillNeeded
from search.results.evidence.pairs import Margin

Kind = Literal["decided", "undecided", "nothing-learned", "too-easy", "none"]
#: What differs between two replicates; "given" where another tool made them.
Design = Literal["nested", "splits", "seeds", "given"]


@dataclass(frozen=True)
class PairVerdict:
    """What the replicates that two arms have in common say about them."""

    first: str
    second: str
    probability: float  #: share of pairs in which first beats second; a tie counts one half
    interval: Interval  #: of the probability; those of all pairs of arms hold together
    difference: float | None  #: mean of first - second where neither diverged
    #: Of the mean difference, at any time; None: unbounded, as below 4 pairs.
    difference_interval: Interval | None
    sensitivity_interval: Interval | None  #: for overlapping splits: Nadeau-Bengio, for one look
    decision: Decision
    winner: str | None  #: where the decision is "better"
    pairs: int
    ties: int  #: pairs within the margin
    still_needed: StillNeeded | None  #: where the decision is "inconclusive"
    #: With the examples of a test part that stays resampled too, for one look; see crossed.py.
    resampled_interval: Interval | None = None
    tie_within: float | None = None  #: the margin in the metric's unit, as a mean over pairs

    @property
    def leader(self) -> str:
        """The arm that wins more pairs; the first one where they win equally many."""
        return self.second if self.probability < 0.5 else self.first

    @property
    def loser(self) -> str | None:
        """The other arm, where the decision is "better"."""
        return {self.first: self.second, self.second: self.first}.get(self.winner or "")

    def seen_from(self, arm: str) -> "PairVerdict":
        """Return the same verdict with this arm as the first one."""
        if arm == self.first:
            return self
        low, high = self.interval
        return replace(
            self,
            first=self.second,
            second=self.first,
            probability=1 - self.probability,
            interval=(1 - high, 1 - low),
            difference=None if self.difference is None else -self.difference,
            difference_interval=_negated(self.difference_interval),
            sensitivity_interval=_negated(self.sensitivity_interval),
            resampled_interval=_negated(self.resampled_interval),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        needed = self.still_needed
        plain: dict[str, Any] = {
            "first": self.first,
            "second": self.second,
            "probability": self.probability,
            "interval": list(self.interval),
            "difference": self.difference,
            "difference_interval": list(self.difference_interval or (None, None)),
            "decision": self.decision,
            "winner": self.winner,
            "pairs": self.pairs,
            "still_needed": None
            if needed is None
            else {"estimate": needed.estimate, "low": needed.low, "high": needed.high},
        }
        if self.sensitivity_interval is not None:
            plain["sensitivity_interval"] = list(self.sensitivity_interval)
        if self.resampled_interval is not None:
            plain["resampled_interval"] = list(self.resampled_interval)
        return plain


@dataclass(frozen=True)
class Verdict:
    """All that replicates say about some arms."""

    kind: Kind
    sentence: str
    design: Design
    metric: str
    margin: Margin
    confidence: float
    best: tuple[str, ...]  #: the arms that none was shown better than
    pairs: tuple[PairVerdict, ...]
    baselines: Mapping[str, float]
    variance: Components

    @property
    def winner(self) -> str | None:
        """The one best arm of a decided verdict."""
        return self.best[0] if self.kind == "decided" and len(self.best) == 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Return the form of verdict.json: plain JSON types, nothing NaN or infinite."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "design": self.design,
            "margin": self.margin.value,
            "margin_relative": self.margin.relative,
            "confidence": self.confidence,
            "best": list(self.best),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "baselines": [{"name": n, "value": value} for n, value in self.baselines.items()],
            "variance": {
                "split": self.variance.split,
                "arm_split": self.variance.arm_split,
                "configuration": self.variance.configuration,
                "seed": self.variance.seed,
            },
        }


def _negated(interval: Interval | None) -> Interval | None:
    return None if interval is None else (-interval[1], -interval[0])
