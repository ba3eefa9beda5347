"""Rules that read pairs of arms. A pair is two arms' replicates on the same split and seed.

Each rule is one comparison of two arms, at the job's confidence and margin. Claims are questions of
their own: nothing is corrected for how many of them are asked.
"""

from collections.abc import Iterator, Mapping

from search.journal.trial import TrialResult
from search.results.claims.finding import Answer, Finding, task_of
from search.results.evidence.judge import judge
from search.results.evidence.pairs import Margin, Scores
from search.results.evidence.pairs import Results as Paired
from search.results.evidence.verdict import PairVerdict
from search.results.format import bounds, plural, signed
from search.results.job_verdict import margin_of
from search.results.read import Results
from search.results.scores import replicate_results

#: The difference of two generalisation gaps that counts as none, in the metric's unit.
GAP_MARGIN = 0.01


def no_difference(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether two arms are equivalent: to find no difference is not enough."""
    pair = duel(results, tested(results, first, second))
    answer: Answer = "cannot tell"
    if pair.decision != "inconclusive":
        answer = "holds" if pair.decision == "equivalent" else "does not hold"
    yield finding_of(results, f"test {results.info.metric.name}", answer, pair)


def better(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether the first arm is better than the second, not only as good."""
    pair = duel(results, tested(results, first, second))
    yield finding_of(results, f"test {results.info.metric.name}", _wins(pair), pair)


def not_worse(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether the first arm is better than the second or equivalent to it."""
    pair = duel(results, tested(results, first, second))
    yield finding_of(results, f"test {results.info.metric.name}", keeps_up(pair), pair)


def larger_gap(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether the first arm's generalisation gap is larger than the second's."""
    scores = {arm: _gaps(results, arm) for arm in (first, second)}
    pair = duel(results, scores, maximize=True, margin=Margin(GAP_MARGIN))
    what = f"gap in {results.info.metric.name} between training and test data"
    yield finding_of(results, what, _wins(pair), pair)


# What pairs are made of


def tested(results: Results, *arms: str) -> dict[str, Scores]:
    """Return the arms' test values by what pairs them."""
    found = Paired(replicate_results(results.info.metric, arms, results.trials)).scores
    return {arm: found.get(arm, {}) for arm in arms}


def _gaps(results: Results, arm: str) -> Scores:
    """Return an arm's gaps by replicate, of the trials whose test values count."""
    scored: list[TrialResult] = [trial for trial in results.confirm if trial.arm == arm]
    if any(trial.candidate is None for trial in scored):
        scored = list(results.candidates(arm)[0].replicates)
    return {str(trial.replicate): trial.gap for trial in scored if trial.gap is not None}


# What a pair says


def duel(
    results: Results,
    scores: Mapping[str, Scores],
    *,
    maximize: bool | None = None,
    margin: Margin | None = None,
) -> PairVerdict:
    """Return the verdict on two arms' scores; by default of the job's metric, at its margin."""
    confirm, metric = results.job.confirm, results.info.metric
    found = judge(
        scores,
        metric=metric.name,
        maximize=metric.maximize if maximize is None else maximize,
        design=confirm.design,
        margin=margin or margin_of(confirm),
        confidence=confirm.confidence,
    )
    return found.pairs[0]


def _wins(pair: PairVerdict) -> Answer:
    if pair.decision == "inconclusive":
        return "cannot tell"
    return "holds" if pair.winner == pair.first else "does not hold"


def keeps_up(pair: PairVerdict) -> Answer:
    """Return whether the first arm of a pair is better than the second or equivalent to it."""
    if pair.decision == "inconclusive":
        return "cannot tell"
    return "does not hold" if pair.winner == pair.second else "holds"


def finding_of(results: Results, what: str, answer: Answer, pair: PairVerdict) -> Finding:
    """Return what a pair of arms says as a finding."""
    return Finding(task_of(results), what, answer, numbers(pair), pair.as_dict())


def numbers(pair: PairVerdict) -> str:
    """Return what is known of a pair of arms as a clause."""
    if not pair.pairs:
        return f"no pairs of {pair.first} and {pair.second} yet"
    low, high = (100 * bound for bound in pair.interval)
    text = (
        f"{pair.first} wins {100 * pair.probability:.0f} % of {plural(pair.pairs, 'pair')} against "
        f"{pair.second} ({low:.0f} to {high:.0f} %)"
    )
    if pair.difference is not None:
        text += f", mean difference {signed(pair.difference)}"
        if pair.difference_interval is not None:
            text += f" ({bounds(*pair.difference_interval)})"
    return text
