"""What the verdicts on several tasks say together. `across` in judge_across.py reaches it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search.results.evidence.decision import Decision
from search.results.evidence.difference import Interval
from search.results.evidence.pairs import Scores
from search.results.evidence.ranks import Ranks
from search.results.evidence.signed_rank import Shares
from search.results.evidence.verdict import PairVerdict, Verdict

FEWEST = 6  #: tasks for a claim over tasks


@dataclass(frozen=True)
class Task:
    """One task: its results, and the verdict on them."""

    name: str
    verdict: Verdict
    scores: Mapping[str, Scores]
    maximize: bool
    job: str | None = None  #: that it is from

    @property
    def origin(self) -> str:
        """The job, or the task itself where there is none."""
        return self.job or self.name

    @cached_property
    def worst(self) -> float:
        """The worst value that any arm reached; what a diverged replicate counts as."""
        values = [v for own in self.scores.values() for v in own.values() if v is not None]
        return (min if self.maximize else max)(values, default=0.0)


@dataclass(frozen=True)
class OnTask:
    """Two arms on one task."""

    task: str
    pair: PairVerdict  #: seen from the first arm
    #: By how much the first arm is better on average, in margins of the task. A diverged replicate
    #: counts as the worst value of any arm there.
    gain: float
    gain_interval: Interval | None  #: at any time; None: unbounded, as below 4 pairs


@dataclass(frozen=True)
class AcrossPair:
    """Two arms on all tasks that have results of both."""

    first: str
    second: str
    tasks: tuple[OnTask, ...]
    probability: float  #: the mean of P over these tasks
    interval: Interval  #: of it; those of all pairs of arms hold together
    #: Below FEWEST tasks these are None, and where a margin of 0 leaves no common unit.
    shares: Shares | None = None  #: see signed_rank.py
    #: Wilcoxon's, that neither is better by the margin; Holm's correction.
    p_value: float | None = None
    decision: Decision | None = None
    winner: str | None = None  #: where the decision is "better"
    sentence: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        shares = self.shares
        return {
            "first": self.first,
            "second": self.second,
            "tasks": [_on_task(each) for each in self.tasks],
            "mean_probability": self.probability,
            "mean_interval": list(self.interval),
            "signed_rank": None if shares is None else shares._asdict(),
            "wilcoxon": self.p_value,
            "decision": self.decision,
            "winner": self.winner,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Across:
    """What several tasks together say about some arms."""

    sentence: str  #: all of it in one; nothing where there are no pairs
    confidence: float  #: the strictest of the tasks'
    tasks: tuple[Task, ...]  #: that take part
    left_out: Mapping[str, str]  #: why others do not, by the names of jobs or tasks
    pairs: tuple[AcrossPair, ...]  #: of arms that two tasks or more have in common
    ranks: Ranks | None
    no_ranks: str  #: why there are none, as a sentence
    no_claim: str  #: why gains have no common unit, as a sentence; mostly nothing
    cautions: tuple[str, ...] = ()  #: what a reader must know before using it

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types, nothing NaN or infinite."""
        ranked = self.ranks
        return {
            "sentence": self.sentence,
            "confidence": self.confidence,
            "tasks": [_task(task) for task in self.tasks],
            "left_out": [{"name": n, "reason": reason} for n, reason in self.left_out.items()],
            "pairs": [pair.as_dict() for pair in self.pairs],
            "ranks": None
            if ranked is None
            else {
                "tasks": ranked.tasks,
                "arms": [{"arm": arm, "mean_rank": mean} for arm, mean in ranked.means.items()],
                "groups": [list(group) for group in ranked.groups],
            },
            "not_claimed": [text for text in (self.no_claim, self.no_ranks) if text],
            "cautions": list(self.cautions),
        }


def _task(task: Task) -> dict[str, Any]:
    verdict = task.verdict
    return {
        "task": task.name,
        "job": task.job,
        "metric": verdict.metric,
        "direction": "maximize" if task.maximize else "minimize",
        "design": verdict.design,
        "margin": verdict.margin.value,
        "margin_relative": verdict.margin.relative,
        "kind": verdict.kind,
        "sentence": verdict.sentence,
    }


def _on_task(each: OnTask) -> dict[str, Any]:
    pair = each.pair
    return {
        "task": each.task,
        "probability": pair.probability,
        "interval": list(pair.interval),
        "difference": pair.difference,
        "difference_interval": list(pair.difference_interval or (None, None)),
        "pairs": pair.pairs,
        "gain": each.gain,
        "gain_interval": list(each.gain_interval or (None, None)),
    }
