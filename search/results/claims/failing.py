"""Rules that read whether an arm has learned anything where others have."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from search.results.claims.duels import tested
from search.results.claims.finding import Answer, Finding, task_of
from search.results.evidence.baselines import nothing_learned
from search.results.evidence.pairs import Margin, Scores
from search.results.format import value
from search.results.read import Results

#: An arm has learned where it is shown to leave at most half of the trivial prediction's loss.
HALF = Margin(0.5, relative=True)


def fails_alone(results: Results, failing: str, others: Sequence[str]) -> Iterator[Finding]:
    """Yield whether an arm learns nothing where at least one other arm does. For losses."""
    arms = (failing, *others)
    scores = tested(results, *arms)
    learned = {arm: _learned(results, scores[arm]) for arm in arms}
    answer: Answer = "cannot tell"
    if learned[failing]:
        answer = "does not hold"
    elif any(learned.values()) and scores[failing]:
        answer = "holds"
    metric = results.info.metric.name
    means = {arm: _mean(scores[arm]) for arm in arms}
    trivial = min(results.test_baselines.values(), default=None)
    said = ", ".join(
        f"{arm} {value(means[arm])}{'' if learned[arm] else ' (not learned)'}" for arm in arms
    )
    said += f"; without a model {value(trivial)}"
    figures = {"means": means, "learned": learned, "trivial": trivial}
    yield Finding(task_of(results), f"mean test {metric}", answer, said, figures)


def _learned(results: Results, scores: Scores) -> bool:
    if not scores or not results.test_baselines:
        return False
    alpha = 1 - results.job.confirm.confidence
    maximize = results.info.metric.maximize
    return not nothing_learned(
        [scores], results.test_baselines, HALF, maximize=maximize, alpha=alpha
    )


def _mean(scores: Scores) -> float | None:
    known = [score for score in scores.values() if score is not None]
    return fmean(known) if known else None
