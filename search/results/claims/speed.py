"""Rules that read how fast arms train, of jobs all of whose models have one shape.

What an epoch takes was measured alone, in turn, after the search: the arms' finalists take turns at
the same machine. How many epochs a target takes comes from controls: control i has the same
settings and seed in every arm.
"""

from collections.abc import Iterator, Sequence
from statistics import median

from scipy.special import bdtr

from search.journal.trial import TrialResult
from search.results.claims.duels import numbers
from search.results.claims.finding import Answer, Finding, task_of
from search.results.evidence.judge import judge
from search.results.evidence.pairs import Margin, Scores
from search.results.format import plural
from search.results.learning_rates import KEPT
from search.results.read import Results
from trainables.training.measured_path import in_words

_ALPHA = 0.05
#: Times within this share of each other are the same.
SAME_TIME = Margin(0.02, relative=True)


def faster(results: Results, first: str, second: str) -> Iterator[Finding]:
    """Yield whether the first arm trains faster than the second: an epoch, and to a target."""
    measured = {arm: epochs_alone(results, arm) for arm in (first, second)}
    paths = {
        trial.alone.training_path
        for trial in results.search
        if trial.arm in measured and trial.alone is not None and trial.alone.training_path
    }
    if len(paths) > 1:
        said = f"measured on different paths: {', '.join(sorted(map(in_words, paths)))}"
        yield Finding(task_of(results), "time per epoch", "cannot tell", said)
        return
    yield _per_epoch(results, measured[first], measured[second])
    yield _to_target(results, measured)


def epochs_alone(results: Results, arm: str) -> list[float]:
    """Return the seconds of an epoch of an arm's finalists, by number, where they were measured."""
    known = sorted(
        (trial.number, trial.alone.epoch_seconds)
        for trial in results.search
        if trial.arm == arm and trial.alone is not None and trial.alone.epoch_seconds is not None
    )
    return [seconds for _, seconds in known]


def _per_epoch(results: Results, first: Sequence[float], second: Sequence[float]) -> Finding:
    what = "time per epoch"
    ratios = sorted(ours / theirs for ours, theirs in zip(first, second, strict=False))
    interval = median_interval(ratios)
    if interval is None:
        said = f"{plural(len(ratios), 'pair')} of finalists measured alone, too few"
        return Finding(task_of(results), what, "cannot tell", said)
    low, high = interval
    answer: Answer = "cannot tell"
    if high < 1:
        answer = "holds"
    elif low >= 1 - SAME_TIME.value:
        answer = "does not hold"
    middle = median(ratios)
    said = (
        f"{middle:.2f} of the time ({low:.2f} to {high:.2f}; {len(ratios)} pairs measured alone, "
        "in turn)"
    )
    figures = {"ratio": middle, "interval": [low, high], "pairs": len(ratios)}
    return Finding(task_of(results), what, answer, said, figures)


def median_interval(ordered: Sequence[float], alpha: float = _ALPHA) -> tuple[float, float] | None:
    """Return the exact interval of the median of what n ordered values were drawn from.

    It lies between two order statistics that the median leaves on either side with a binomial
    probability; below 6 values there is none at 95 %.
    """
    n = len(ordered)
    outside = [k for k in range(n // 2) if 2 * bdtr(k, n, 0.5) <= alpha]
    return (ordered[outside[-1]], ordered[n - 1 - outside[-1]]) if outside else None


def _to_target(results: Results, measured: dict[str, list[float]]) -> Finding:
    """Return whether the first arm is sooner at what keeps KEPT of the best control's gain."""
    metric, what = results.info.metric, "time to a target"
    controls = {
        arm: {
            trial.number: trial
            for trial in results.search
            if trial.arm == arm and trial.control and trial.state == "complete" and trial.curve
        }
        for arm in measured
    }
    costs = [
        metric.cost(trial.value)
        for own in controls.values()
        for trial in own.values()
        if trial.value is not None
    ]
    trivial = [metric.cost(each.validation[metric.name]) for each in results.baselines]
    if not costs or not trivial or min(costs) >= min(trivial):
        said = "no control beats the trivial prediction"
        return Finding(task_of(results), what, "cannot tell", said)
    if not all(measured.values()):
        return Finding(task_of(results), what, "cannot tell", "no epoch was measured alone")
    bar = min(trivial) - KEPT * (min(trivial) - min(costs))
    scores: dict[str, dict[str, float | None]] = {arm: {} for arm in measured}
    for number in sorted(set.intersection(*(set(own) for own in controls.values()))):
        epochs = {arm: _epochs_to(own[number], bar) for arm, own in controls.items()}
        if any(needed is not None for needed in epochs.values()):  # or nothing is told
            for arm, needed in epochs.items():
                seconds = None if needed is None else needed * median(measured[arm])
                scores[arm][str(number)] = seconds
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
        answer = "holds" if found.winner == found.first else "does not hold"
    value = -bar if metric.maximize else bar
    what += f": validation {metric.name} {value:.3g}"
    return Finding(task_of(results), what, answer, numbers(found), found.as_dict())


def _epochs_to(trial: TrialResult, bar: float) -> int | None:
    """Return the epochs of training until a trial's cost is at most the bar; None for never."""
    reached = (point.epoch for point in trial.curve if trial.metric.cost(point.value) <= bar)
    return next(reached, None)
