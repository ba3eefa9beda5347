"""The decisions of a running job: what runs next, what stops, what is told. Knows nothing of Ray.

Every decision is in the journal before it is handed out. Called by one thread.

New trials are on disk before they are handed out. What is reported is written at once, and flushed
with the next new trial or FLUSH_SECONDS later: nothing is lost if the driver is killed, and if the
machine loses its power, the last second is trained again.
"""

import os
import socket
import threading
import time
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

from search.job.spec import JobSpec
from search.journal.base import BaseJournal
from search.journal.replay import JobState, TrialState, trial_key
from search.journal.trial import Phase, State
from search.study.arm_study import Proposal, open_studies
from search.study.prior_trials import PriorTrials
from search.study.pruners import rungs
from search.study.samplers import QUICK
from search.study.seeds import derive_seed
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.tasks import TaskInfo
from trainables.checkpoints.base import StoreError
from trainables.training.batching import MAX_MEMBERS, batching_pays
from trainables.training.curve import Epoch
from trainables.worker.messages import TrialAssignment, TrialReport

FLUSH_SECONDS = 1.0  #: between two flushes of the journal, at most, while reports come in
#: Trials of an arm that come to nothing, one after the other, after which it gets no more: over the
#: limit of latency, or failed or diverged before an epoch was trained where budgets are epochs or
#: seconds. They cost none of these, so that an arm of nothing else would never end.
MOST_IN_VAIN = 100


@dataclass(frozen=True)
class _Asked:
    """A new trial whose configuration is asked for."""

    arm: str
    number: int
    control: bool
    proposal: Future[Proposal]


class Driver:
    """A job in progress, opened from its journal or begun in it."""

    def __init__(
        self,
        job: JobSpec,
        info: TaskInfo,
        journal: BaseJournal,
        former: PriorTrials = dict,
    ) -> None:
        """Take the job over. Raises InputError when the journal holds another job.

        former: returns the trials of a former job to learn from, if the journal lacks them.
        """
        self.job = job
        self._journal = journal
        history = journal.take_history()
        self.job_state = JobState(keep_curves=False)
        self.job_state.apply_all(history)
        base = str(job.base)
        if self.job_state.spec is not None:
            self._check_same(job, info)
        if self.job_state.spec is None or self.job_state.base != base:
            self._tell({"record": "job", "spec": job.dump(), "base": base, "task": asdict(info)})
        self.generation = self.job_state.generation + 1
        host = socket.gethostname()
        self._tell(
            {"record": "driver", "generation": self.generation, "pid": os.getpid(), "host": host},
            timed=True,
        )
        self._studies = open_studies(job, self.job_state, journal, history, former)
        journal.commit()
        self._flushed = time.monotonic()
        self._rungs = rungs(job)
        entries = self.job_state.trials.values()
        self._waiting = [entry for entry in entries if entry.state == "running"]  # to go on
        self._live: set[str] = set()
        self._asked: _Asked | None = None
        self._count: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        # Epochs or worker seconds of an arm's search: of all its trials, and of those that ended.
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._spent_by_ended: defaultdict[str, float] = defaultdict(float)
        self._best: defaultdict[str, list[tuple[tuple[float, int, int], TrialState]]] = defaultdict(
            list
        )
        self._in_vain: Counter[str] = Counter()  # an arm's latest trials, since one was not
        self._replicated: set[tuple[str, int | None, int | None]] = set()
        for entry in entries:
            self._count[entry.phase, entry.arm][entry.state] += 1
            self._spend(entry, entry.epoch, entry.seconds)
            if entry.phase == "confirm":
                self._replicated.add((entry.arm, entry.finalist, entry.replicate))
            if entry.state != "running":
                self._rank(entry)

    # What runs next

    @property
    def finished(self) -> bool:
        """Whether everything that the job asks for has ended."""
        return self.job_state.phase in ("report", "done")

    @property
    def thinking(self) -> bool:
        """Whether the next piece of work is a trial for which a suggestion is being made."""
        return self._asked is not None

    def next(self, *, wait: bool = True) -> TrialAssignment | None:
        """Return the next piece of work, or None when there is none (yet): see `finished`.

        wait: False to return None while a suggestion takes time, see `thinking`. It is made from
        what was known when it was asked for: what is reported meanwhile counts for the next one.
        """
        while self._waiting:
            waiting = self._waiting.pop(0)
            if (reason := self._cut_short(waiting)) is None:
                return self._start(waiting)
            self._end(waiting, "pruned", reason=reason)
            self._journal.commit()
        if self.job_state.phase == "search":
            if self._asked is None and (arm := self._poorest_arm()) is not None:
                self._asked = self._ask(arm)
            if self._asked is not None:
                if not (wait or self._asked.proposal.done()):
                    return None
                return self._start(self._new_trial())
            if self._live:
                return None  # the finalists are not known yet
            self._enter("confirm")
        if self.job_state.phase == "confirm":
            entry = self._new_replicate()
            if entry is not None:
                return self._start(entry)
            if self._live:
                return None
            self._enter("report")
        return None

    def beside(self, work: TrialAssignment, slots: int) -> list[TrialAssignment]:
        """Return more replicates of the same finalist, to be trained at once with the given one.

        A finalist's replicates fall into a block for every slot, the same ones after a resume. None
        are returned where training together takes no less time, and none that were lost before
        with their worker, for which they may have been too much. Each is, to the bit, what it would
        be alone.
        """
        first, need = self.job_state.trials[work.key], self.job.resources
        assert self.job_state.info is not None
        config = first.config
        if first.replicate is None or first.lost_at is not None or need.gpus_per_trial:
            return []
        if not batching_pays(config, self.job_state.info.longest):
            return []
        seeds = self.job.confirm.seeds + self.job_state.added_seeds
        size = min(-(-seeds // slots), MAX_MEMBERS)
        start = first.replicate - first.replicate % size
        waiting = {
            (entry.arm, entry.finalist, entry.replicate): entry
            for entry in self._waiting
            if entry.lost_at is None
        }
        found = []
        for replicate in range(start, min(start + size, seeds)):
            key = first.arm, first.finalist, replicate
            if key in waiting:
                found.append(waiting[key])
            elif key not in self._replicated:
                found.append(self._replicate(first.arm, first.finalist, config, replicate))
        taken = {entry.key for entry in found}
        self._waiting = [entry for entry in self._waiting if entry.key not in taken]
        return [self._start(entry) for entry in found]

    def _poorest_arm(self) -> Arm | None:
        """Return the arm that has spent least of its budget, or None when no arm gets more trials.

        What its running trials have been handed counts as spent: each will cost about as much as
        those that have ended. Else all free slots would go to one arm until it first reports.
        """
        if self._out_of_time():
            return None
        open_arms = [
            arm
            for arm in self.job.arms
            if self.spent(arm.name) < self.budget and self._in_vain[arm.name] < MOST_IN_VAIN
        ]
        return min(open_arms, key=lambda arm: self._bound(arm.name), default=None)

    def _bound(self, arm: str) -> tuple[float, int]:
        """Return what an arm will have spent when its running trials end, and their number."""
        spent, count = self.spent(arm), self._count["search", arm]
        running, ended = count["running"], count.total() - count["running"]
        if self.unit == "trials" or not ended:
            return spent, running
        by_ended = self._spent_by_ended[arm]
        return max(spent, by_ended * (1 + running / ended)), running

    @property
    def budget(self) -> float:
        """Each arm's budget, in the unit that the job names: trials, epochs or worker seconds."""
        search = self.job.search
        if search.epochs is not None:
            return search.epochs
        if search.worker_seconds is not None:
            return search.worker_seconds
        assert search.trials is not None
        return search.trials + self.job_state.added_trials

    @property
    def unit(self) -> str:
        """The unit of budgets: trials, epochs or s (worker seconds)."""
        if self.job.search.epochs is not None:
            return "epochs"
        return "s" if self.job.search.worker_seconds is not None else "trials"

    @property
    def replicates(self) -> int:
        """How many replicates each arm's confirmation takes."""
        return self.job.confirm.finalists * (self.job.confirm.seeds + self.job_state.added_seeds)

    def spent(self, arm: str) -> float:
        """Return what an arm has spent of its budget, in the same unit."""
        if self.unit == "trials":
            return self._count["search", arm].total()
        return self._spent[arm]

    def _spend(self, entry: TrialState, epochs: int, seconds: float) -> None:
        if entry.phase == "search":
            self._spent[entry.arm] += epochs if self.unit == "epochs" else seconds

    def _out_of_time(self) -> bool:
        limit = self.job.search.wall_clock
        return limit is not None and self.job_state.search_seconds >= limit

    def _ask(self, arm: Arm) -> _Asked:
        """Ask for an arm's next configuration: of a slow sampler, on a thread of its own."""
        number = self._count["search", arm.name].total()
        share = self.job.search.control_fraction
        control = int((number + 1) * share + 1e-9) > int(number * share + 1e-9)
        make = self._studies[arm.name].suggestion(number, control=control)
        proposal: Future[Proposal] = Future()
        if control or self.job.search.sampler in QUICK:
            _fulfil(proposal, make)
        else:  # a daemon: whoever interrupts the job does not wait for the sampler
            threading.Thread(target=_fulfil, args=(proposal, make), daemon=True).start()
        return _Asked(arm.name, number, control, proposal)

    def _new_trial(self) -> TrialState:
        """Begin the trial that was asked for, once it is suggested."""
        asked, self._asked = self._asked, None
        assert asked is not None
        arm, number = asked.arm, asked.number
        config = self._studies[arm].open(number, asked.proposal.result())
        seed = self.job.training.seed
        if seed is None:
            seed = derive_seed(self.job.search.seed, arm, number, "training")
        return self._born("search", arm, number, config, seed, control=asked.control)

    def _new_replicate(self) -> TrialState | None:
        """Return the next replicate: all finalists with one seed, then with the next."""
        seeds = self.job.confirm.seeds + self.job_state.added_seeds
        finalists = {
            arm.name: self.finalists(arm.name, self.job.confirm.finalists) for arm in self.job.arms
        }
        for replicate in range(seeds):
            for arm, chosen in finalists.items():
                for finalist in chosen:
                    if (arm, finalist.number, replicate) in self._replicated:
                        continue
                    config = finalist.config
                    return self._replicate(arm, finalist.number, config, replicate)
        return None

    def _replicate(
        self, arm: str, finalist: int | None, config: TrialConfig, replicate: int
    ) -> TrialState:
        """Begin a replicate. Its number follows from what it is, not from when it is begun."""
        chosen = [entry.number for entry in self.finalists(arm, self.job.confirm.finalists)]
        number = replicate * len(chosen) + chosen.index(finalist) if finalist in chosen else 0
        while trial_key("confirm", arm, number) in self.job_state.trials:
            number += 1  # of a finalist from before the job was extended
        self._replicated.add((arm, finalist, replicate))
        return self._born(
            "confirm",
            arm,
            number,
            config,
            # The same for every arm: what is random but not the arm is paired.
            derive_seed(self.job.search.seed, "confirm", replicate),
            finalist=finalist,
            replicate=replicate,
        )

    def finalists(self, arm: str, number: int) -> list[TrialState]:
        """Return an arm's best complete trials; ties go to fewer parameters, then the earlier."""
        return [entry for _, entry in self._best[arm][:number]]

    def _rank(self, entry: TrialState) -> None:
        """Take an ended trial in: what it spent, and its rank among the arm's complete ones."""
        if entry.phase != "search":
            return
        cost = entry.epoch if self.unit == "epochs" else entry.seconds
        self._spent_by_ended[entry.arm] += cost
        free = self.unit != "trials" and entry.epoch == 0
        in_vain = self._excess(entry) > 0 or free
        self._in_vain[entry.arm] = self._in_vain[entry.arm] + 1 if in_vain else 0
        if entry.state == "complete" and entry.value is not None:
            value = -entry.value if self._maximize else entry.value
            rank = (value, entry.parameters or 0, entry.number)
            insort(self._best[entry.arm], (rank, entry), key=lambda ranked: ranked[0])

    def _born(
        self,
        phase: Phase,
        arm: str,
        number: int,
        config: TrialConfig,
        seed: int,
        *,
        control: bool = False,
        finalist: int | None = None,
        replicate: int | None = None,
    ) -> TrialState:
        key = trial_key(phase, arm, number)
        self._tell(
            {
                "record": "trial",
                "key": key,
                "phase": phase,
                "arm": arm,
                "number": number,
                "control": control,
                "config": config.model_dump(mode="json"),
                "seed": seed,
                "finalist": finalist,
                "replicate": replicate,
            },
            timed=True,
        )
        self._journal.commit()
        self._count[phase, arm]["running"] += 1
        return self.job_state.trials[key]

    def _start(self, entry: TrialState) -> TrialAssignment:
        self._live.add(entry.key)
        unpruned = entry.phase == "confirm" or entry.control
        return TrialAssignment(
            key=entry.key,
            generation=self.generation,
            config=entry.config,
            seed=entry.seed,
            rungs=[] if unpruned else self._rungs,
            checkpoints=list(entry.checkpoints),
            test=entry.phase == "confirm",
            measure_latency=self._latency_limit is not None
            and entry.phase == "search"  # a finalist has met the limit
            and entry.latency_ms is None,
        )

    # What was reported

    def report(self, report: TrialReport) -> bool:
        """Take a report in; return whether the trial goes on. Told twice, it changes nothing.

        Raises StoreError when a worker cannot keep its checkpoint: no other trial could either.
        """
        entry = self.job_state.trials.get(report.key)
        if entry is None or entry.state != "running" or report.generation != self.generation:
            return False
        if report.halt is not None:
            raise StoreError(f"{report.halt} Nothing is lost: see to it, then resume the job.")
        if report.failure is not None:
            self._retry_or_fail(entry, report.failure)
            return False
        known, seconds = entry.epoch, entry.seconds
        points = [point for point in report.epochs if point.epoch > known]
        pruned_at = self._store_points(entry, points)
        if pruned_at is not None:
            points = [point for point in points if point.epoch <= pruned_at]
        record = {
            "record": "report",
            "key": entry.key,
            "generation": report.generation,
            "epochs": [point.as_dict() for point in points],
            "checkpoint": report.checkpoint,
            "parameters": report.parameters,
        }
        measured = report.latency_ms is not None and entry.latency_ms is None
        if measured:
            record["latency_ms"] = report.latency_ms
        self._tell(record, timed=True)
        if measured:
            self._studies[entry.arm].measured(entry.number, self._excess(entry))
        self._spend(entry, entry.epoch - known, entry.seconds - seconds)
        self._decide(entry, report, pruned=pruned_at is not None)
        now = time.monotonic()
        flush = now - self._flushed >= FLUSH_SECONDS
        self._journal.commit(flush=flush)
        if flush:
            self._flushed = now
        return entry.state == "running"

    def lost(self, key: str, reason: str, *, node_lost: bool = False) -> None:
        """Take in that a trial's worker is gone: the trial goes on elsewhere from its checkpoint.

        Every loss counts against search.retries, but one: if the whole node is gone (pre-empted,
        crashed, taken away) and the trial has got further since its last loss, it is not to blame.
        A trial that takes node after node down with it gets no further and so fails in the end.
        """
        entry = self.job_state.trials[key]
        if entry.state == "running" and key in self._live:
            forgiven = node_lost and entry.epoch > (entry.lost_at or 0)
            self._retry_or_fail(entry, reason, counted=not forgiven)

    def _store_points(self, entry: TrialState, points: list[Epoch]) -> int | None:
        """Store intermediate values in the arm's study; return the epoch of a pruning, if any."""
        if entry.phase != "search":
            return None
        study = self._studies[entry.arm]
        last = self._last_epoch(entry)
        for point in points:
            stop = study.report(entry.number, point.epoch, point.value)
            if stop and not entry.control and point.epoch < last:
                return point.epoch
        return None

    def _decide(self, entry: TrialState, report: TrialReport, *, pruned: bool) -> None:
        if report.diverged:
            at = f"loss or gradient was not finite in epoch {entry.epoch + 1}"
            self._end(entry, "diverged", reason=at)
        elif entry.epoch >= self._last_epoch(entry):
            self._end(entry, "complete", test=report.test)
        elif pruned:
            self._end(entry, "pruned")
        elif (reason := self._cut_short(entry)) is not None:
            self._end(entry, "pruned", reason=reason)

    def _cut_short(self, entry: TrialState) -> str | None:
        """Return why a trial may not go on whatever it has reached, if so."""
        if entry.phase != "search":
            return None
        if self._excess(entry) > 0:
            return (
                f"not trained: one sequence takes {entry.latency_ms:.3g} ms, over the limit of "
                f"{self._latency_limit:g} ms"
            )
        if self._out_of_time():
            return "the job's wall-clock limit was reached"
        if self.unit != "trials" and self.spent(entry.arm) >= self.budget:
            return "the arm's budget was spent"
        return None

    def _excess(self, entry: TrialState) -> float:
        """Return by how many milliseconds a trial is over the limit of latency; 0 if unknown."""
        if self._latency_limit is None or entry.latency_ms is None:
            return 0.0
        return entry.latency_ms - self._latency_limit

    def _retry_or_fail(self, entry: TrialState, reason: str, *, counted: bool = True) -> None:
        self._live.discard(entry.key)
        if not counted or entry.retries < self.job.search.retries:
            record = {"record": "retry", "key": entry.key, "reason": reason, "counted": counted}
            self._tell(record, timed=True)
            self._waiting.append(entry)
        else:
            self._end(entry, "failed", reason=reason)
        self._journal.commit()

    def _end(
        self,
        entry: TrialState,
        state: State,
        *,
        reason: str | None = None,
        test: dict[str, float] | None = None,
    ) -> None:
        record = {"record": "end", "key": entry.key, "state": state, "reason": reason, "test": test}
        self._tell(record, timed=True)
        if entry.phase == "search":
            figures = {"parameters": entry.parameters, "seconds": entry.seconds}
            self._studies[entry.arm].tell(entry.number, state, entry.value, figures)
        self._live.discard(entry.key)
        count = self._count[entry.phase, entry.arm]
        count["running"] -= 1
        count[state] += 1
        self._rank(entry)

    # Bookkeeping

    def extend(self, trials: int, seeds: int) -> None:
        """Add budget to the job: trials an arm, seeds a finalist.

        Raises InputError where the job could not use it.
        """
        faults: list[tuple[str, str, str]] = []
        warm = "run a job of another name with `search: {warm_start: NAME}`"
        if trials and self.unit != "trials":
            rule = f"the job's budget is in {self.unit}, not in trials"
            faults.append(("--trials", rule, warm))
        elif trials and self._out_of_time():
            rule = "the job's wall-clock limit is reached: no more trials would be started"
            faults.append(("--trials", rule, f"{warm} and a greater limit"))
        if seeds and not self.job.confirm.finalists:
            rule = "the job confirms no finalists"
            faults.append(("--seeds", rule, "start a job of its own with confirm.finalists"))
        for fault in faults:
            raise InputError.of(*fault)
        self._tell({"record": "extend", "trials": trials, "seeds": seeds}, timed=True)
        self._journal.commit()

    def done(self) -> None:
        """Say that report and export are written too."""
        self._enter("done")

    def counts(self, phase: str, arm: str) -> Counter[str]:
        """Return how many of an arm's trials are in each state."""
        return self._count[phase, arm]

    def _enter(self, phase: str) -> None:
        self._tell({"record": "phase", "phase": phase}, timed=True)
        self._journal.commit()

    def _tell(self, record: dict[str, Any], *, timed: bool = False) -> None:
        if timed:
            record["time"] = time.time_ns() // 1_000_000
        self._journal.append(record)
        self.job_state.apply(record)

    def _last_epoch(self, entry: TrialState) -> int:
        return entry.config.max_epochs

    @property
    def _latency_limit(self) -> float | None:
        return self.job.search.constraints.latency_ms

    @property
    def _maximize(self) -> bool:
        assert self.job_state.info is not None
        return self.job_state.info.metric.direction == "maximize"

    def _check_same(self, job: JobSpec, info: TaskInfo) -> None:
        assert self.job_state.info is not None
        assert self.job_state.spec is not None
        place, remedy = self._journal.place, "give the changed job another name"
        same = self.job_state.spec == job.dump()
        if not same:  # or it is in the words of an earlier version, with fewer keys
            same = JobSpec.from_dump(self.job_state.spec, job.base).dump() == job.dump()
        if not same:
            raise InputError.of(place, f"another job is named {job.name!r} here", remedy)
        if self.job_state.info.fingerprint != info.fingerprint:
            rule = "the data has changed since the job was started"
            raise InputError.of(place, rule, f"restore the data, or {remedy}")


def _fulfil(proposal: Future[Proposal], make: Callable[[], Proposal]) -> None:
    """Make a suggestion, or keep what it raised for whoever waits for it."""
    try:
        proposal.set_result(make())
    except BaseException as error:
        proposal.set_exception(error)


def used_checkpoints(job_state: JobState) -> set[str]:
    """Return the checkpoints that trials may go on from, or be exported from."""
    return {
        name
        for entry in job_state.trials.values()
        if entry.state in ("running", "complete")
        for name in entry.checkpoints
    }
