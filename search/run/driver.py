"""The decisions of a running job: what runs next, what stops, what is recorded. Knows no Ray.

Every decision is in the journal before it is handed out. One thread calls this. New trials are on
disk before they are handed out. What is reported is written at once, and flushed with the next new
trial or FLUSH_SECONDS later: a killed driver loses nothing, and a machine that loses its power
trains the last second again.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from search.job.spec import JobSpec
from search.journal.base import BaseJournal
from search.journal.replay import JobState, NewTrial, TrialState
from search.journal.trial import State
from search.run import extension, trial_records
from search.run.budgets import SearchBudgets
from search.run.company import MOST_AT_ONCE, Waiting
from search.run.confirmation import Confirmation, Place
from search.run.new_trials import PendingTrial, ask, assignment, suggested
from search.run.recorder import Recorder
from search.run.retention import Retention
from search.run.scoring import Scoring
from search.run.search_order import SearchOrder, Thaw
from search.run.storage_limit import StorageLimit
from search.study.arm_study import open_studies
from search.study.decisions import Decision
from search.study.prior_trials import LoadPrior, Prior
from spaces.tasks import TaskInfo
from trainables.checkpoints.base import StoreError
from trainables.data.baselines import Baseline
from trainables.training.curve import Epoch
from trainables.worker.messages import TrialAssignment, TrialReport

FLUSH_SECONDS = 1.0  #: between two flushes of the journal, at most, while reports come in


class Driver(Recorder):
    """A job in progress, opened from its journal or begun in it."""

    def __init__(
        self,
        job: JobSpec,
        info: TaskInfo,
        journal: BaseJournal,
        load_prior: LoadPrior = Prior,
        baselines: Callable[[JobSpec], list[Baseline]] = lambda job: [],
        file: str | None = None,
    ) -> None:
        """Take the job over. Raises InputError when the journal holds another job.

        load_prior: returns what former jobs hand over, if the journal lacks it.
        baselines: returns what is reached without a model in the job, if the journal lacks it.
        file: the job.yaml, for readers elsewhere.
        """
        history = journal.take_history()
        super().__init__(journal, JobState(keep_curves=False))
        self.job_state.apply_all(history)
        base = str(job.base)
        told = False  # whether the journal has the job as it is
        if self.job_state.spec is not None:
            job = self.job_state.as_begun(job, info, journal.place)
            limit = JobSpec.recorded(self.job_state.spec, job.base).storage.limit_gb
            told = (self.job_state.base, limit) == (base, job.storage.limit_gb)
        self.job = job
        if not told:
            self._record(trial_records.job_record(job, base, info, self.job_state, file))
        self.generation = self.job_state.generation + 1
        self._record(trial_records.driver_record(self.generation), timed=True)
        if not self.job_state.baselines and (found := baselines(job)):
            self._record({"record": "baselines", "baselines": list(map(asdict, found))}, timed=True)
        self._studies = open_studies(
            job, self.job_state, journal, history, lambda: self._inherit(load_prior())
        )
        self._commit()
        self.budgets = SearchBudgets(job, self.job_state)
        self._order = SearchOrder(job, self.job_state, self.budgets, self._studies)
        self.confirmation = ranked = Confirmation(job, self.job_state)
        self.scoring = Scoring(self.confirmation, job.search.retries)
        self.retention = Retention(job, self.job_state, ranked, job.storage.keep_best)
        self._limit = StorageLimit(job, self.job_state, self.retention)
        if not self.finished:
            self._release(self._limit.make_room())  # of which no record tells
        self._waiting = Waiting(job, self.job_state, self.budgets, self.confirmation)
        self._assigned: set[str] = set()  # keys of the trials that workers have in hand
        self._pending: PendingTrial | None = None

    def _inherit(self, prior: Prior) -> Prior:
        """Record what each arm has from former jobs."""
        for record in trial_records.inherited_records(self.job, prior):
            self._record(record, timed=True)
        return prior

    # What runs next

    @property
    def finished(self) -> bool:
        """Whether everything that the job asks for has ended."""
        return self.job_state.phase in ("report", "done")

    @property
    def suggestion_pending(self) -> bool:
        """Whether the next assignment is a trial whose configuration is being suggested."""
        return self._pending is not None

    def could_begin(self) -> int:
        """Return about how many more trials could be in hand now, were there more workers."""
        if self._limit.exceeded:
            return len(self._waiting)  # nothing new begins, and nothing paused goes on
        phases = {"search": self.budgets.could_begin, "confirm": self.confirmation.could_begin}
        return len(self._waiting) + phases.get(self.job_state.phase, int)()

    def next(self, *, wait: bool = True, workers: int | None = None) -> TrialAssignment | None:
        """Return the next assignment, or None when there is none (yet): see `finished`.

        wait: False to return None while a suggestion takes time, see `suggestion_pending`. It is
        made from what was known when it was asked for: later reports count for the next one.
        workers: how many there are, where one may get a trial's company as well.
        """
        if workers is not None and self.job_state.phase == "search":
            self._ask_ahead(wait, workers)
        while (trial := self._waiting.take(together=workers is not None)) is not None:
            if (reason := self._end_reason(trial)) is None:
                return self._assign(trial)
            self._end(trial, "pruned", reason=reason)
            self._commit()
        if self.job_state.phase == "search":
            if (chosen := self._next_of_search(wait)) is not None:
                return self._assign(chosen)
            if self._assigned or self._pending is not None:
                return None  # the finalists are not known yet
            self._end_paused()
            self._enter("confirm")
        if self.job_state.phase == "confirm":
            if (candidate := self.scoring.next()) is not None:
                return self._assign(candidate)
            if (replicate := self.confirmation.next()) is not None:
                return None if self._is_full() else self._assign(self._create(replicate))
            if self._assigned:
                return None
            self._enter("report")
        return None

    def _next_of_search(self, wait: bool) -> TrialState | None:
        """Return the trial of the search that goes on or begins, if one does now."""
        if self._pending is None:
            chosen = self._order.next()
            if chosen is not None and self._is_full():
                return None
            match chosen:
                case None:
                    return None
                case Thaw(trial, finish):
                    self._record({"record": "thaw", "key": trial.key, "finish": finish}, timed=True)
                    self._order.thawed(trial)
                    self._commit()
                    return trial
                case arm:
                    number = self.budgets.states(arm.name).total()
                    self._pending = ask(self.job, arm, number, self._studies[arm.name])
        pending = self._pending
        if not (wait or pending.suggestion.done()):
            return None
        self._pending = None
        return self._create(suggested(self.job, self.job_state, pending, self._studies))

    def _end_paused(self) -> None:
        """End the trials that the search has no budget to go on with."""
        for trial in self._order.all_paused():
            self._end(trial, "pruned", reason="it was paused when the search ended")

    def _ask_ahead(self, wait: bool, workers: int) -> None:
        """Have trials of the search begin ahead of their turn; see company.py."""
        in_hand = [self.job_state.trials[key] for key in self._assigned]
        for _ in range(MOST_AT_ONCE):
            more = self._waiting.wants_more(in_hand, workers)
            if not more or (chosen := self._next_of_search(wait)) is None:
                return
            self._waiting.add(chosen)

    def company(self, keys: Sequence[str], workers: int) -> list[TrialAssignment]:
        """Return more trials to train together with those that a worker has: each as if alone."""
        trials = [self.job_state.trials[key] for key in keys]
        if trials[0].phase == "search":
            return [self._assign(trial) for trial in self._waiting.join(trials, workers)]
        if len(trials) > 1 or self._limit.exceeded:
            return []
        found = self._waiting.replicates(trials[0], workers)
        new = self.confirmation.new
        begun = [self._create(new(one)) if isinstance(one, Place) else one for one in found]
        return [self._assign(trial) for trial in begun]

    def _is_full(self) -> bool:
        """Return whether nothing new may begin for want of room; raise it once nothing trains."""
        self._release(self._limit.make_room())
        if self._limit.exceeded and not (self._assigned or self._waiting):
            self._record(self._limit.record(), timed=True)
            self._commit()
            raise self._limit.error()
        return self._limit.exceeded

    def _release(self, names: list[str]) -> None:
        self._limit.released(names)
        self._released += names

    def _create(self, new: NewTrial) -> TrialState:
        """Put a new trial on disk."""
        self._record(new.as_record(), timed=True)
        self._commit()
        trial = self.job_state.trials[new.key]
        if new.phase == "search":
            self.budgets.created(trial)
            self._order.began(trial)
        else:
            self.confirmation.created(trial)
        return trial

    def _assign(self, trial: TrialState) -> TrialAssignment:
        self._assigned.add(trial.key)
        rungs: list[int] | None = []
        if trial.phase == "search" and not trial.finishing:
            rungs = self._studies[trial.arm].report_epochs(trial.number)
        limited = self.budgets.latency_limit is not None and trial.phase == "search"
        measure = limited and trial.latency_ms is None  # a finalist has met the limit
        return assignment(trial, self.generation, rungs, self.confirmation, measure_latency=measure)

    # What was reported

    def report(self, report: TrialReport) -> bool:
        """Take a report in; return whether the trial goes on. The same report twice adds nothing.

        Raises StoreError when a worker cannot store its checkpoint or use its GPU: no other trial
        could either.
        """
        trial = self.job_state.trials.get(report.key)
        scored = self.scoring.has(trial)
        awaited = scored or (trial is not None and trial.active)
        if trial is None or not awaited or report.generation != self.generation:
            return False
        if report.halt is not None:
            raise StoreError(f"{report.halt} Nothing is lost: see to it, then resume the job.")
        if scored:
            return self._record_score(trial, self.scoring.reported(trial, report))
        if report.failure is not None:
            self._retry_or_fail(trial, report.failure)
            return False
        known, seconds, former = trial.epoch, trial.seconds, set(trial.checkpoints)
        points = [point for point in report.epochs if point.epoch > known]
        decision, until = self._store_points(trial, points)
        points = [point for point in points if point.epoch <= until]
        measured = report.latency_ms is not None and trial.latency_ms is None
        record = trial_records.report_record(trial, report, points, measured=measured)
        self._record(record, timed=True)
        self._limit.stored(report.stored)
        self._limit.released(former.difference(trial.checkpoints))
        if measured:
            excess = self.budgets.latency_excess(trial)
            self._studies[trial.arm].record_latency(trial.number, excess)
        if trial.phase == "search":
            self.budgets.trained(trial, trial.epoch - known, trial.seconds - seconds)
        self._decide(trial, report, decision)
        self._commit(flush=time.monotonic() - self._flushed >= FLUSH_SECONDS)
        return trial.active

    def worker_lost(
        self, key: str, reason: str, *, node_lost: bool = False, company: bool = False
    ) -> None:
        """Take in that a trial's worker is gone: the trial goes on elsewhere from its checkpoint.

        Every loss counts against search.retries, but two. If the whole node is gone (pre-empted,
        say) and the trial has advanced since its last loss, it is not to blame: one that takes node
        after node down with it does not advance. If the worker had other trials as well (company)
        any of them may be to blame: the next one has fewer, down to one alone.
        """
        trial = self.job_state.trials[key]
        if self.scoring.has(trial):
            self._record_score(trial, self.scoring.lost(trial, reason, counted=not company))
        elif trial.active and key in self._assigned:
            forgiven = company or (node_lost and trial.epoch > (trial.lost_at or 0))
            self._retry_or_fail(trial, reason, counted=not forgiven)

    def _record_score(self, trial: TrialState, record: dict[str, Any] | None) -> bool:
        """Record what a candidate scored, if anything; return whether its worker goes on."""
        if record is not None:
            self._record(record, timed=True)
            self._limit.stored(record.get("stored", {}))
            self._release(self.retention.released_beside(trial))
        if not self.scoring.has(trial):
            self._assigned.discard(trial.key)
        self._commit()
        return self.scoring.has(trial)

    def _store_points(self, trial: TrialState, points: list[Epoch]) -> tuple[Decision, float]:
        """Store values in the arm's study; return what becomes of the trial, and its last epoch.

        What a worker has trained after a rung at which the trial is paused is kept.
        """
        decision = Decision.CONTINUE
        if trial.phase == "search":
            study = self._studies[trial.arm]
            for point in points:
                match study.report_value(trial.number, point.epoch, point.value, point.seconds):
                    case Decision.STOP:
                        return Decision.STOP, point.epoch
                    case Decision.PAUSE if not trial.finishing:
                        decision = Decision.PAUSE
        return decision, math.inf

    def _decide(self, trial: TrialState, report: TrialReport, decision: Decision) -> None:
        if report.diverged:
            reason = f"loss or gradient was not finite in epoch {trial.epoch + 1}"
            self._end(trial, "diverged", reason=reason)
        elif trial.epoch >= trial.config.max_epochs or trial_records.why_early(trial):
            self._end(trial, "complete", reason=trial_records.why_early(trial), report=report)
        elif decision is Decision.STOP:
            self._end(trial, "pruned")
        elif (end_reason := self._end_reason(trial)) is not None:
            self._end(trial, "pruned", reason=end_reason)
        elif decision is Decision.PAUSE:
            self._record({"record": "pause", "key": trial.key}, timed=True)
            self._assigned.discard(trial.key)
            self._order.paused(trial)
            self._release(self.retention.released_by(trial))

    def _end_reason(self, trial: TrialState) -> str | None:
        """Return why a trial may not go on, however good it is; None if it may."""
        return self.budgets.end_reason(trial) if trial.phase == "search" else None

    def _retry_or_fail(self, trial: TrialState, reason: str, *, counted: bool = True) -> None:
        self._assigned.discard(trial.key)
        if not counted or trial.retries < self.job.search.retries:
            record = {"record": "retry", "key": trial.key, "reason": reason, "counted": counted}
            self._record(record, timed=True)
            self._waiting.add(trial)
        else:
            self._end(trial, "failed", reason=reason)
        self._commit()

    def _end(
        self,
        trial: TrialState,
        state: State,
        *,
        reason: str | None = None,
        report: TrialReport | None = None,
    ) -> None:
        self._record(trial_records.end_record(trial, state, reason, report), timed=True)
        self._assigned.discard(trial.key)
        if trial.phase == "confirm":
            self.confirmation.ended(trial)
            self.scoring.look(trial)
        else:
            self._end_search(trial)
        self._release(self.retention.released_by(trial))

    def _end_search(self, trial: TrialState) -> None:
        figures = {"parameters": trial.parameters, "seconds": trial.seconds}
        self._studies[trial.arm].end_trial(trial.number, trial.state, trial.value, figures)
        self._order.ended(trial)
        self.budgets.ended(trial)
        self.confirmation.searched(trial)

    # The job as a whole

    def extend(self, trials: int = 0, seeds: int = 0, replicates: int = 0) -> None:
        """Add budget to the job: trials an arm, and replicates. Seeds are replicates by seed.

        Raises InputError, with all problems, where the job could not use it.
        """
        more = trials, seeds, replicates
        record = extension.record(self.job, self.budgets, self.confirmation, *more)
        self._record(record, timed=True)
        self._commit()
