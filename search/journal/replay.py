"""The state of a job: what its journal adds up to. The driver and every reader replay it alike.

Record kinds, each an object with the key "record":

    driver  generation, pid, host, time           a driver has taken the job over
    job     spec, base, task, common_controls, file     the job, its file's folder, its data's
            shape, and its job.yaml
    baselines  baselines, time                    what is reached without a model, once
    trial   key, phase, arm, number, control, config, seed, finalist, replicate, time;
            split and candidate where the design of replicates has them
    report  key, generation, epochs, checkpoint, parameters; the first: latency_ms, if limited;
            stored: bytes by name; path, where it is another one than before: of the latency, or of
            the epochs
    retry   key, reason, counted, time            a trial was lost and goes on from its checkpoint
    pause   key, time                             a trial waits with its checkpoint
    thaw    key, finish, time                     it goes on; finish: to its end in any case
    end     key, state, reason, test, time; of a replicate: training, and scores where those of
            test examples are stored
    warm_start  job, trials, may_have_seen_test, time   from how many trials each arm learned
    learned_rates  jobs, decades, unequal, overlapping, time    from which jobs, and what
    test    key, test, reason, time; training, scores, stored     the chosen of some candidates,
            scored
    extend  trials, seeds, replicates, time       budget added to a finished job; replicates: how
            many there are to be, where that was open
    phase   phase, time                           search, confirm, report or done
    alone   key, time, fields of AloneTimes       what a finalist costs
    full    full, time                            nothing new was begun for want of room
    runs    runs, time                            which runs of MLflow's these are, where the
            journal is in a database: others of its readers have no folder of the job's

Objects without that key are Optuna's own journal records and are passed over here. Applying a
record twice changes nothing.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from search.job.sections import REPORT_TIMEOUT
from search.job.spec import JobSpec
from search.journal.base import JournalError
from search.journal.records import REMEDY, check_record, config_of, known_part
from search.journal.trial import AloneTimes, Phase, State, TrialResult
from search.journal.warm_start import LearnedRates, WarmStart
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.kinds import Metric
from spaces.tasks import TaskInfo
from spaces.text import listed, show
from trainables.data.baselines import Baseline
from trainables.training.curve import Epoch
from trainables.training.measured_path import joined

_ALONE = tuple(field.name for field in fields(AloneTimes))
_PLACE = ("finalist", "replicate", "split", "candidate")
_TOLD = ("phase", "arm", "number", "control", "seed", *_PLACE)  # of a trial that begins
_OF_A_TRIAL = ("report", "retry", "pause", "thaw", "end", "test", "alone")
_BASELINE = tuple(field.name for field in fields(Baseline))
_EPOCH = tuple(field.name for field in fields(Epoch))  # what this version knows of one


def trial_key(phase: str, arm: str, number: int) -> str:
    """Return the name of a trial within its job, for example "search/lstm/3"."""
    return f"{phase}/{arm}/{number}"


@dataclass(frozen=True)
class NewTrial:
    """A trial that is to begin."""

    phase: Phase
    arm: str
    number: int  #: within its arm and phase
    config: TrialConfig
    seed: int
    control: bool = False
    finalist: int | None = None  #: confirm: the search trial that this is a replicate of
    replicate: int | None = None  #: confirm: equal numbers share their seed across arms
    split: int | None = None  #: confirm: the number of its split, where data is dealt anew
    candidate: int | None = None  #: confirm: which of an arm's configurations on that split it is

    @property
    def key(self) -> str:
        """The trial's name within its job."""
        return trial_key(self.phase, self.arm, self.number)

    def as_record(self) -> dict[str, Any]:
        """Return the record by which a journal begins the trial."""
        more = {"split": self.split, "candidate": self.candidate}
        return {
            "record": "trial",
            "key": self.key,
            "phase": self.phase,
            "arm": self.arm,
            "number": self.number,
            "control": self.control,
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "finalist": self.finalist,
            "replicate": self.replicate,
            **{name: number for name, number in more.items() if number is not None},
        }


@dataclass
class TrialState:
    """What is known of one trial."""

    key: str
    phase: Phase
    arm: str
    number: int
    control: bool
    config: TrialConfig
    seed: int
    finalist: int | None = None
    replicate: int | None = None
    split: int | None = None
    candidate: int | None = None
    state: State = "running"
    paused: bool = False  #: whether it waits with its checkpoint
    finishing: bool = False  #: whether it goes on to its end, whatever its values
    curve: list[Epoch] = field(default_factory=list)
    epoch: int = 0  #: epochs trained and reported
    seconds: float = 0.0  #: worker seconds of those epochs
    value: float | None = None  #: best so far
    loss: float = math.inf  #: validation loss of the best epoch, where it was recorded
    best_epoch: int = 0  #: which one that was
    parameters: int | None = None
    latency_ms: float | None = None  #: measured before the first epoch, where it is limited
    latency_path: str | None = None  #: which that was measured on, see measured_path.py
    alone: AloneTimes | None = None
    paths: list[str] = field(default_factory=list)  #: that its epochs were trained on
    checkpoints: list[str] = field(default_factory=list)  #: the latest last, at most two
    sizes: dict[str, int] = field(default_factory=dict)  #: bytes of what it has stored, by name
    retries: int = 0  #: that count against search.retries
    lost_at: int | None = None  #: the epoch of the latest loss
    test: dict[str, float] | None = None
    training: dict[str, float] | None = None  #: metrics on training data, beside test
    scores: dict[str, str] | None = None  #: of test examples: name in the store, and sha256
    scored: bool = False  #: whether it was chosen among candidates, and scored if it could be
    reason: str | None = None

    @property
    def active(self) -> bool:
        """Whether a worker has it in hand, or is to have it."""
        return self.state == "running" and not self.paused

    def result(self, metric: Metric, run_id: str | None = None) -> TrialResult:
        """Return the trial in its public form; run_id: of its MLflow run."""
        return TrialResult(
            number=self.number,
            arm=self.arm,
            phase=self.phase,
            state=self.state,
            control=self.control,
            config=self.config,
            seed=self.seed,
            epochs=self.epoch,
            metric=metric,
            value=self.value,
            curve=self.curve,
            parameters=self.parameters,
            latency_ms=self.latency_ms,
            latency_path=self.latency_path,
            path=joined(self.paths),
            alone=self.alone,
            train_seconds=self.seconds,
            mlflow_run_id=run_id,
            finalist=self.finalist,
            replicate=self.replicate,
            split=self.split,
            candidate=self.candidate,
            test=self.test,
            training=self.training,
            scores=self.scores,
            reason=self.reason,
            checkpoint=self.checkpoints[-1] if self.checkpoints else None,
        )


class JobState:
    """The state of a job, as far as its journal goes."""

    def __init__(self, *, keep_curves: bool = True) -> None:
        """With keep_curves=False the curves of ended trials are dropped (the driver's memory)."""
        self._keep_curves = keep_curves
        self.spec: dict[str, Any] | None = None
        self.base = ""  #: the folder that relative paths of the job start from
        self.file: str | None = None  #: the job.yaml; an earlier version did not record it
        self.info: TaskInfo | None = None
        self.runs: dict[str, Any] | None = None  #: fields of a MirrorState: MLflow's runs
        #: What is reached without a model; nothing in a job that an earlier version ran.
        self.baselines: tuple[Baseline, ...] = ()
        self.job_id = ""  #: tells this job from others of its name; made by its first driver
        self.generation = 0
        self.driver: tuple[int, str] | None = None  #: process and host of the latest driver
        #: Whether controls are alike in every arm and unseen by pruners; not in jobs of before.
        self.common_controls = True
        self.warm_start: WarmStart | None = None
        self.learned_rates: LearnedRates | None = None
        self.phase = "search"
        self.full: dict[str, float] | None = None  #: bytes that are stored, over which limit_gb
        self.added_trials = 0
        self.added_replicates = 0
        self.least_replicates = 0  #: that there are to be in any case
        self.trials: dict[str, TrialState] = {}
        self.search_seconds = 0.0  #: wall-clock time that drivers have spent searching
        self._last_time: int | None = None

    def apply_all(self, groups: Iterable[list[dict[str, Any]]]) -> None:
        """Apply groups of records in order. Raises JournalError where one is not sound."""
        for group in groups:
            for record in group:
                if "record" in record:
                    self.apply_checked(record)

    def apply_checked(self, record: dict[str, Any]) -> None:
        """Apply one record that was read. Raises JournalError where it is not sound."""
        check_record(record)
        key = record.get("key")
        match record["record"]:
            case "trial" | "baselines" as kind if self.info is None or not self.job_id:
                what = f"trial {show(key)}" if kind == "trial" else kind
                raise unsound(f"{what} must follow the records of job and driver")
            case "trial" if key != trial_key(record["phase"], record["arm"], record["number"]):
                raise unsound(f"the key of a trial must tell its arm, not {show(key)}")
            case kind if kind in _OF_A_TRIAL and key not in self.trials:
                raise unsound(f"{show(key)} must be a trial that has begun")
        self.apply(record)

    def apply(self, record: dict[str, Any]) -> None:
        """Apply one record; one of an unknown kind is of a later version and is skipped."""
        kind = record["record"]
        if "time" in record:
            self._count_time(record["time"], starts=kind == "driver")
        match kind:
            case "driver":
                self.generation = record["generation"]
                self.driver, self.full = (record["pid"], record["host"]), None
                origin = json.dumps([record["pid"], record["host"], record["time"]])
                self.job_id = self.job_id or hashlib.sha256(origin.encode()).hexdigest()[:16]
            case "job":
                self.spec, self.base, self.file = record["spec"], record["base"], record.get("file")
                self.common_controls = record.get("common_controls", False)
                self.info = TaskInfo.from_dict(record["task"])
            case "baselines" if not self.baselines:
                self.baselines = tuple(
                    Baseline(**{name: each[name] for name in _BASELINE if name in each})
                    for each in record["baselines"]
                )
            case "trial":
                self._create(record)
            case "report":
                self._report(record)
            case "retry":
                trial = self.trials[record["key"]]
                trial.retries += record.get("counted", True)
                trial.lost_at = trial.epoch
                trial.reason = record["reason"]
            case "pause" | "thaw":
                trial = self.trials[record["key"]]
                trial.paused, trial.finishing = kind == "pause", record.get("finish", False)
            case "end":
                self._end(record)
            case "alone":
                times = {name: record[name] for name in _ALONE if name in record}
                self.trials[record["key"]].alone = AloneTimes(**times)
            case "warm_start" | "learned_rates":
                self._inherit(record)
            case "test":
                self._test(record)
            case "extend":
                self.added_trials += record["trials"]
                self.added_replicates += record["seeds"]
                self.least_replicates = record.get("replicates", 0)
                self.phase = "search"
            case "phase" | "runs" | "full":
                setattr(self, kind, known_part(record))

    def arm(self, arm: str, phase: Phase) -> list[TrialState]:
        """Return the trials of an arm in one phase, by number."""
        return [t for t in list(self.trials.values()) if t.arm == arm and t.phase == phase]

    def _count_time(self, time_ms: int, *, starts: bool) -> None:
        if not starts and self._last_time is not None and self.phase == "search":
            self.search_seconds += min(max(0, time_ms - self._last_time) / 1000, self._longest_gap)
        self._last_time = time_ms

    @property
    def _longest_gap(self) -> float:
        """Seconds between two records that count, at most.

        A worker that is silent for longer is ended, which is a record. More time than that is of a
        machine that slept, or a clock that was set.
        """
        search = (self.spec or {}).get("search")  # what a stranger wrote is checked when it is read
        named = search.get("report_timeout") if isinstance(search, dict) else None
        return max(REPORT_TIMEOUT, named if isinstance(named, (int, float)) else 0.0)

    def _inherit(self, record: dict[str, Any]) -> None:
        if record["record"] == "warm_start":
            told = (record[name] for name in ("job", "trials", "may_have_seen_test"))
            self.warm_start = WarmStart(*told)
        else:
            told = (record[name] for name in ("decades", "unequal", "overlapping"))
            self.learned_rates = LearnedRates(tuple(record["jobs"]), *told)

    def _create(self, record: dict[str, Any]) -> None:
        key = record["key"]
        told: dict[str, Any] = {name: record.get(name) for name in _TOLD}
        if key not in self.trials:
            self.trials[key] = TrialState(key=key, config=config_of(record), **told)

    def _report(self, record: dict[str, Any]) -> None:
        trial = self.trials[record["key"]]
        if trial.state != "running":
            return
        assert self.info is not None
        metric = self.info.metric
        for point in record["epochs"]:
            if point["epoch"] <= trial.epoch:
                continue  # reported before, or trained again from an older checkpoint
            epoch = Epoch(**{name: point[name] for name in _EPOCH if name in point})
            trial.curve.append(epoch)
            trial.epoch = epoch.epoch
            trial.seconds += epoch.seconds
            best = None if trial.value is None else (metric.cost(trial.value), trial.loss)
            if best is None or epoch.rank(metric) < best:
                trial.value, trial.loss, trial.best_epoch = epoch.value, epoch.loss, epoch.epoch
        trial.parameters = record.get("parameters", trial.parameters)
        path = record.get("path")
        if "latency_ms" in record:
            trial.latency_ms, trial.latency_path = record["latency_ms"], path
        elif path is not None and path not in trial.paths:
            trial.paths.append(path)
        name = record.get("checkpoint")
        if name is not None and name not in trial.checkpoints:
            trial.checkpoints = [*trial.checkpoints[-1:], name]
        stored = {**trial.sizes, **record.get("stored", {})}
        lasting = (*trial.checkpoints, *record.get("stored", ()))
        trial.sizes = {name: size for name, size in stored.items() if name in lasting}

    def _end(self, record: dict[str, Any]) -> None:
        trial = self.trials[record["key"]]
        if trial.state != "running":
            return
        trial.state, trial.paused = record["state"], False
        self._take_scores(trial, record)
        if not self._keep_curves:
            trial.curve = []

    def _test(self, record: dict[str, Any]) -> None:
        trial = self.trials[record["key"]]
        trial.scored = True
        trial.sizes |= record.get("stored", {})
        self._take_scores(trial, record)

    def _take_scores(self, trial: TrialState, record: dict[str, Any]) -> None:
        for name in ("reason", "test", "training", "scores"):
            setattr(trial, name, record.get(name))

    # What follows from it

    def check_arms(self, job: JobSpec) -> None:
        """Raise JournalError unless all trials are of arms of the job."""
        arms = {arm.name for arm in job.arms}
        for trial in self.trials.values():
            if trial.arm not in arms:
                known = listed(sorted(arms))
                raise unsound(f"trial {trial.key} must be of an arm of the job: {known}")

    def as_begun(self, job: JobSpec, info: TaskInfo, place: str) -> JobSpec:
        """Return a job as it was begun: by the defaults of the version that began it.

        place: the journal's, for the message. Raises InputError unless this is the state of that
        job on that data, and JournalError for trials of arms it has not.
        """
        assert self.spec is not None and self.info is not None
        remedy = "give the changed job another name"
        begun = JobSpec.recorded(self.spec, job.base).dump()
        if begun != job.dump():
            job = job.with_defaults_of(begun).check(info)
        if JobSpec.without_addresses(begun) != JobSpec.without_addresses(job.dump()):
            rule = f"the job {job.name!r} must be as it was when it was started; it has changed"
            raise InputError.of(place, rule, remedy)
        self.check_arms(job)
        if self.info.fingerprint != info.fingerprint:
            rule = "the data must be as it was when the job was started; it has changed"
            raise InputError.of(place, rule, f"restore the data, or {remedy}")
        return job


def unsound(rule: str) -> JournalError:
    """Return the error that a journal breaks a rule which every journal of gatesearch keeps."""
    return JournalError(f"The journal is not as gatesearch writes it: {rule}. {REMEDY}")
