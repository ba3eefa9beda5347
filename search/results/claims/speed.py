"""Rules that read times of controls: control i has the same settings and seed in every arm.

Controls train one at a time in a worker, on the same engine, mixed with those of the other arm:
what else the machine does meets both alike.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import median

from search.journal.trial import TrialResult
from search.results.claims.duels import numbers
from search.results.claims.finding import Answer, Finding, task_of
from search.results.evidence.judge import judge
from search.results.evidence.median import median_interval
from search.results.evidence.pairs import Margin, Scores
from search.results.learning_rates import KEPT
from search.results.read import Results
from trainables.training.measured_path import in_words

_ALPHA = 0.05
#: Times within this share of each other are the same.
SAME_TIME = Margin(0.02, relative=True)


def faster(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether the first arm trains faster than the second: an epoch, and to a target."""
    pairs = _controls(results, first, second)
    paths = {trial.path for pair in pairs for trial in pair if trial.path is not None}
    if len(paths) > 1:
        said = f"measured on different paths: {', '.join(sorted(map(in_words, paths)))}"
        yield Finding(task_of(results), "time per epoch", "cannot tell", said)
        return
    yield _per_epoch(results, pairs)
    yield _to_target(results, pairs, first, second)


def _controls(results: Results, first: str, second: str) -> list[tuple[TrialResult, TrialResult]]:
    """Return the controls that both arms have trained to their end, in pairs."""
    own = {
        arm: {
            trial.number: trial
            for trial in results.search
            if trial.arm == arm and trial.control and trial.state == "complete" and trial.curve
        }
        for arm in (first, second)
    }
    both = sorted(own[first].keys() & own[second].keys())
    return [(own[first][number], own[second][number]) for number in both]


def _per_epoch(results: Results, pairs: Sequence[tuple[TrialResult, TrialResult]]) -> Finding:
    what = "time per epoch"
    ratios = sorted(_epoch_seconds(first) / _epoch_seconds(second) for first, second in pairs)
    interval = median_interval(ratios, _ALPHA)
    if interval is None:
        said = f"{len(ratios)} pairs of controls are too few"
        return Finding(task_of(results), what, "cannot tell", said)
    low, high = interval
    answer: Answer = "cannot tell"
    if high < 1:
        answer = "holds"
    elif low >= 1 - SAME_TIME.value:
        answer = "does not hold"
    middle = median(ratios)
    said = f"{middle:.2f} of the time ({low:.2f} to {high:.2f}; {len(ratios)} pairs of controls)"
    figures = {"ratio": middle, "interval": [low, high], "pairs": len(ratios)}
    return Finding(task_of(results), what, answer, said, figures)


def _epoch_seconds(trial: TrialResult) -> float:
    return median(epoch.seconds for epoch in trial.curve)


def _to_target(
    results: Results, pairs: Sequence[tuple[TrialResult, TrialResult]], first: str, second: str
) -> Finding:
    """Return whether the first arm is sooner at what keeps KEPT of the best control's gain."""
    metric, what = results.info.metric, "time to a target"
    costs = [
        metric.cost(trial.value) for pair in pairs for trial in pair if trial.value is not None
    ]
    trivial = [metric.cost(each.validation[metric.name]) for each in results.baselines]
    if not costs or not trivial or min(costs) >= min(trivial):
        said = "no control beats the trivial prediction"
        return Finding(task_of(results), what, "cannot tell", said)
    bar = min(trivial) - KEPT * (min(trivial) - min(costs))
    scores: dict[str, dict[str, float | None]] = {first: {}, second: {}}
    for pair in pairs:
        times = [_seconds_to(trial, bar) for trial in pair]
        if any(time is not None for time in times):  # where neither gets there nothing is told
            for arm, time in zip(scores, times, strict=True):
                scores[arm][str(pair[0].number)] = time
    found = judge(
        dict[str, Scores](scores),
        metric="seconds",
        maximize=False,
        design="given",
        margin=SAME_TIME,
        confidence=1 - _ALPHA,
    ).pairs[0]
    answer: Answer = "cannot tell"
    if found.decision != "inconclusive":
        answer = "holds" if found.winner == first else "does not hold"
    value = -bar if metric.maximize else bar
    what += f": validation {metric.name} {value:.3g}"
    return Finding(task_of(results), what, answer, numbers(found), found.as_dict())


def _seconds_to(trial: TrialResult, bar: float) -> float | None:
    """Return the seconds of training until a trial's cost is at most the bar; None for never."""
    spent: list[float] = []
    for epoch in trial.curve:
        spent.append(epoch.seconds)
        if trial.metric.cost(epoch.value) <= bar:
            return math.fsum(spent)
    return None
