"""What is recorded of a worker's report, and of a trial's end."""

from typing import Any

from search.journal.replay import TrialState
from search.journal.trial import State
from trainables.training.curve import Epoch
from trainables.worker.messages import TrialReport


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
    if measured:
        record["latency_ms"] = report.latency_ms
    if measured or report.path not in (None, *trial.paths):
        record["path"] = report.path
    return record


def end_record(
    trial: TrialState, state: State, reason: str | None = None, report: TrialReport | None = None
) -> dict[str, Any]:
    """Return the record of a trial's end; report: the one that completed it."""
    record: dict[str, Any] = {"record": "end", "key": trial.key, "state": state}
    record |= {"reason": reason, "test": report and report.test}
    if report is not None and report.scores is not None:
        record["scores"] = report.scores
    return record
