"""From the verdicts on several tasks to what holds over tasks: the one function that reaches it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from search.results.evidence.across import FEWEST, Across, AcrossPair, OnTask, Task
from search.results.evidence.betting import Counts, Floats
from search.results.evidence.claims import Claim, claims
from search.results.evidence.difference import always_valid
from search.results.evidence.pairs import Paired
from search.results.evidence.ranks import Ranks, holm, least_tasks, ranks
from search.results.evidence.signed_rank import beyond
from search.results.evidence.stratified import mean_interval
from search.results.evidence.verdict import PairVerdict, Verdict
from search.results.evidence.wording_across import headline, sentence


def across(
    tasks: Sequence[Task],
    left_out: Mapping[str, str] | None = None,
    cautions: tuple[str, ...] = (),
) -> Across:
    """Return what holds over tasks, of whose results none may depend on another's.

    left_out: why further ones take no part. cautions: what a reader must know before using it.
    Tasks whose verdict says nothing on arms are left out. Metrics and margins may differ: P needs
    no unit, and gains are counted in margins.

    Below FEWEST tasks nothing is claimed over tasks. The interval of the mean of P needs no such
    number: it speaks of these tasks.
    """
    why = {task.origin: reason for task in tasks if (reason := _says_nothing(task.verdict))}
    used = [task for task in tasks if task.origin not in why]
    confidence = max((task.verdict.confidence for task in used), default=0.95)
    alpha = 1 - confidence
    common = list(_common(used))
    no_claim, rope = _unit(used)
    tested = [two for two in common if not no_claim and len(two.found) >= FEWEST]
    claimed = zip(tested, claims([two.gains for two in tested], rope, alpha), strict=True)
    claim_of = {(two.first, two.second): claim for two, claim in claimed}
    level = alpha / max(1, len(common))
    pairs = [_pair(two, claim_of.get((two.first, two.second)), level) for two in common]
    pairs = [replace(p, sentence=sentence(p, len(common), confidence)) for p in pairs]
    ranked, no_ranks = (None, no_claim) if no_claim else _ranks(used, pairs, alpha)
    return Across(
        sentence=headline(pairs, len(used)) if pairs else "",
        confidence=confidence,
        tasks=tuple(used),
        left_out={**(left_out or {}), **why},
        pairs=tuple(pairs),
        ranks=ranked,
        no_ranks=no_ranks,
        no_claim=no_claim,
        cautions=cautions,
    )


class _Two(NamedTuple):
    """Two arms and their results on the tasks that have pairs of both."""

    first: str
    second: str
    found: list[tuple[Task, OnTask]]

    @property
    def gains(self) -> Floats:
        return np.array([each.gain for _, each in self.found])


def _pair(two: _Two, claim: Claim | None, level: float) -> AcrossPair:
    """level: alpha's share of one pair of arms."""
    found = AcrossPair(
        first=two.first,
        second=two.second,
        tasks=tuple(each for _, each in two.found),
        probability=float(np.mean([each.pair.probability for _, each in two.found])),
        interval=mean_interval([_counts(t, two.first, two.second) for t, _ in two.found], level),
    )
    if claim is None:
        return found
    ahead = two.first if claim.shares.first > claim.shares.second else two.second
    return replace(
        found,
        shares=claim.shares,
        p_value=claim.p_value,
        decision=claim.decision,
        winner=ahead if claim.decision == "better" else None,
    )


def _says_nothing(verdict: Verdict) -> str | None:
    match verdict.kind:
        case "none":
            return verdict.sentence
        case "nothing-learned":
            return "Nothing was learned there, and which arm is better means nothing."
        case "too-easy":
            return "It is too easy to tell arms apart."
    return None


def _common(tasks: Sequence[Task]) -> Iterator[_Two]:
    """Yield the pairs of arms that two tasks or more have in common."""
    arms = dict.fromkeys(arm for task in tasks for arm in task.scores)
    verdicts = [
        {frozenset((pair.first, pair.second)): pair for pair in task.verdict.pairs if pair.pairs}
        for task in tasks
    ]
    for first, second in combinations(arms, 2):
        found = [
            (task, _on_task(task, pair.seen_from(first)))
            for task, own in zip(tasks, verdicts, strict=True)
            if (pair := own.get(frozenset((first, second)))) is not None
        ]
        if len(found) > 1:
            yield _Two(first, second, found)


def _counts(task: Task, first: str, second: str) -> Counts:
    paired = Paired.of(task.scores[first], task.scores[second])
    return Counts.of(paired.outcomes(task.verdict.margin, maximize=task.maximize))


def _on_task(task: Task, pair: PairVerdict) -> OnTask:
    gains = _gains(task, pair.first, pair.second)
    level = (1 - task.verdict.confidence) / len(task.verdict.pairs)
    return OnTask(task.name, pair, float(gains.mean()), always_valid(gains, level))


def _gains(task: Task, first: str, second: str) -> Floats:
    """Return by how many margins the first arm is better in each pair; see OnTask.gain."""
    paired = Paired.of(task.scores[first], task.scores[second])
    ours, theirs = (np.where(np.isnan(v), task.worst, v) for v in (paired.first, paired.second))
    gains = (ours - theirs) * (1.0 if task.maximize else -1.0)
    margin = task.verdict.margin
    if margin.value == 0:
        return np.asarray(gains, dtype=np.float64)
    widths = margin.widths(ours, theirs)
    counted = np.divide(gains, widths, out=np.zeros_like(gains), where=widths > 0)
    return np.asarray(counted, dtype=np.float64)


def _unit(tasks: Sequence[Task]) -> tuple[str, float]:
    """Return why gains of these tasks have no common unit, and the margin in that unit."""
    verdicts = [task.verdict for task in tasks]
    if all(verdict.margin.value > 0 for verdict in verdicts):
        return "", 1.0
    if len({(verdict.metric, verdict.margin) for verdict in verdicts}) == 1:
        return "", 0.0
    named = next(task.name for task in tasks if task.verdict.margin.value == 0)
    return (
        f"Nothing is claimed over tasks: gains of different metrics are counted in margins, and "
        f"that of {named} is 0.",
        0.0,
    )


def _ranks(
    tasks: Sequence[Task], pairs: Sequence[AcrossPair], alpha: float
) -> tuple[Ranks | None, str]:
    """Return the ranks of arms that all tasks have; or None, and why."""
    arms = [
        arm
        for arm in dict.fromkeys(arm for task in tasks for arm in task.scores)
        if all(
            any(value is not None for value in task.scores.get(arm, {}).values()) for task in tasks
        )
    ]
    if len(arms) < 3:
        return None, (
            f"There is no critical-difference diagram: it ranks three arms or more that all tasks "
            f"have in common, and there are {len(arms)}. Of two arms, the pair says all of it."
        )
    own = [pair for pair in pairs if pair.first in arms and pair.second in arms]
    least = max(FEWEST, least_tasks(len(arms) * (len(arms) - 1) // 2, alpha))
    if len(tasks) < least:
        return None, (
            f"There is no critical-difference diagram: with {len(arms)} arms, no two could be told "
            f"apart by their ranks on fewer than {least} tasks, and there are {len(tasks)}."
        )
    p_values = holm([beyond(np.array([each.gain for each in pair.tasks]), 0.0) for pair in own])
    apart = {
        frozenset((pair.first, pair.second))
        for pair, p in zip(own, p_values, strict=True)
        if p <= alpha
    }
    costs = {arm: np.array([_cost(task, arm) for task in tasks]) for arm in arms}
    return ranks(costs, apart), ""


def _cost(task: Task, arm: str) -> float:
    """Return an arm's mean on a task, less is better; see OnTask.gain on diverged replicates."""
    mean = float(np.mean([task.worst if v is None else v for v in task.scores[arm].values()]))
    return -mean if task.maximize else mean
