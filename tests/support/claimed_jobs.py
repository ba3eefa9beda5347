"""Results of a claim's job, with scores that a test chooses.

scored(job, values)  replicates of each arm on new splits, as a nested design leaves them
controlled(job, ...) controls of each arm, with their learning curves
measured(results, …) the same with finalists whose epochs were measured alone
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from made_results import trial_result

from search.job.spec import JobSpec
from search.journal.trial import AloneTimes
from search.results.read import Results
from search.run.claims import installed_jobs
from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.data.baselines import Baseline
from trainables.training.curve import Epoch

PATH = "engine/cpu/float32"
FOLDER = Path("/nowhere")
Values = Mapping[str, Sequence[float | None]]
_TRIVIAL = {"accuracy": 0.1, "loss": 2.0, "mse": 0.16, "bits-per-token": 4.0}


def results_of(job: str) -> Results:
    """Return a claim's job without a trial, with what is reached without a model."""
    spec = JobSpec.load(installed_jobs() / f"{job}.yaml")
    kind = spec.task.of_kind
    info = TaskInfo(spec.task.label, kind, 4, 4, 50, METRICS[kind][0], "ab" * 32)
    return Results(
        FOLDER, spec, info, [], "done", baselines=(Baseline("trivial", _TRIVIAL, _TRIVIAL, 300),)
    )


def scored(job: str, tests: Values, gaps: Mapping[str, float] | None = None) -> Results:
    """Return replicates with these test values, by arm; None is one that diverged.

    gaps: how much better an arm's training data is scored.
    """
    results = results_of(job)
    metric = results.info.metric
    for arm, values in tests.items():
        for replicate, value in enumerate(values):
            fit = (
                None
                if value is None
                else value + (gaps or {}).get(arm, 0) * (1 if metric.maximize else -1)
            )
            results.trials.append(
                trial_result(
                    replicate,
                    value,
                    arm=arm,
                    phase="confirm",
                    state="diverged" if value is None else "complete",
                    metric=metric,
                    replicate=replicate,
                    split=replicate,
                    candidate=0,
                    test=None if value is None else {metric.name: value},
                    training=None if fit is None else {metric.name: fit},
                )
            )
    return results


def curve(values: Sequence[float]) -> list[Epoch]:
    """Return a learning curve. What its epochs took says nothing: others trained beside them."""
    return [Epoch(number, 1.0, value, 99.0) for number, value in enumerate(values, 1)]


def controlled(job: str, curves: Mapping[str, Sequence[list[Epoch]]]) -> Results:
    """Return complete controls with these learning curves, by arm."""
    results = results_of(job)
    metric = results.info.metric
    for arm, own in curves.items():
        for number, points in enumerate(own):
            results.trials.append(
                trial_result(
                    number,
                    metric.best(point.value for point in points),
                    arm=arm,
                    control=True,
                    metric=metric,
                    curve=points,
                )
            )
    return results


def measured(results: Results, seconds: Values, **paths: str) -> Results:
    """Return the results with finalists whose epochs took so long alone, by arm.

    paths: what an arm's epochs were measured on, by arm.
    """
    for arm, own in seconds.items():
        for place, each in enumerate(own):
            path = paths.get(arm, PATH)
            alone = AloneTimes(1.0, 64.0, path, 1, epoch_seconds=each, training_path=path)
            number = 1000 + place
            results.trials.append(trial_result(number, 0.1, arm=arm, alone=alone))
    return results
