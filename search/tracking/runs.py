"""A job as MLflow shows it: its runs with their params, tags and points.

JobRuns replays the journal into one MlflowRun a trial. Everything that a run says follows from the
journal alone, times included, so that sending it again adds nothing: MLflow identifies a point by
name, time, step and value. Only the verdict on the parent run comes from verdict.json, which is
made of the same journal.
"""

import math
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from search.journal.reason import with_cause_first
from search.journal.replay import JobState, TrialState
from search.spread import Spread
from search.tracking.clean import clean_params, clean_tags, flatten, shorten
from search.tracking.mlflow_compat import NOTE_TAG
from search.tracking.note import runs_note
from search.tracking.run import DataSet, MlflowRun, Status, describe_data, trial_run
from search.tracking.state import JOB_KEY
from search.tracking.verdict import ToldVerdict
from search.tracking.views import ARM_NUMBER, Shown, reading_note, view_tags
from spaces.kinds import Metric
from trainables.training.measured_path import joined
from trainables.training.schedule import Schedule

#: The status of a trial that has ended. Pruning and diverging are results of the search; the tag
#: `state` distinguishes them from a completed trial and from a fault.
_STATUS: dict[str, Status] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
}
_LONGEST_REASON = 2_000
_ONCE = 0  # the step of what is no curve: MLflow's pages show it as a bar


class JobRuns:
    """All runs of a job, replayed from its journal."""

    def __init__(self) -> None:
        self.job_state = JobState(keep_curves=False)
        self.job: MlflowRun | None = None  #: the parent; None until the journal names the job
        self.data_set: DataSet | None = None
        self.changed: dict[str, MlflowRun] = {}  #: those to send, each behind its parent
        self._open: dict[str, MlflowRun] = {}  #: of trials without an end
        self._candidates: dict[str, MlflowRun] = {}  #: that have ended: one is chosen and scored
        self._driven = True
        self._last_time = 0
        self._done_time = 0  # when the job was done
        self._trials_ended: defaultdict[str, int] = defaultdict(int)  # by arm
        self._states: Counter[str] = Counter()  # of the search's trials that ended
        self._spent: defaultdict[str, float] = defaultdict(float)  # by arm: worker seconds
        self._confirmed: list[float] = []  # worker seconds of each replicate that ended
        self._best: dict[str, float] = {}  # by arm
        self._test_scores: defaultdict[tuple[str, int | None], list[float]] = defaultdict(list)
        self._schedules: dict[str, Schedule] = {}  # of trials without an end that have a curve
        self._first: dict[str, dict[str, Any]] = {}  # configuration of each arm's first trial
        self._searched: dict[str, None] = {}  # params that differ between trials of one arm
        self._verdict: ToldVerdict | None = None

    @property
    def experiment_tags(self) -> dict[str, str]:
        """What the experiment is to say: the views of its runs, and a note. Ask with a job."""
        assert self.job is not None
        shown = Shown(
            metric=self._metric,
            arms=self._arms,
            searched=sorted(self._searched),
            confirmed=bool(self._test_scores),
            time=self.job.started,
        )
        told = self._verdict
        parts = (told and told.sentence, told and told.table, reading_note(shown))
        note = "\n\n".join(part for part in parts if part)
        return view_tags(shown) | clean_tags({NOTE_TAG: note})

    @property
    def name(self) -> str:
        """The job's name."""
        return str((self.job_state.spec or {}).get("name", ""))

    @property
    def done(self) -> bool:
        """Whether the journal says that the job is finished."""
        return self.job_state.phase == "done"

    def apply(self, group: list[dict[str, Any]]) -> None:
        """Apply the journal's next group of records."""
        for record in group:
            if "record" in record:
                self._apply(record)

    def set_driven(self, driven: bool) -> None:
        """Set whether a driver works on the job: if none does, open trials are interrupted."""
        if driven != self._driven:
            self._driven = driven
            self._update_all()

    def set_verdict(self, verdict: ToldVerdict) -> None:
        """Have the parent say the verdict in its tags, and at the beginning of its note."""
        if self.job is None:
            return
        self._verdict = verdict
        told = {"verdict": verdict.kind, "winner": verdict.winner}
        parts = (verdict.sentence, verdict.table, self._note)
        tags = clean_tags({**told, NOTE_TAG: "\n\n".join(part for part in parts if part)})
        if not tags.items() <= self.job.tags.items():
            self.job.tags |= tags
            for name, value in verdict.figures.items():
                self.job.add(name, value, self._done_time, _ONCE)
            self._mark_changed(self.job)

    @property
    def _note(self) -> str:
        return runs_note(self._metric)

    def _apply(self, record: dict[str, Any]) -> None:
        key = record.get("key", "")
        trial = self.job_state.trials.get(key) if isinstance(key, str) else None
        was_running = trial is not None and trial.state == "running"
        former_epoch = trial.epoch if trial is not None else 0
        was_scored = trial is not None and trial.scored
        had_baselines = bool(self.job_state.baselines)
        self.job_state.apply_checked(record)
        self._last_time = max(self._last_time, record.get("time") or 0)
        match record["record"]:
            case "job" | "extend" | "phase":
                if self.done:
                    self._done_time = record["time"]
                self._update_job()
            case "driver":
                self._update_all()
            case "baselines" if not had_baselines:
                self._add_baselines(record["time"])
            case "trial" if trial is None:
                self._create(self.job_state.trials[key], record["time"])
            case "report" if was_running:
                self._add_curve(self.job_state.trials[key], former_epoch)
            case "end" if was_running:
                self._end(self.job_state.trials[key], record["time"])
            case "test" if trial is not None and not was_scored:
                self._add_candidate(trial, record["time"])

    def _add_baselines(self, time: int) -> None:
        """Add what is reached without a model to the parent, in the job's metric."""
        assert self.job is not None, "baselines follow the records of job and driver"
        for baseline in self.job_state.baselines:
            for prefix, values in (("", baseline.validation), ("test_", baseline.test)):
                value = values.get(self._metric.name, math.nan)
                self.job.add(f"{prefix}baseline_{baseline.name}", value, time, _ONCE)
        self._mark_changed(self.job)

    def _create(self, trial: TrialState, time: int) -> None:
        run = trial_run(trial, time)
        if trial.phase == "search":
            self._note_searched(trial.arm, trial.config.model_dump(mode="json"))
        if trial.arm in self._arms:
            run.add(ARM_NUMBER, self._arms.index(trial.arm), time, _ONCE)
        self._open[trial.key] = run
        self._update_open(run)

    def _note_searched(self, arm: str, config: dict[str, Any]) -> None:
        """Take note of the params in which a trial differs from the first one of its arm."""
        first = self._first.setdefault(arm, config)
        for name, value in config.items():
            if value != first.get(name):
                self._searched[name] = None

    def _add_curve(self, trial: TrialState, former_epoch: int) -> None:
        run = self._open[trial.key]
        if trial.parameters is not None and not run.has_size:
            run.has_size = True
            run.add("parameters", trial.parameters, run.started, _ONCE)
            run.add("flops_per_step", 2 * trial.parameters, run.started, _ONCE)
            if trial.latency_ms is not None:
                run.add("latency_ms", trial.latency_ms, run.started, _ONCE)
        schedule = self._schedules.setdefault(trial.key, Schedule(trial.config, self._metric))
        paths = {"path": joined(trial.paths), "latency_path": trial.latency_path}
        run.tags |= clean_tags({name: path for name, path in paths.items() if path})
        for epoch in trial.curve:
            if epoch.epoch <= former_epoch:
                continue
            values: dict[str, float | None] = {**epoch.metrics, self._metric.name: epoch.value}
            values |= {"train_loss": epoch.train_loss, "seconds": epoch.seconds}
            values |= {"gradient_norm": epoch.gradient_norm, "learning_rate": schedule.rate}
            values["sequences_per_second"] = self._rate(trial, epoch.seconds)
            for name, value in values.items():
                run.add(name, value, epoch.time, epoch.epoch)
            schedule.observe(epoch)
        self._mark_changed(run)

    def _rate(self, trial: TrialState, seconds: float) -> float | None:
        """Return how many training sequences an epoch took in each second, where that is known."""
        confirm = (self.job_state.spec or {}).get("confirm")
        nested = isinstance(confirm, dict) and confirm.get("design") == "nested"
        baselines = self.job_state.baselines
        if not baselines or seconds <= 0 or (nested and trial.phase == "confirm"):
            return None
        sequences = baselines[0].train_sequences
        return None if sequences is None else sequences / seconds

    def _end(self, trial: TrialState, time: int) -> None:
        run = self._open.pop(trial.key)
        self._schedules.pop(trial.key, None)
        if trial.value is not None:
            run.add(f"best_{self._metric.name}", trial.value, time, _ONCE)
        if trial.epoch:
            run.add("train_seconds", trial.seconds, time, _ONCE)
        self._add_scores(run, trial, time)
        run.status, run.ended = _STATUS.get(trial.state, "FAILED"), time
        run.tags["state"] = trial.state
        if trial.reason:
            run.tags["reason"] = shorten(with_cause_first(trial.reason), _LONGEST_REASON)
        self._mark_changed(run)
        if trial.phase == "search":
            self._add_best(trial, time)
            return
        self._confirmed.append(trial.seconds)
        assert self.job is not None
        self.job.add("confirm_seconds", sum(self._confirmed), time, len(self._confirmed))
        if trial.candidate is not None:
            self._candidates[trial.key] = run
            self._mark_changed(self.job)
        else:
            self._add_test_scores(trial, time)

    def _add_scores(self, run: MlflowRun, trial: TrialState, time: int) -> None:
        """Add what a replicate scored on test and training data, if it was scored."""
        for prefix, metrics in (("test", trial.test), ("training", trial.training)):
            for name, value in (metrics or {}).items():
                run.add(f"{prefix}_{name}", value, time, _ONCE)
        if (gap := trial.result(self._metric).gap) is not None:
            run.add("gap", gap, time, _ONCE)

    def _add_candidate(self, trial: TrialState, time: int) -> None:
        """Add what the chosen candidate of an arm scored to its run and to the parent."""
        run = self._candidates[trial.key]
        self._add_scores(run, trial, time)
        self._mark_changed(run)
        self._add_test_scores(trial, time)

    def _add_best(self, trial: TrialState, time: int) -> None:
        """Add to the parent what the search has spent, and the best value of the trial's arm."""
        assert self.job is not None
        arm = trial.arm
        self._trials_ended[arm] += 1
        self._spent[arm] += trial.seconds
        self._states[trial.state] += 1
        ended = sum(self._trials_ended.values())
        self.job.add("trials_ended", ended, time, ended)
        self.job.add(f"trials_{trial.state}", self._states[trial.state], time, ended)
        self.job.add("training_seconds", sum(self._spent.values()), time, ended)
        self.job.add(f"training_seconds/{arm}", self._spent[arm], time, self._trials_ended[arm])
        if trial.state == "complete" and trial.value is not None:
            self._best[arm] = self._metric.best([trial.value, self._best.get(arm, trial.value)])
        if arm in self._best:
            name = f"best_{self._metric.name}/{arm}"
            self.job.add(name, self._best[arm], time, self._trials_ended[arm])
        self._mark_changed(self.job)

    def _add_test_scores(self, trial: TrialState, time: int) -> None:
        """Add mean, deviation and range of the replicates of the trial's finalist to the parent."""
        assert self.job is not None
        score = (trial.test or {}).get(self._metric.name, math.nan)
        if math.isfinite(score):
            scores = self._test_scores[trial.arm, trial.finalist]
            scores.append(score)
            several = self._finalists > 1 and trial.candidate is None
            of = f"{trial.arm}-{trial.finalist}" if several else trial.arm
            name = f"test_{self._metric.name}"
            spread = Spread.of(scores)
            assert spread is not None
            self.job.add(f"{name}_mean/{of}", spread.mean, time, spread.n)
            self.job.add(f"{name}_low/{of}", spread.low, time, spread.n)
            self.job.add(f"{name}_high/{of}", spread.high, time, spread.n)
            if spread.deviation is not None:
                self.job.add(f"{name}_std/{of}", spread.deviation, time, spread.n)
        self._mark_changed(self.job)

    @property
    def _metric(self) -> Metric:
        assert self.job_state.info is not None, "trials follow the job's record"
        return self.job_state.info.metric

    @property
    def _arms(self) -> list[str]:
        """The arms' names, in the order of the job file."""
        arms = (self.job_state.spec or {}).get("arms")
        named = arms if isinstance(arms, list) else []
        return [str(arm.get("name") if isinstance(arm, dict) else arm) for arm in named]

    @property
    def _finalists(self) -> int:
        confirm = (self.job_state.spec or {}).get("confirm")
        finalists = confirm.get("finalists") if isinstance(confirm, dict) else None
        return finalists if isinstance(finalists, int) else 1

    def _update_all(self) -> None:
        for run in self._open.values():
            self._update_open(run)
        self._update_job()

    def _update_open(self, run: MlflowRun) -> None:
        """Show a trial without an end as running, or as interrupted where no driver is at work."""
        run.tags["generation"] = str(self.job_state.generation)
        run.tags["state"] = "running" if self._driven else "interrupted"
        run.status = "RUNNING" if self._driven else "KILLED"
        run.ended = None if self._driven else self._last_time
        self._mark_changed(run)

    def _update_job(self) -> None:
        """Bring the parent's tags and status up to date."""
        state = self.job_state
        if state.spec is None or state.info is None or not state.job_id:
            return
        if self.job is None:
            tags = {"task": state.info.name, "kind": state.info.kind, "metric": self._metric.name}
            tags |= {"direction": self._metric.direction, NOTE_TAG: self._note}
            params = clean_params(flatten(state.spec))
            self.job = MlflowRun(JOB_KEY, self.name, self._last_time, clean_tags(tags), params)
            self.data_set = describe_data(asdict(state.info), state.spec.get("task"))
        run = self.job
        run.tags["phase"] = state.phase
        run.tags["generation"] = str(state.generation)
        run.tags["state"] = (
            "complete" if self.done else "running" if self._driven else "interrupted"
        )
        if state.added_trials:
            run.tags["added_trials"] = str(state.added_trials)
        if state.added_replicates:
            run.tags["added_replicates"] = str(state.added_replicates)
        run.status = "FINISHED" if self.done else "RUNNING" if self._driven else "KILLED"
        run.ended = None if run.running else self._last_time
        self._mark_changed(run)

    def _mark_changed(self, run: MlflowRun) -> None:
        self.changed.setdefault(run.key, run)
