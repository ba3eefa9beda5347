"""What a job looks like in MLflow: its runs, their params, tags and points. Knows no MLflow.

The journal is folded into `Run`s. Everything that a run says follows from the journal alone, times
included, so that telling it again adds nothing (MLflow keys a point by name, time, step and value).
"""

import hashlib
import json
import math
import re
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from search.journal.replay import JobState, TrialState
from search.tracking.state import JOB_KEY

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

#: How a trial's end is told. Pruning and diverging are results of the search; the tag `state` tells
#: them apart from a completed trial and from a fault.
_STATUS: dict[str, Status] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
}

LONGEST_NAME = 250  # characters of the name of a metric, param or tag
LONGEST_PARAM = 6_000
LONGEST_TAG = 8_000
_LONGEST_REASON = 2_000
_ONCE = 0  # the step of what is no curve: MLflow's pages show it as a bar

_NOTE = """\
One run per trial; this run is their parent. Told by gatesearch from the job's journal.

| metric of a trial | meaning |
|---|---|
| `train_loss`, `seconds` | training loss and time of each epoch |
| `{metric}` | what the job is decided by, on validation data, each epoch ({direction}) |
| other plain names | further metrics on validation data, each epoch |
| `best_{metric}` | its best epoch |
| `test_…` | confirm phase only: on test data, with the best epoch's weights |
| `parameters`, `train_seconds` | size of the model, training time in all |
| `latency_ms` | of one typical sequence before training, where the job limits it |

`best_{metric}/ARM` on this run is the best complete trial of an arm after so many trials;
`test_{metric}_mean/ARM` and `_std` are over the replicates of its finalist.

Tags: `phase` search or confirm, `state` complete, pruned, diverged, failed, running or interrupted,
`arm`, `cell`, `gates`, `control`, `generation` (of the driver), `reason`.
"""


class Point(NamedTuple):
    """One value of a metric. Times are Unix times in milliseconds."""

    name: str
    value: float
    time: int
    step: int


@dataclass
class Run:
    """One run as it should be in MLflow, and the part of it that has not been told yet."""

    key: str
    name: str
    started: int
    tags: dict[str, str]
    params: dict[str, str]  #: emptied once told
    points: list[Point] = field(default_factory=list)  #: those not told yet
    made: int = 0  #: points made so far, told or not
    sized: bool = False  #: whether the number of parameters is among them
    status: Status = "RUNNING"
    ended: int | None = None

    def add(self, name: str, value: float, time: int, step: int) -> None:
        """Add a point, unless it is no number: MLflow would store infinity as 1.8e308."""
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            return
        if math.isfinite(number):
            self.points.append(Point(clean_name(name), number, time, step))
            self.made += 1


@dataclass(frozen=True)
class DataSet:
    """The job's data in the form of an MLflow data set."""

    name: str
    digest: str
    source: str  #: JSON
    profile: str  #: JSON


class Runs:
    """All runs of a job, folded from its journal."""

    def __init__(self) -> None:
        self.job_state = JobState(keep_curves=False)
        self.job: Run | None = None  #: None until the journal tells what the job is
        self.job_id: str | None = None  #: of this folder's job; another job may have its name
        self.driver: tuple[int, str] | None = None  #: process and host of the latest driver
        self.data_set: DataSet | None = None
        self.changed: dict[str, Run] = {}  #: runs to be told, the parent first, in order of birth
        self._running: dict[str, Run] = {}  #: trials without an end
        self._live = True
        self._last = 0
        self._ends: defaultdict[str, int] = defaultdict(int)
        self._best: dict[str, float] = {}
        self._tests: defaultdict[tuple[str, int | None], list[float]] = defaultdict(list)

    @property
    def name(self) -> str:
        """The job's name."""
        return str((self.job_state.spec or {}).get("name", ""))

    def fold(self, group: list[dict[str, Any]]) -> None:
        """Take in the journal's next group."""
        for record in group:
            if "record" in record:
                self._fold(record)

    def live(self, live: bool) -> None:
        """Say whether a driver works on the job: if not, what has no end was interrupted."""
        if live == self._live:
            return
        self._live = live
        for run in self._running.values():
            self._open(run)
        self._tell_job()

    def _fold(self, record: dict[str, Any]) -> None:
        key = record.get("key", "")
        before = self.job_state.trials.get(key)
        was_running = before is not None and before.state == "running"
        told = before.epoch if before is not None else 0
        self.job_state.apply(record)
        self._last = max(self._last, record.get("time") or 0)
        match record["record"]:
            case "job" | "extend" | "phase":
                self._tell_job()
            case "driver":
                self.driver = (record["pid"], record["host"])
                if self.job_id is None:
                    origin = json.dumps([record["pid"], record["host"], record["time"]])
                    self.job_id = hashlib.sha256(origin.encode()).hexdigest()[:16]
                for run in self._running.values():
                    self._open(run)
                self._tell_job()
            case "trial" if before is None:
                self._born(self.job_state.trials[key], record)
            case "report" if was_running:
                self._reported(self.job_state.trials[key], told)
            case "end" if was_running:
                self._ended(self.job_state.trials[key], record["time"])

    def _born(self, entry: TrialState, record: dict[str, Any]) -> None:
        config = entry.config.model_dump(mode="json")
        name = f"{entry.arm}-{entry.number}"
        params = {**config, "arm": entry.arm, "number": entry.number, "seed": entry.seed}
        tags = {"arm": entry.arm, "cell": config.get("cell"), "gates": config.get("gates")}
        tags |= {"phase": entry.phase, "control": entry.control}
        if entry.phase == "confirm":
            name = f"{entry.arm}-{entry.finalist}-replicate-{entry.replicate}"
            params |= {"finalist": entry.finalist, "replicate": entry.replicate}
            tags["finalist"] = f"{entry.arm}-{entry.finalist}"
        run = Run(entry.key, name, record["time"], clean_tags(tags), clean_params(params))
        self._running[entry.key] = run
        self._open(run)

    def _reported(self, entry: TrialState, told: int) -> None:
        run = self._running[entry.key]
        assert self.job_state.info is not None
        if entry.parameters is not None and not run.sized:
            run.sized = True
            run.add("parameters", entry.parameters, run.started, _ONCE)
            if entry.latency_ms is not None:
                run.add("latency_ms", entry.latency_ms, run.started, _ONCE)
        for point in entry.curve:
            if point.epoch <= told:
                continue
            values = {**point.metrics, self.job_state.info.metric.name: point.value}
            values |= {"train_loss": point.train_loss, "seconds": point.seconds}
            for name, value in values.items():
                run.add(name, value, point.time, point.epoch)
        self._change(run)

    def _ended(self, entry: TrialState, time: int) -> None:
        assert self.job_state.info is not None
        run = self._running.pop(entry.key)
        metric = self.job_state.info.metric.name
        if entry.value is not None:
            run.add(f"best_{metric}", entry.value, time, _ONCE)
        if entry.epoch:
            run.add("train_seconds", entry.seconds, time, _ONCE)
        for name, value in (entry.test or {}).items():
            run.add(f"test_{name}", value, time, _ONCE)
        run.status, run.ended = _STATUS.get(entry.state, "FAILED"), time
        run.tags["state"] = entry.state
        if entry.reason:
            run.tags["reason"] = shorten(entry.reason, _LONGEST_REASON)
        self._change(run)
        self._summarise(entry, time)

    def _summarise(self, entry: TrialState, time: int) -> None:
        """Add to the parent what a trial's end means for its arm."""
        assert self.job is not None and self.job_state.info is not None
        metric = self.job_state.info.metric
        if entry.phase == "search":
            self._ends[entry.arm] += 1
            if entry.state == "complete" and entry.value is not None:
                better = max if metric.direction == "maximize" else min
                best = better(entry.value, self._best.get(entry.arm, entry.value))
                self._best[entry.arm] = best
            if entry.arm in self._best:
                name = f"best_{metric.name}/{entry.arm}"
                self.job.add(name, self._best[entry.arm], time, self._ends[entry.arm])
        elif entry.test is not None and math.isfinite(entry.test.get(metric.name, math.nan)):
            scores = self._tests[entry.arm, entry.finalist]
            scores.append(entry.test[metric.name])
            of = f"{entry.arm}-{entry.finalist}" if self._finalists() > 1 else entry.arm
            mean = math.fsum(scores) / len(scores)
            self.job.add(f"test_{metric.name}_mean/{of}", mean, time, len(scores))
            if len(scores) > 1:
                spread = math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1)
                name = f"test_{metric.name}_std/{of}"
                self.job.add(name, math.sqrt(spread), time, len(scores))
        self._change(self.job)

    def _finalists(self) -> int:
        return int(((self.job_state.spec or {}).get("confirm") or {}).get("finalists", 1))

    def _open(self, run: Run) -> None:
        """Show a trial without an end as running, or as interrupted where no driver is at work."""
        run.tags["generation"] = str(self.job_state.generation)
        run.tags["state"] = "running" if self._live else "interrupted"
        run.status = "RUNNING" if self._live else "KILLED"
        run.ended = None if self._live else self._last
        self._change(run)

    def _tell_job(self) -> None:
        """Bring the parent's tags and status up to date."""
        if self.job_state.spec is None or self.job_state.info is None or self.job_id is None:
            return
        info, spec = self.job_state.info, self.job_state.spec
        if self.job is None:
            note = _NOTE.format(metric=info.metric.name, direction=info.metric.direction)
            tags = {"task": info.name, "kind": info.kind, "metric": info.metric.name}
            tags |= {"direction": info.metric.direction, "mlflow.note.content": note}
            params = clean_params(flatten(spec))
            self.job = Run(JOB_KEY, self.name, self._last, clean_tags(tags), params)
            self.data_set = describe_data(asdict(info), spec.get("task"))
        run, done = self.job, self.job_state.phase == "done"
        run.tags["phase"] = self.job_state.phase
        run.tags["generation"] = str(self.job_state.generation)
        run.tags["state"] = "complete" if done else "running" if self._live else "interrupted"
        if self.job_state.added_trials:
            run.tags["added_trials"] = str(self.job_state.added_trials)
        if self.job_state.added_seeds:
            run.tags["added_seeds"] = str(self.job_state.added_seeds)
        run.status = "FINISHED" if done else "RUNNING" if self._live else "KILLED"
        run.ended = None if run.status == "RUNNING" else self._last
        self._change(run)

    def _change(self, run: Run) -> None:
        self.changed.setdefault(run.key, run)


def describe_data(info: dict[str, Any], task: Any) -> DataSet:
    """Return the data set of a job from its TaskInfo and its task, both as plain dicts."""
    source = json.dumps(task if isinstance(task, dict) else {"name": info["name"]}, sort_keys=True)
    shape = ("kind", "inputs", "outputs", "longest", "fingerprint")
    profile = json.dumps({name: info[name] for name in shape})
    digest = str(info["fingerprint"])[:12]  # the whole of it is in the profile
    return DataSet(shorten(str(info["name"]), 500), digest or "unknown", source[:60_000], profile)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted path; lists are leaves."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            leaves |= flatten(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def clean_params(values: dict[str, Any]) -> dict[str, str]:
    """Return params as MLflow takes them: strings, and names that it allows."""
    return {
        clean_name(name): shorten(_text(value), LONGEST_PARAM) for name, value in values.items()
    }


def clean_tags(values: dict[str, Any]) -> dict[str, str]:
    """Return tags as MLflow takes them; those without a value are left out."""
    return {
        clean_name(name): shorten(_text(value), LONGEST_TAG)
        for name, value in values.items()
        if value is not None
    }


def clean_name(name: str) -> str:
    """Return a name that MLflow allows and that cannot be taken for another path.

    A name that had to be changed gets a short digest of the original, so that two stay two.
    """
    allowed = re.sub(r"[^\w.\- :/]", "_", name)
    parts = [part for part in allowed.split("/") if part not in ("", ".", "..")]
    cleaned = "/".join(parts) or "_"
    if cleaned == name and len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{cleaned[: LONGEST_NAME - 9]}-{digest}"


def shorten(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, with an ellipsis where it was cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # half a surrogate pair cannot be sent
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
