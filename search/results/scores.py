"""The test scores of a job's arms, by what pairs them: the replicate's number."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from search.journal.trial import TrialResult
from search.results.evidence.pairs import Scores
from search.results.ranking import candidates
from spaces.tasks import Metric


def arm_scores(
    metric: Metric, arms: Iterable[str], trials: Iterable[TrialResult]
) -> dict[str, Scores]:
    """Return the test scores of each arm, in their order.

    trials: of both phases. Of finalists' replicates, the leader's count. Of candidates in a nested
    design the one that was scored counts. A diverged replicate is None, and so is one whose
    candidates all diverged; one that failed, or is not over yet, is missing.
    """
    own: defaultdict[str, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        own[trial.arm].append(trial)
    return {arm: _scores(metric, own[arm]) for arm in arms}


def _scores(metric: Metric, trials: Sequence[TrialResult]) -> Scores:
    nested = [trial for trial in trials if trial.candidate is not None]
    if nested:
        groups: defaultdict[int, list[TrialResult]] = defaultdict(list)
        for trial in nested:
            groups[trial.replicate or 0].append(trial)
        return _found((number, _of_group(metric, groups[number])) for number in sorted(groups))
    leader = next(iter(candidates(metric, trials)), None)
    replicates = () if leader is None else leader.replicates
    return _found((one.replicate or 0, _of_replicate(metric, one)) for one in replicates)


def _found(scores: Iterable[tuple[int, float | None]]) -> dict[str, float | None]:
    """Return the scores that there are; NaN is missing."""
    return {
        str(number): score for number, score in scores if score is None or not math.isnan(score)
    }


def _of_replicate(metric: Metric, trial: TrialResult) -> float | None:
    if trial.state == "diverged":
        return None
    score = (trial.test or {}).get(metric.name, math.nan)
    return score if math.isfinite(score) else math.nan


def _of_group(metric: Metric, group: Sequence[TrialResult]) -> float | None:
    tested = [trial for trial in group if trial.test is not None]
    if tested:
        return _of_replicate(metric, tested[0])
    all_diverged = all(trial.state == "diverged" for trial in group)
    return None if all_diverged else math.nan
