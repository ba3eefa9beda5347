"""The figures of a comparison: a pure function of a job's records."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import get_args

from search.journal.trial import State, TrialResult
from search.results import sentences
from search.results.figures import (
    ArmSummary,
    Comparison,
    Finalist,
    FrontPoint,
    PairedDifference,
    Progress,
    Replicate,
    SearchBudget,
    SearchTrial,
)
from search.results.pareto import pareto
from search.results.ranking import Candidate
from search.results.read import Results
from search.spread import Spread
from spaces.arms import Arm
from spaces.tasks import Metric


def finite(number: float | None) -> float | None:
    """Return the number, or None for what no figure may show: NaN and infinities."""
    return number if number is not None and math.isfinite(number) else None


def compare(results: Results) -> Comparison:
    """Return what the records of a job say about its arms; unfinished jobs too."""
    metric = results.info.metric
    arms = tuple(_arm(results, arm) for arm in results.job.arms)
    progress: Progress = "done" if results.finished else "searching"
    if results.phase == "confirm":
        progress = "confirming"
    figures = Comparison(
        job=results.job.name,
        task=results.info.name,
        kind=results.info.kind,
        fingerprint=results.info.fingerprint,
        metric=metric,
        progress=progress,
        budget=_budget(results),
        latency_limit_ms=results.job.search.constraints.latency_ms,
        arms=arms,
        differences=tuple(_differences(arms, metric)),
        front=tuple(_front(results)),
    )
    return sentences.describe(figures)


def _front(results: Results) -> Iterator[FrontPoint]:
    objectives = results.job.search.objectives
    for each in pareto(results.search, objectives) if len(objectives) > 1 else ():
        value = finite(each.value)
        if value is not None:
            yield FrontPoint(each.arm, each.number, value, each.parameters, each.train_seconds)


def _budget(results: Results) -> SearchBudget:
    search = results.job.search
    if search.worker_seconds is not None:
        return SearchBudget("worker_seconds", search.worker_seconds)
    if search.epochs is not None:
        return SearchBudget("epochs", search.epochs)
    begun = Counter(each.arm for each in results.search)
    return SearchBudget(
        "trials", max([search.trials or 0, *begun.values()])
    )  # a job can be extended


def _arm(results: Results, arm: Arm) -> ArmSummary:
    search = [each for each in results.search if each.arm == arm.name]
    confirm = [each for each in results.confirm if each.arm == arm.name]
    candidates = results.candidates(arm.name)
    counted = Counter(each.state for each in search)
    limit = results.job.search.constraints.latency_ms
    latencies = [each.latency_ms for each in search if each.latency_ms is not None]
    return ArmSummary(
        name=arm.name,
        cells=tuple(branch.name for branch in arm.branches),
        pooled=arm.pooled,
        states={state: counted[state] for state in get_args(State)},
        controls=sum(each.control for each in search),
        trials=sum(each.state != "running" for each in search),
        epochs=sum(each.epochs for each in search),
        worker_seconds=math.fsum(each.train_seconds for each in search),
        confirm_seconds=math.fsum(each.train_seconds for each in confirm),
        too_slow=sum(limit is not None and latency > limit for latency in latencies),
        fastest_ms=min(latencies, default=None),
        best=_search_trial(results.best(arm.name)),
        leader=_search_trial(candidates[0].trial if candidates else None),
        finalists=tuple(
            _finalist(candidate, results, leads=candidate is candidates[0])
            for candidate in candidates
            if candidate.finalist
        ),
    )


def _search_trial(record: TrialResult | None) -> SearchTrial | None:
    if record is None or record.value is None:
        return None
    return SearchTrial(
        number=record.number,
        value=record.value,
        control=record.control,
        config=record.config,
        parameters=record.parameters,
        epochs=record.epochs,
        train_seconds=record.train_seconds,
    )


def _finalist(candidate: Candidate, results: Results, *, leads: bool) -> Finalist:
    metric, trial = results.info.metric.name, candidate.trial
    replicates = tuple(
        Replicate(
            replicate=each.replicate or 0,
            seed=each.seed,
            state=each.state,
            validation=finite(each.value) if each.state == "complete" else None,
            test=finite((each.test or {}).get(metric)) if each.state == "complete" else None,
            train_seconds=each.train_seconds,
        )
        for each in candidate.replicates
    )
    complete = [each for each in replicates if each.test is not None]
    return Finalist(
        number=trial.number,
        config=trial.config,
        parameters=trial.parameters,
        search_value=finite(trial.value),
        leads=leads,
        seeds=max(results.job.confirm.seeds, len(replicates)),
        test=Spread.of([each.test for each in complete if each.test is not None]),
        validation=Spread.of([each.validation for each in complete if each.validation is not None]),
        train_seconds=Spread.of([each.train_seconds for each in complete]),
        replicates=replicates,
    )


def _differences(arms: Sequence[ArmSummary], metric: Metric) -> Iterable[PairedDifference]:
    for first, second in combinations(arms, 2):
        if first.leading is None or second.leading is None:
            continue
        ours = {each.replicate: each.test for each in first.leading.replicates}
        theirs = {each.replicate: each.test for each in second.leading.replicates}
        pairs = {
            replicate: a - b
            for replicate, a in sorted(ours.items())
            if a is not None and (b := theirs.get(replicate)) is not None
        }
        difference = Spread.of(list(pairs.values()))
        if difference is None:
            continue
        signed = metric.cost(difference.mean)
        favours = first.name if signed < 0 else second.name if signed > 0 else None
        yield PairedDifference(first.name, second.name, tuple(pairs), difference, favours)
