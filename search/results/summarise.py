"""The figures of a comparison: a pure function of a job's records."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import get_args

from search.journal.trial import State, TrialResult
from search.results import sentences
from search.results.figures import (
    ArmSummary,
    Best,
    Comparison,
    Finalist,
    FrontPoint,
    PairedDifference,
    Progress,
    Replicate,
    SearchBudget,
)
from search.results.pareto import pareto
from search.results.read import Results
from search.spread import Spread
from spaces.arms import Arm


def finite(number: float | None) -> float | None:
    """Return the number, or None for what no figure may show: NaN and infinities."""
    return number if number is not None and math.isfinite(number) else None


def better(direction: str) -> float:
    """Return the factor that makes smaller mean better: -1 for maximize, 1 for minimize."""
    return -1.0 if direction == "maximize" else 1.0


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
        metric=metric.name,
        direction=metric.direction,
        progress=progress,
        budget=_budget(results),
        latency_limit_ms=results.job.search.constraints.latency_ms,
        arms=arms,
        differences=tuple(_differences(arms, metric.direction)),
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
        best=_best(results.best(arm.name)),
        finalists=_finalists(results, search, confirm),
    )


def _best(record: TrialResult | None) -> Best | None:
    if record is None or record.value is None:
        return None
    return Best(
        number=record.number,
        value=record.value,
        control=record.control,
        config=record.config,
        parameters=record.parameters,
        epochs=record.epochs,
        train_seconds=record.train_seconds,
    )


def _finalists(
    results: Results, search: list[TrialResult], confirm: list[TrialResult]
) -> tuple[Finalist, ...]:
    metric, direction = results.info.metric.name, results.info.metric.direction
    origin = {each.number: each for each in search}
    replicates: dict[int, list[TrialResult]] = {}
    for each in confirm:
        if each.finalist is not None:
            replicates.setdefault(each.finalist, []).append(each)
    found = [
        _finalist(number, origin.get(number), records, results.job.confirm.seeds, metric)
        for number, records in sorted(replicates.items())
    ]
    if not found:
        return ()
    lead = _leading(found, direction)
    sign = better(direction)
    ordered = sorted(
        found,
        key=lambda each: (
            each.number != lead,
            math.inf if each.search_value is None else sign * each.search_value,
        ),
    )
    return tuple(replace(each, leads=each.number == lead) for each in ordered)


def _finalist(
    number: int, origin: TrialResult | None, records: list[TrialResult], seeds: int, metric: str
) -> Finalist:
    replicates = tuple(
        Replicate(
            replicate=each.replicate or 0,
            seed=each.seed,
            state=each.state,
            validation=finite(each.value) if each.state == "complete" else None,
            test=finite((each.test or {}).get(metric)) if each.state == "complete" else None,
            train_seconds=each.train_seconds,
        )
        for each in sorted(records, key=lambda each: each.replicate or 0)
    )
    complete = [each for each in replicates if each.test is not None]
    shown = origin or records[0]
    return Finalist(
        number=number,
        config=shown.config,
        parameters=shown.parameters,
        search_value=finite(origin.value) if origin else None,
        leads=False,
        seeds=max(seeds, len(replicates)),
        test=Spread.of([each.test for each in complete if each.test is not None]),
        validation=Spread.of([each.validation for each in complete if each.validation is not None]),
        train_seconds=Spread.of([each.train_seconds for each in complete]),
        replicates=replicates,
    )


def _leading(finalists: list[Finalist], direction: str) -> int:
    """Choose by validation data alone: a choice by test data would flatter the arm again.

    Over the replicates that all of the arm's finalists completed; before there are any, by the
    search value. A finalist that diverges with fresh seeds comes after one that does not.
    """
    done = [
        {each.replicate: each.validation for each in finalist.replicates if each.test is not None}
        for finalist in finalists
    ]
    common = set.intersection(*(set(each) for each in done))
    sign = better(direction)

    def rank(position: int) -> tuple[int, float, int]:
        finalist = finalists[position]
        diverged = sum(each.state == "diverged" for each in finalist.replicates)
        scores = [done[position][replicate] for replicate in sorted(common)]
        known = [each for each in scores if each is not None]
        score = statistics.fmean(known) if known else finalist.search_value
        return diverged, math.inf if score is None else sign * score, finalist.number

    return finalists[min(range(len(finalists)), key=rank)].number


def _differences(arms: Sequence[ArmSummary], direction: str) -> Iterable[PairedDifference]:
    for first, second in combinations(arms, 2):
        if first.leader is None or second.leader is None:
            continue
        ours = {each.replicate: each.test for each in first.leader.replicates}
        theirs = {each.replicate: each.test for each in second.leader.replicates}
        pairs = {
            replicate: a - b
            for replicate, a in sorted(ours.items())
            if a is not None and (b := theirs.get(replicate)) is not None
        }
        difference = Spread.of(list(pairs.values()))
        if difference is None:
            continue
        signed = better(direction) * difference.mean
        favours = first.name if signed < 0 else second.name if signed > 0 else None
        yield PairedDifference(first.name, second.name, tuple(pairs), difference, favours)
