"""Between the driver's decisions and Ray Tune: a thin searcher and a thin scheduler.

Tune asks the searcher for trials and hands results to the scheduler; both pass everything to the
driver and hold nothing that is not in the journal. Tune pickles them into snapshots of its own,
which are never read: their state is empty.
"""

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.driver import Driver
from trainables.work import Report


class Bridge:
    """What searcher and scheduler share: which Tune trial does which piece of work."""

    def __init__(self, driver: Driver, slots: Callable[[], int]) -> None:
        self.driver = driver
        self.slots = slots  #: how many trials may run at once, asked again each time
        self.keys: dict[str, str] = {}  #: Tune's trial id -> key of the trial in hand
        self.broken: BaseException | None = None  #: an error of the driver's own: the run must end

    def suggest(self, tune_id: str) -> dict[str, Any] | str | None:
        """Return a Tune config, None to be asked again, or Searcher.FINISHED."""
        if self.broken is not None:
            return str(Searcher.FINISHED)
        if len(self.keys) >= self.slots():
            return None  # a trial chosen now would not know what the running ones will find
        try:
            work = self.driver.next()
        except BaseException as error:
            self.broken = error
            return str(Searcher.FINISHED)
        if work is None:
            return str(Searcher.FINISHED) if self.driver.finished else None
        self.keys[tune_id] = work.key
        return {"work": work.as_dict()}

    def report(self, tune_id: str, plain: dict[str, Any]) -> bool:
        """Hand a worker's report to the driver; return whether the trial goes on."""
        report = Report(**plain)
        if self.broken is not None or self.keys.get(tune_id) != report.key:
            return False
        try:
            goes_on = self.driver.report(report)
        except BaseException as error:
            self.broken = error
            return False
        return goes_on

    def ended(self, tune_id: str, reason: str | None = None) -> None:
        """Take in that Tune is done with a trial; with a reason if its worker was lost."""
        key = self.keys.pop(tune_id, None)
        if key is None or self.broken is not None:
            return
        try:
            self.driver.lost(key, reason or "its worker went away without a word")
        except BaseException as error:
            self.broken = error


class JobSearcher(Searcher):
    """Tune's view of what to try next."""

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
        """Free the slot. A trial that ended by decision is known to the driver already."""
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
    """Tune's view of what goes on and what stops."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge: Bridge | None = bridge

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Hand the report on; stop the trial where the driver says so."""
        assert self._bridge is not None
        goes_on = self._bridge.report(trial.trial_id, result["report"][0])
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the driver why the worker was lost: killed, out of memory, its node gone."""
        assert self._bridge is not None
        error = trial.get_error()
        lines = str(error).strip().splitlines() if error else []
        reason = " ".join(line.strip() for line in lines if line.strip())[:2000]
        self._bridge.ended(trial.trial_id, reason or None)

    def __getstate__(self) -> dict[str, Any]:
        return {"_bridge": None}
