"""One run as it should be in MLflow, how a trial's run begins, and the data set of a job."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from search.journal.replay import TrialState
from search.tracking.clean import clean_name, clean_params, clean_tags, clean_text, shorten
from search.tracking.mlflow_compat import LONGEST_DATA_NAME, LONGEST_DATA_SOURCE

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Point(NamedTuple):
    """One value of a metric. Times are Unix times in milliseconds."""

    name: str
    value: float
    time: int
    step: int


@dataclass
class MlflowRun:
    """One run as it should be in MLflow, and the part of it that has not been sent yet."""

    key: str
    name: str
    started: int
    tags: dict[str, str]
    params: dict[str, str]  #: emptied once they are sent
    points: list[Point] = field(default_factory=list)  #: those not sent yet
    point_count: int = 0  #: points so far, sent or not
    shows_data: bool = True  #: whether the data set is told with it, which costs a request
    has_size: bool = False  #: whether the number of parameters is among them
    status: Status = "RUNNING"
    ended: int | None = None

    def add(self, name: str, value: float | None, time: int, step: int) -> None:
        """Add a point, unless it is no number: MLflow would store infinity as 1.8e308."""
        try:
            number = math.nan if value is None else float(value)
        except (OverflowError, TypeError, ValueError):
            return
        if math.isfinite(number):
            self.points.append(Point(clean_name(name), number, time, step))
            self.point_count += 1

    @property
    def running(self) -> bool:
        """Whether the run has not ended."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class DataSet:
    """The job's data in the form of an MLflow data set."""

    name: str
    digest: str
    source: str  #: JSON
    profile: str  #: JSON


def trial_run(trial: TrialState, time: int) -> MlflowRun:
    """Return the run of a trial that begins: its name, its params and what its tags say for good.

    A name reads "gru d2 h64 #17": arm, depth, hidden size and number of a trial of the search.
    """
    config = trial.config.model_dump(mode="json")
    params = {**config, "arm": trial.arm, "number": trial.number, "seed": trial.seed}
    tags: dict[str, Any] = {
        "arm": trial.arm,
        "cell": trial.config.cell,
        "gates": trial.config.gates,
    }
    tags |= {"phase": trial.phase, "control": trial.control}
    of = f"#{trial.number}"
    if trial.candidate is not None:
        of = f"split {trial.split} candidate {trial.candidate}"
        params |= {"replicate": trial.replicate, "split": trial.split}
        params["candidate"] = trial.candidate
    elif trial.phase == "confirm":
        of = f"#{trial.finalist} replicate {trial.replicate}"
        params |= {"finalist": trial.finalist, "replicate": trial.replicate}
        tags["finalist"] = f"{trial.arm} #{trial.finalist}"
    shape = f"d{trial.config.depth} h{trial.config.hidden_size}"
    arm = trial.arm if trial.config.cell in trial.arm else f"{trial.arm} {trial.config.cell}"
    return MlflowRun(
        clean_text(trial.key),
        clean_text(f"{arm} {shape} {of}"),
        time,
        clean_tags(tags),
        clean_params(params),
        shows_data=trial.phase == "confirm",
    )


def describe_data(info: dict[str, Any], task: Any) -> DataSet:
    """Return the data set of a job from its TaskInfo and its task, both as plain dicts."""
    source = json.dumps(task if isinstance(task, dict) else {"name": info["name"]}, sort_keys=True)
    shape = ("kind", "inputs", "outputs", "longest", "fingerprint")
    profile = json.dumps({name: info[name] for name in shape})
    digest = str(info["fingerprint"])[:12]  # the whole of it is in the profile
    return DataSet(
        shorten(clean_text(str(info["name"])), LONGEST_DATA_NAME),
        digest or "unknown",
        source[:LONGEST_DATA_SOURCE],
        profile,
    )
