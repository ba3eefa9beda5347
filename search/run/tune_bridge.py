"""Between the driver's decisions and Ray Tune: a thin searcher and a thin scheduler.

Both pass everything to the driver and hold nothing that is not in the journal. Tune pickles them
into snapshots of its own, which are never read: their state is empty.

To Tune a trial is a slot: its worker is given one assignment after the other, or several at once:
replicates of a finalist, or what it has room for. A trial of Tune's costs its controller tens of
milliseconds and tens of kilobytes for good; an assignment is one message to a worker that is there
already.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.results.format import plural
from search.run.driver import Driver
from search.run.ray_compat import actor_of, dead_processes, error_of, is_node_death
from spaces.errors import GatesearchError
from trainables.patience import show_wait
from trainables.worker.messages import TrialAssignment, TrialReport

LOOK_SECONDS = 0.5  #: between two looks for workers that hang, or that are asked for in vain
MOST_AT_ONCE = 8  #: trials that one answer hands out: each takes time, and other workers wait


class RunError(GatesearchError):
    """Ray does not run the job's trials any more; the job resumes once it can."""


# What a worker does after a report


@dataclass(frozen=True)
class Continue:
    """It goes on with what it has in hand, or goes on waiting."""


@dataclass(frozen=True)
class Stop:
    """It ends."""


@dataclass(frozen=True)
class Take:
    """It lets go of some trials and takes others, beside those that are left in its hands.

    Where none are left it waits: the next trial's configuration is being suggested.
    """

    assignments: list[TrialAssignment]
    dropped: list[str]  #: keys of trials that do not go on; it may know of their end already


Answer = Continue | Stop | Take


@dataclass
class Slot:
    """What a worker is doing."""

    gpus: float  #: that it was given, or which share of one
    keys: set[str]  #: of the trials in hand; none while it waits for a suggestion
    heard: float  #: when it last reported, by the driver's awake_seconds()
    began: bool = False  #: whether its process has started
    asked: bool = False  #: whether it was asked for beyond what the cluster holds, without work
    hung: str | None = None  #: set when it was ended because it hung


class Bridge:
    """What searcher and scheduler share: which worker has which trials in hand."""

    def __init__(
        self,
        driver: Driver,
        workers: Callable[[], Mapping[float, int]],
        *,
        may_grow: bool = False,
    ) -> None:
        """workers: returns how many there may be of each kind, by the GPUs of one; asked again.

        may_grow: whether the cluster may get more nodes. Then workers are asked for beyond what it
        holds, as many as the job has work for: a cluster grows by what is asked of it.
        """
        self.driver = driver
        self.workers = workers
        self._may_grow = may_grow
        self.busy: dict[str, Slot] = {}  #: Tune's trial id -> what its worker does
        self.reports = 0  #: received so far
        self.broken: BaseException | None = None  #: an error of the driver's own: the run must end
        self._packed = driver.job.resources.packed
        self._company = sys.maxsize  # trials in one worker, at most; see ended()

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """Return a Tune config, None to be asked again, or Searcher.FINISHED."""
        gpus = self._free_kind()
        assignments = [] if gpus is None else self._choose(1)
        if gpus is not None and assignments:
            keys = {assignment.key for assignment in assignments}
            self.busy[tune_id] = Slot(gpus, keys, self.driver.awake_seconds())
            return {"work": [assignment.as_dict() for assignment in assignments], "gpus": gpus}
        if gpus is None and self._could_use() > len(self.busy):
            kind = next(iter(self.workers()))
            self.busy[tune_id] = Slot(kind, set(), self.driver.awake_seconds(), asked=True)
            return {"work": [], "gpus": kind}
        over = self.broken is not None or self.driver.finished
        return str(Searcher.FINISHED) if over else None

    def report(self, tune_id: str, plain: list[dict[str, Any]], room: int = 0) -> Answer:
        """Pass a worker's reports on its trials to the driver; return what the worker does next.

        room: how many more trials it could take; only a worker that takes several asks for any.
        """
        slot = self.busy.get(tune_id)
        if self.broken is not None or slot is None:
            return Stop()
        slot.heard, slot.began = self.driver.awake_seconds(), True
        dropped = self._pass_on(slot, plain)
        if self.broken is not None:
            return Stop()
        placed = len(self.busy) - len(self.asked_for())
        too_many = placed > sum(self.workers().values())
        if not slot.keys:
            room = 0 if too_many else max(room, 1)
        most = min(room, MOST_AT_ONCE, self._company - len(slot.keys)) if room else 0
        found = self._choose(most)
        if slot.keys and dropped and not (self._packed or too_many):
            found = self._join(sorted(slot.keys))
        slot.keys.update(assignment.key for assignment in found)
        if not slot.keys and (self.broken is not None or not self.driver.suggestion_pending):
            del self.busy[tune_id]
            return Stop()
        if found or dropped:
            return Take(found, dropped)
        return Continue()

    def _pass_on(self, slot: Slot, plain: list[dict[str, Any]]) -> list[str]:
        """Pass reports on to the driver; return the keys of the trials that do not go on."""
        reports = [TrialReport.from_dict(each) for each in plain if each["key"] in slot.keys]
        if not reports:
            return []
        self.reports += 1
        try:
            dropped = [report.key for report in reports if not self.driver.report(report)]
        except BaseException as error:
            self.broken = error
            return []
        slot.keys.difference_update(dropped)
        self._company = min(sys.maxsize, self._company + len(dropped))
        return dropped

    def asked_for(self) -> list[str]:
        """Return the slots whose workers the cluster has no room for yet."""
        return [key for key, slot in self.busy.items() if slot.asked and not slot.began]

    def in_vain(self) -> list[str]:
        """Return the slots that were asked for and that there is no work for any more."""
        asked = self.asked_for()
        surplus = len(self.busy) - self._could_use()
        return asked[-surplus:] if surplus > 0 else []

    def _could_use(self) -> int:
        """Return how many workers the job has work for, of a cluster that may grow."""
        if not self._may_grow or self.broken is not None or self._packed:
            return 0
        at_work = sum(bool(slot.keys) for slot in self.busy.values())
        limit = self.driver.job.resources.max_concurrent
        wanted = at_work + self.driver.could_begin()
        return wanted if limit is None else min(wanted, limit)

    def _free_kind(self) -> float | None:
        """Return of which kind there may be one more worker, if of any."""
        allowed = self.workers()
        if len(self.busy) >= sum(allowed.values()):
            return None
        kinds = Counter(slot.gpus for slot in self.busy.values())
        return next((kind for kind, number in allowed.items() if kinds[kind] < number), None)

    def _choose(self, most: int) -> list[TrialAssignment]:
        """Return the next trials for one worker: so many at most, fewer where there are no more."""
        limit = self.driver.job.resources.max_concurrent
        if self._packed and limit is not None:
            most = min(most, limit - sum(len(slot.keys) for slot in self.busy.values()))
        found: list[TrialAssignment] = []
        if self.broken is not None:
            return found  # a trial chosen now would not know what the running ones will find
        try:
            workers = None if self._packed else sum(self.workers().values())
            while len(found) < most:
                if (one := self.driver.next(wait=False, workers=workers)) is None:
                    break
                found.append(one)
            if found and workers is not None:
                found += self.driver.company([found[0].key], workers)
        except BaseException as error:
            self.broken = error
            return []
        return found

    def _join(self, keys: list[str]) -> list[TrialAssignment]:
        """Return the trials that wait and train with those that a worker has in hand."""
        try:
            return self.driver.company(keys, sum(self.workers().values()))
        except BaseException as error:
            self.broken = error
            return []

    def ended(self, tune_id: str, reason: str | None = None, *, node_lost: bool = False) -> None:
        """Take in that Tune is done with a worker; with a reason if it was lost.

        One that was lost with several trials may have had too many: from then on none has more
        than half as many, and one more for each trial that ends.
        """
        slot = self.busy.pop(tune_id, None)
        if slot is None or self.broken is not None:
            return
        why = slot.hung or reason or "its worker ended without a reason"
        node_lost = node_lost and slot.hung is None
        company = len(slot.keys) > 1
        if company and not node_lost:
            self._company = len(slot.keys) // 2
        try:
            for key in sorted(slot.keys):
                self.driver.worker_lost(key, why, node_lost=node_lost, company=company)
        except BaseException as error:
            self.broken = error

    def ended_all(self, reason: str) -> None:
        """Take in that Tune itself has failed: a trial that was alone is the cause."""
        alone = len(self.busy) == 1
        for tune_id in list(self.busy):
            self.ended(tune_id, reason, node_lost=not alone)

    def hung(self, tune_id: str) -> bool:
        """Return whether a worker with a process has not reported for longer than allowed."""
        limit = self.driver.job.search.seconds_until_hung
        slot = self.busy.get(tune_id)
        if slot is None or slot.hung is not None:
            return False
        now = self.driver.awake_seconds()
        if not slot.began:
            slot.began, slot.heard = True, now  # Ray's time to start the process does not count
        if now - slot.heard <= limit:
            return False
        slot.hung = f"no report for {limit:g} s (search.report_timeout): the worker was ended"
        return True


class JobSearcher(Searcher):
    """What Tune asks for what to try next."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge: Bridge | None = bridge

    def suggest(self, trial_id: str) -> Any:  # Searcher's annotation forgets FINISHED
        """See Bridge.suggest."""
        assert self._bridge is not None
        return self._bridge.suggest(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Free the slot. The driver knows of a trial that ended by its decision already."""
        assert self._bridge is not None
        self._bridge.ended(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        return {"_bridge": None, "_metric": None, "_mode": None}

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a job resumes from its journal, never from a snapshot of Tune's."""
        raise RuntimeError("resume the job from its journal")


class JobScheduler(FIFOScheduler):
    """What Tune asks for what goes on and what stops."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge: Bridge | None = bridge
        self._trials: dict[str, Trial] = {}  # that have not ended
        self._looked = 0.0

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Remember the trial, to look after its worker."""
        self._trials[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Pass the report on, and do with the worker what the answer says."""
        assert self._bridge is not None
        show_wait(id(trial), result.get("waits"))
        match self._bridge.report(trial.trial_id, result["report"], result.get("room", 0)):
            case Stop():
                return str(TrialScheduler.STOP)
            case Take(assignments, dropped):
                work = [assignment.as_dict() for assignment in assignments]
                # Calls of one caller reach an actor in order: before the next step.
                actor_of(trial).take.remote(work, dropped)
            case Continue():
                pass
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Report to the driver why the worker was lost: killed, out of memory, its node gone."""
        assert self._bridge is not None
        self._forget(trial)
        reason = error_of(trial)
        node_lost = is_node_death(reason)
        self._bridge.ended(trial.trial_id, shortened(reason) or None, node_lost=node_lost)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Forget the trial."""
        self._forget(trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Forget the trial: one whose worker was asked for in vain."""
        self._forget(trial)
        show_wait(id(self), None)

    def _tell_of_growth(self, asked: int) -> None:
        """Say how many workers the cluster has been asked for, while it has no room for them."""
        text = f"{plural(asked, 'more worker')} asked for, should the cluster grow"
        show_wait(id(self), text if asked else None)

    def _forget(self, trial: Trial) -> None:
        self._trials.pop(trial.trial_id, None)
        show_wait(id(trial), None)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """End workers that hang, since Tune calls this all the time; choose as FIFO does."""
        assert self._bridge is not None
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._bridge.driver.awake_seconds()
            dead = dead_processes()
            if dead and self._bridge.broken is None:
                self._bridge.broken = RunError(
                    f"Ray's {dead[0]} on this machine was ended from outside. "
                    "Nothing is lost: resume the job."
                )
            in_vain = set(self._bridge.in_vain())
            for tune_id, trial in self._trials.items():
                if tune_id in in_vain:
                    tune_controller.request_stop_trial(trial)
                    continue
                actor = actor_of(trial)
                if actor is not None and self._bridge.hung(tune_id):
                    ray.kill(actor)  # Tune notices it as any worker's death
            self._tell_of_growth(len(self._bridge.asked_for()))
        chosen: Trial | None = super().choose_trial_to_run(tune_controller)
        return chosen

    def __getstate__(self) -> dict[str, Any]:
        return {"_bridge": None, "_trials": {}}


class BrokenStopper(tune.Stopper):
    """Has Tune stop at once when the driver cannot go on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge: Bridge | None = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial: the scheduler does."""
        return False

    def stop_all(self) -> bool:
        """Return whether the driver is broken."""
        return self._bridge is not None and self._bridge.broken is not None

    def __getstate__(self) -> dict[str, Any]:
        return {"_bridge": None}


def shortened(text: str) -> str:
    """Return a reason in one line of bounded length; a long one keeps both ends."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= 2000 else f"{line[:800]} ... {line[-1200:]}"
