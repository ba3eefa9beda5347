"""The figures of a comparison: a pure function of a job's trials."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import get_args

from search.journal.trial import State, TrialResult
from search.results import sentences
from search.results.controls import control_values
from search.results.costs import cost_fronts
from search.results.figures import (
    ArmSummary,
    BaselineScore,
    Comparison,
    Diverged,
    Finalist,
    FrontPoint,
    PairedDifference,
    Progress,
    Replicate,
    SearchBudget,
    SearchTrial,
    SplitScores,
)
from search.results.inheritance import first_rates, inherited, objections
from search.results.job_verdict import judge_job
from search.results.learning_rates import good_rates
from search.results.pareto import pareto
from search.results.ranking import Candidate
from search.results.read import Results
from search.results.siblings import also_scored
from search.results.time_to_target import common_target, time_to_target
from search.spread import Spread
from spaces.arms import Arm
from spaces.kinds import Metric
from trainables.training.measured_path import parts


def compare(results: Results, target: float | None = None) -> Comparison:
    """Return what the trials of a job say about its arms; unfinished jobs too.

    target: the validation value up to which training times are told; by default the best one that
        more than half of the replicates of each arm reach.
    """
    metric = results.info.metric
    arms = tuple(_times(results, [_arm(results, arm) for arm in results.job.arms], target))
    name = results.job.search.warm_start
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
        shared_workers=results.job.resources.packed or results.job.resources.cohorts,
        mixed_devices=results.job.resources.cpu_trials,
        arms=arms,
        differences=tuple(_differences(arms, metric)),
        baselines=tuple(_baselines(results)),
        verdict=judge_job(results, arms, progress),
        front=tuple(_front(results)),
        costs=tuple(cost_fronts(arms, metric)),
        starts=len(results.job.search.start_from),
        first_rates=first_rates(results),
        warm_start=name and inherited(name, results.warm_start),
        objections=objections(results),
        also_scored=_also_scored(results),
    )
    return sentences.describe(figures)


def _also_scored(results: Results) -> tuple[str, ...]:
    """Return nothing in design nested, each of whose replicates has a test part of its own."""
    job = results.job
    if job.confirm.design == "nested" or job.confirm.skipped:
        return ()
    task = job.task.model_dump(mode="json")
    return tuple(also_scored(results.folder, task, job.base, results.info.fingerprint))


def _finite(number: float | None) -> float | None:
    """Return the number, or None for what no figure may show: NaN and infinities."""
    return number if number is not None and math.isfinite(number) else None


def _front(results: Results) -> Iterator[FrontPoint]:
    objectives = results.job.search.objectives
    if len(objectives) < 2:
        return
    for trial in pareto(results.search, objectives):
        if (value := _finite(trial.value)) is not None:
            yield FrontPoint(trial.arm, trial.number, value, trial.parameters, trial.train_seconds)


def _baselines(results: Results) -> Iterator[BaselineScore]:
    metric = results.info.metric.name
    for each in results.baselines:
        if metric in each.validation and metric in each.test:
            yield BaselineScore(each.name, each.validation[metric], each.test[metric])


def _budget(results: Results) -> SearchBudget:
    search = results.job.search
    if search.worker_seconds is not None:
        return SearchBudget("worker_seconds", search.worker_seconds)
    if search.epochs is not None:
        return SearchBudget("epochs", search.epochs)
    begun = Counter(trial.arm for trial in results.search)
    # A job that was extended has more trials than its job file says.
    return SearchBudget("trials", max([search.trials or 0, *begun.values()]))


def _arm(results: Results, arm: Arm) -> ArmSummary:
    search = [trial for trial in results.search if trial.arm == arm.name]
    confirm = [replicate for replicate in results.confirm if replicate.arm == arm.name]
    candidates = results.candidates(arm.name)
    states = Counter(trial.state for trial in search)
    limit = results.job.search.constraints.latency_ms
    latencies = [trial.latency_ms for trial in search if trial.latency_ms is not None]
    return ArmSummary(
        name=arm.name,
        cells=tuple(branch.name for branch in arm.branches),
        pooled=arm.pooled,
        states={state: states[state] for state in get_args(State)},
        controls=sum(trial.control for trial in search),
        trials=sum(trial.state != "running" for trial in search),
        epochs=sum(trial.epochs for trial in search),
        mean_parameters=_mean([t.parameters for t in search if t.parameters is not None]),
        worker_seconds=math.fsum(trial.train_seconds for trial in search),
        confirm_seconds=math.fsum(replicate.train_seconds for replicate in confirm),
        paths=tuple(sorted({part for t in (*search, *confirm) for part in parts(t.path)})),
        too_slow=sum(limit is not None and latency > limit for latency in latencies),
        fastest_ms=min(latencies, default=None),
        best=_search_trial(results.best(arm.name)),
        leader=_search_trial(candidates[0].trial if candidates else None),
        finalists=tuple(
            _finalist(candidate, results, leads=candidate is candidates[0])
            for candidate in candidates
            if candidate.finalist
        ),
        diverged=_diverged(search, confirm),
        good_rates=good_rates(
            arm,
            control_values(search, [arm.name])[arm.name],
            results.info.metric,
            [baseline.value for baseline in _baselines(results)],
        ),
        nested=_nested(results, confirm),
    )


def _diverged(search: Sequence[TrialResult], confirm: Sequence[TrialResult]) -> Diverged:
    def count(trials: Iterable[TrialResult]) -> tuple[int, int]:
        states = Counter(trial.state for trial in trials)
        return states["diverged"], states["diverged"] + states["complete"]

    return Diverged(*count(trial for trial in search if trial.control), *count(confirm))


def _times(
    results: Results, arms: Sequence[ArmSummary], target: float | None
) -> Iterator[ArmSummary]:
    """Yield the arms with how long their finalists train until they reach the target."""
    metric = results.info.metric
    replicates = defaultdict(list)
    for trial in results.confirm:
        replicates[trial.arm, trial.finalist].append(trial)
    if target is None:
        leading = [(arm.name, arm.leading.number) for arm in arms if arm.leading is not None]
        floors = [value for each in _baselines(results) if math.isfinite(value := each.value)]
        floor = metric.best(floors) if floors else None
        target = common_target(metric, [replicates[key] for key in leading], floor)
    for arm in arms:
        if target is None:
            yield arm
            continue
        finalists = []
        for each in arm.finalists:
            own = replicates[arm.name, each.number]
            seconds = each.alone.epoch_seconds if each.alone else None
            took = time_to_target(metric, own, target, seconds)
            finalists.append(replace(each, to_target=took))
        yield replace(arm, finalists=tuple(finalists))


def _nested(results: Results, candidates: Sequence[TrialResult]) -> SplitScores | None:
    """Return what an arm's candidates scored on outer splits, if there are any."""
    splits = {trial.split for trial in candidates if trial.candidate is not None}
    if not splits:
        return None
    metric = results.info.metric.name
    tests = [_finite(trial.test.get(metric)) for trial in candidates if trial.test is not None]
    gaps = _spread(trial.gap for trial in candidates)
    return SplitScores(_spread(tests), gaps, max(results.job.confirm.least, len(splits)))


def _search_trial(trial: TrialResult | None) -> SearchTrial | None:
    if trial is None or trial.value is None:
        return None
    return SearchTrial(
        number=trial.number,
        value=trial.value,
        control=trial.control,
        config=trial.config,
        parameters=trial.parameters,
        epochs=trial.epochs,
        train_seconds=trial.train_seconds,
    )


def _finalist(candidate: Candidate, results: Results, *, leads: bool) -> Finalist:
    trial = candidate.trial
    replicates = tuple(map(_replicate, candidate.replicates))
    tested = [replicate for replicate in replicates if replicate.test is not None]
    return Finalist(
        number=trial.number,
        config=trial.config,
        parameters=trial.parameters,
        search_value=_finite(trial.value),
        alone=trial.alone,
        leads=leads,
        seeds=max(results.job.confirm.least, len(replicates)),
        test=_spread(replicate.test for replicate in tested),
        validation=_spread(replicate.validation for replicate in tested),
        gap=_spread(replicate.gap for replicate in tested),
        train_seconds=_spread(replicate.train_seconds for replicate in tested),
        replicates=replicates,
    )


def _replicate(result: TrialResult) -> Replicate:
    complete = result.state == "complete"
    test, training = (
        (metrics or {}).get(result.metric.name) for metrics in (result.test, result.training)
    )
    return Replicate(
        replicate=result.replicate or 0,
        split=result.split,
        seed=result.seed,
        state=result.state,
        validation=_finite(result.value) if complete else None,
        test=_finite(test) if complete else None,
        training=_finite(training) if complete else None,
        gap=result.gap if complete else None,
        train_seconds=result.train_seconds,
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _spread(values: Iterable[float | None]) -> Spread | None:
    return Spread.of([value for value in values if value is not None])


def _differences(arms: Sequence[ArmSummary], metric: Metric) -> Iterator[PairedDifference]:
    for first, second in combinations(arms, 2):
        ours, theirs = _tests(first), _tests(second)
        replicates = tuple(sorted(ours.keys() & theirs.keys()))
        difference = Spread.of([ours[number] - theirs[number] for number in replicates])
        if difference is None:
            continue
        cost = metric.cost(difference.mean)
        favours = first.name if cost < 0 else second.name if cost > 0 else None
        yield PairedDifference(first.name, second.name, replicates, difference, favours)


def _tests(arm: ArmSummary) -> dict[int, float]:
    """Return the test values of the arm's leader by replicate number."""
    replicates = arm.leading.replicates if arm.leading else ()
    return {r.replicate: r.test for r in replicates if r.test is not None}
