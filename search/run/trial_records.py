"""What is recorded of a driver, a worker's report, a trial's end, and what arms inherit."""

import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.journal.trial import State
from search.study.prior_trials import Prior
from spaces.tasks import TaskInfo
from trainables.training.curve import Epoch
from trainables.training.schedule import stops_early
from trainables.worker.messages import TrialReport


def job_record(
    job: JobSpec, base: str, info: TaskInfo, job_state: JobState, file: str | None
) -> dict[str, Any]:
    """Return the record of what the job is; base: the folder that its file's paths start from."""
    record = {"record": "job", "spec": job.dump(), "base": base, "task": asdict(info)}
    return {**record, "common_controls": job_state.common_controls, "file": file}


def driver_record(generation: int) -> dict[str, Any]:
    """Return the record that this process has taken the job over."""
    host = socket.gethostname()
    return {"record": "driver", "generation": generation, "pid": os.getpid(), "host": host}


def report_record(
    trial: TrialState, report: TrialReport, points: list[Epoch], *, measured: bool
) -> dict[str, Any]:
    """Return the record of a report, of which some points are new.

    measured: whether its latency is the trial's first.
    """
    record: dict[str, Any] = {
        "record": "report",
        "key": trial.key,
        "generation": report.generation,
        "epochs": [point.as_dict() for point in points],
        "checkpoint": report.checkpoint,
        "parameters": report.parameters,
    }
    if report.stored:
        record["stored"] = report.stored
    if measured:
        record["latency_ms"] = report.latency_ms
    if measured or report.path not in (None, *trial.paths):
        record["path"] = report.path
    return record


def why_early(trial: TrialState) -> str | None:
    """Return why a trial is complete before its last epoch, if its own patience says so.

    It tells such a trial apart from a pruned one, which the search stopped.
    """
    if not stops_early(trial.config, trial.epoch, trial.best_epoch):
        return None
    return (
        f"stopped early: no epoch after {trial.best_epoch} was better, with a patience of "
        f"{trial.config.patience}"
    )


def end_record(
    trial: TrialState, state: State, reason: str | None = None, report: TrialReport | None = None
) -> dict[str, Any]:
    """Return the record of a trial's end; report: the one that completed it."""
    record: dict[str, Any] = {"record": "end", "key": trial.key, "state": state}
    record |= {"reason": reason, "test": report and report.test}
    return record | _scores(report)


def _scores(report: TrialReport | None) -> dict[str, Any]:
    """Return what a report tells beside the test metrics, where it does."""
    if report is None:
        return {}
    told = {"training": report.training, "scores": report.scores}
    return {name: value for name, value in told.items() if value is not None}


def score_record(
    trial: TrialState, report: TrialReport | None = None, reason: str | None = None
) -> dict[str, Any]:
    """Return the record of what a chosen candidate scored; a reason: why it could not be."""
    record: dict[str, Any] = {"record": "test", "key": trial.key, "reason": reason}
    record |= {"test": report and report.test}
    if report is not None and report.stored:
        record["stored"] = report.stored
    return record | _scores(report)


def inherited_records(job: JobSpec, prior: Prior) -> Iterator[dict[str, Any]]:
    """Yield what each arm has from former jobs: how many trials, and how their rates lay."""
    if job.search.warm_start is not None:
        yield {
            "record": "warm_start",
            "job": job.search.warm_start,
            "trials": {arm.name: len(prior.trials.get(arm.name, ())) for arm in job.arms},
            "may_have_seen_test": prior.may_have_seen_test,
        }
    if prior.rates is not None:
        yield {"record": "learned_rates", **asdict(prior.rates)}
