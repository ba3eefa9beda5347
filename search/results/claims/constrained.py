"""Rules that compare arms within the same training time.

What an epoch takes was measured alone, in turn, after the search; all models of an arm have one
shape. Values are of validation data: of how a training stood at that time there are no others.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from statistics import median

from search.journal.trial import TrialResult
from search.results.claims.duels import duel, finding_of, keeps_up
from search.results.claims.finding import Finding, task_of
from search.results.claims.speed import epochs_alone
from search.results.evidence.pairs import Scores
from search.results.read import Results

_ROUNDING = 1e-9  #: of a quotient of seconds


def shallow_keeps_up(results: Results, shallow: str, *deeper: str) -> Iterator[Finding]:
    """Yield whether the shallow arm does as well as each deeper one in the same training time.

    The time is that of a whole training of the faster of the two. The best validation value that
    an arm's configurations had by then counts, of as many for both.
    """
    what = f"validation {results.info.metric.name} in equal training time"
    for deep in deeper:
        scores = _in_equal_time(results, shallow, deep)
        if scores is None:
            said = f"no epoch of {shallow} and {deep} was measured alone"
            yield Finding(task_of(results), what, "cannot tell", said)
            continue
        pair = duel(results, scores)
        yield finding_of(results, what, keeps_up(pair), pair)


def _in_equal_time(results: Results, *arms: str) -> dict[str, Scores] | None:
    """Return the arms' best values by replicate; None where no epoch was measured."""
    alone = {arm: epochs_alone(results, arm) for arm in arms}
    if not all(alone.values()):
        return None
    each = {arm: median(own) for arm, own in alone.items()}
    seconds = results.job.training.max_epochs * min(each.values())
    scores: dict[str, Scores] = {}
    for arm in arms:
        epochs = math.floor(seconds / each[arm] * (1 + _ROUNDING))
        groups: dict[str, list[TrialResult]] = defaultdict(list)
        for trial in results.confirm:
            if trial.arm == arm and trial.state in ("complete", "diverged"):
                groups[str(trial.replicate)].append(trial)
        scores[arm] = {key: _best_within(group, epochs) for key, group in groups.items()}
    return scores


def _best_within(trials: list[TrialResult], epochs: int) -> float | None:
    """Return the best value that trials had after so many epochs each; None for none."""
    reached = [point.value for trial in trials for point in trial.curve[:epochs]]
    return trials[0].metric.best(reached) if reached else None
