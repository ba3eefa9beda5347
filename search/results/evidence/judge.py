"""From replicates to a verdict: the one function that reaches it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from search.results.evidence import wording
from search.results.evidence.baselines import nothing_learned, too_easy
from search.results.evidence.betting import Counts
from search.results.evidence.components import Observation, components
from search.results.evidence.decision import (
    Decision,
    decisions,
    not_shown_worse,
    simultaneous_intervals,
)
from search.results.evidence.difference import Interval, always_valid, nadeau_bengio
from search.results.evidence.needed import still_needed
from search.results.evidence.pairs import Margin, Paired, Scores, default_margin
from search.results.evidence.verdict import Design, Kind, PairVerdict, Verdict


def judge(
    scores: Mapping[str, Scores],
    *,
    metric: str,
    maximize: bool,
    design: Design,
    margin: Margin | None = None,
    confidence: float = 0.95,
    baselines: Mapping[str, float] | None = None,
    ceiling: float | None = None,
    test_sequences: int | None = None,
    observations: Sequence[Observation] = (),
    test_to_train: float | None = None,
    remedy: str = "",
) -> Verdict:
    """Return the verdict on some arms.

    scores: each arm's test results by what pairs them; two arms are compared over the keys that
        both have. None is a diverged replicate. Arms stand in the order in which they are shown.
    margin: by default 0.01 for what is maximized, 2 % for losses.
    baselines: values of trivial predictions by their names. ceiling: the best value there can be.
    test_sequences: of the one test part on which all were scored, if there is one.
    observations: single results with their splits and configurations, for components of variance.
    test_to_train: examples in a test part over those in a training part, where splits overlap.
    remedy: what to do where nothing can be compared, as a sentence.

    It may be called after every further replicate: claims and intervals hold at all times at once
    with the probability `confidence`, for all pairs of arms together.
    """
    margin = margin or default_margin(maximize=maximize)
    alpha = 1 - confidence
    compared = _compare(scores, margin, alpha, maximize=maximize)
    intervals = simultaneous_intervals([pair.counts for pair in compared], alpha)
    pairs = tuple(
        _pair(pair, interval, margin, alpha / len(compared), test_to_train)
        for pair, interval in zip(compared, intervals, strict=True)
    )
    best = _best(scores, compared)
    kind: Kind = "decided" if _settled(best, compared) else "undecided"
    arms = list(scores.values())
    if not any(pair.pairs for pair in pairs):
        kind, best = "none", ()
    elif nothing_learned(
        arms,
        baselines or {},
        margin,
        maximize=maximize,
        alpha=alpha,
        test_sequences=None if ceiling is None else test_sequences,
    ):
        kind = "nothing-learned"
    elif too_easy(arms, ceiling, margin):
        kind = "too-easy"
    verdict = Verdict(
        kind=kind,
        sentence="",
        design=design,
        metric=metric,
        margin=margin,
        confidence=confidence,
        best=best,
        pairs=pairs,
        baselines=dict(baselines or {}),
        variance=components(observations),
    )
    return replace(verdict, sentence=wording.sentence(verdict, remedy))


def decided(
    scores: Mapping[str, Scores],
    *,
    maximize: bool,
    margin: Margin | None = None,
    confidence: float = 0.95,
) -> bool:
    """Return whether nothing is left to tell among the arms not shown worse; see judge."""
    margin = margin or default_margin(maximize=maximize)
    compared = _compare(scores, margin, 1 - confidence, maximize=maximize)
    return _settled(_best(scores, compared), compared)


class _Compared(NamedTuple):
    """Two arms, their pairs and what is decided about them."""

    first: str
    second: str
    paired: Paired
    counts: Counts
    decision: Decision

    @property
    def winner(self) -> str | None:
        if self.decision != "better":
            return None
        return self.first if self.counts.wins > self.counts.losses else self.second


def _compare(
    scores: Mapping[str, Scores], margin: Margin, alpha: float, *, maximize: bool
) -> list[_Compared]:
    names = list(combinations(scores, 2))
    paired = [Paired.of(scores[a], scores[b]) for a, b in names]
    counts = [Counts.of(pair.outcomes(margin, maximize=maximize)) for pair in paired]
    found = decisions(counts, alpha)
    return [
        _Compared(a, b, pair, count, decision)
        for (a, b), pair, count, decision in zip(names, paired, counts, found, strict=True)
    ]


def _best(arms: Iterable[str], compared: Sequence[_Compared]) -> tuple[str, ...]:
    beaten = {
        pair.second if pair.winner == pair.first else pair.first
        for pair in compared
        if pair.winner is not None
    }
    return not_shown_worse(tuple(arms), beaten)


def _settled(best: Sequence[str], compared: Sequence[_Compared]) -> bool:
    """Return whether nothing is left to tell among the best arms."""
    among = [pair for pair in compared if pair.first in best and pair.second in best]
    return all(pair.decision != "inconclusive" for pair in among)


def _pair(
    compared: _Compared,
    interval: Interval,
    margin: Margin,
    level: float,
    test_to_train: float | None,
) -> PairVerdict:
    """level: alpha's share of one pair of arms."""
    counts, decision = compared.counts, compared.decision
    n = int(counts.pairs)
    probability = float(counts.wins + counts.ties / 2) / n if n else 0.5
    differences = compared.paired.differences
    overlap = None if test_to_train is None else nadeau_bengio(differences, test_to_train, level)
    return PairVerdict(
        first=compared.first,
        second=compared.second,
        probability=probability,
        interval=interval,
        difference=float(differences.mean()) if len(differences) else None,
        difference_interval=always_valid(differences, level),
        sensitivity_interval=overlap,
        decision=decision,
        winner=compared.winner,
        pairs=n,
        ties=int(counts.ties),
        still_needed=still_needed(counts, level) if decision == "inconclusive" else None,
        tie_within=compared.paired.within(margin),
    )
