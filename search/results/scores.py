"""The test results of a job's arms, one for each replicate, whatever its design."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from search.journal.trial import TrialResult
from search.results.evidence.pairs import Result
from search.results.ranking import candidates
from spaces.kinds import Metric


def replicate_results(
    metric: Metric, arms: Iterable[str], trials: Iterable[TrialResult]
) -> list[Result]:
    """Return the results of the arms, in their order.

    trials: of both phases. Of finalists' replicates, the leader's count. In a nested design the
    candidate that was scored counts, of each replicate. What diverged has no value, and so have
    candidates that all diverged. What failed, or is not over yet, is missing.
    """
    own: defaultdict[str, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        own[trial.arm].append(trial)
    return [result for arm in arms for result in _of_arm(metric, own[arm])]


def _of_arm(metric: Metric, trials: Sequence[TrialResult]) -> Iterator[Result]:
    groups: defaultdict[int | None, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        if trial.candidate is not None:
            groups[trial.replicate].append(trial)
    if groups:
        for group in groups.values():
            tested = [trial for trial in group if trial.test is not None]
            if tested:
                yield _result(metric, tested[0])
            elif all(trial.state == "diverged" for trial in group):
                yield _result(metric, group[0])
        return
    leader = next(iter(candidates(metric, trials)), None)
    for replicate in () if leader is None else leader.replicates:
        if replicate.state in ("complete", "diverged"):
            yield _result(metric, replicate)


def _result(metric: Metric, trial: TrialResult) -> Result:
    value = (trial.test or {}).get(metric.name, math.nan)
    return Result(
        trial.arm,
        str(trial.replicate),
        value if math.isfinite(value) else None,
        "" if trial.split is None else str(trial.split),
        str(trial.number if trial.candidate is not None else trial.finalist),
    )
