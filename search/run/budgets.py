"""What each arm may spend on its search, what it has spent, and what ends a trial early."""

import math
from collections import Counter, defaultdict
from typing import Literal

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from spaces.arms import Arm

#: Unproductive trials of an arm, one after the other, after which it gets no more. A trial is
#: unproductive if it is over the limit of latency, or, where budgets are epochs or seconds, if it
#: fails or diverges before its first epoch ends. It costs the budget nothing, so that an arm of
#: nothing else would never end.
MAX_UNPRODUCTIVE = 100

#: Of trials, in the order in which they are told; a paused one runs, to the journal.
STATES = ("running", "paused", "complete", "pruned", "diverged", "failed")

Unit = Literal["trials", "epochs", "s"]


class SearchBudgets:
    """The arms' budgets, in the one unit that the job file names."""

    def __init__(self, job: JobSpec, job_state: JobState) -> None:
        """Count what the trials of the journal have spent; later ones are reported as they go."""
        self._job, self._job_state = job, job_state
        self._states: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._spent: defaultdict[str, float] = defaultdict(float)  # epochs or worker seconds
        self._spent_by_others: defaultdict[str, float] = defaultdict(float)  # that do not run
        self._epochs: Counter[str] = Counter()
        self._paused: set[str] = set()  # keys of trials
        self._unproductive: Counter[str] = Counter()  # the latest trials of an arm, in a row
        for trial in job_state.trials.values():
            if trial.phase == "search":
                self._states[trial.arm]["running"] += 1
                self.trained(trial, trial.epoch, trial.seconds)
                if trial.paused:
                    self.paused(trial)
                elif trial.state != "running":
                    self.ended(trial)

    @property
    def unit(self) -> Unit:
        """Trials, epochs or s (worker seconds)."""
        search = self._job.search
        if search.epochs is not None:
            return "epochs"
        return "s" if search.worker_seconds is not None else "trials"

    @property
    def amount(self) -> float:
        """Each arm's budget."""
        search = self._job.search
        if search.epochs is not None:
            return search.epochs
        if search.worker_seconds is not None:
            return search.worker_seconds
        assert search.trials is not None
        return search.trials + self._job_state.added_trials

    def states(self, arm: str) -> Counter[str]:
        """Return how many search trials of an arm are in each state; paused is one of its own."""
        return self._states[arm]

    def spent(self, arm: str) -> float:
        """Return what an arm has spent of its budget."""
        return self._states[arm].total() if self.unit == "trials" else self._spent[arm]

    # What happens to trials of the search

    def created(self, trial: TrialState) -> None:
        """Count a new trial."""
        self._states[trial.arm]["running"] += 1

    def trained(self, trial: TrialState, epochs: int, seconds: float) -> None:
        """Count epochs that a trial has trained, and the worker seconds that they took."""
        self._epochs[trial.arm] += epochs
        self._spent[trial.arm] += epochs if self.unit == "epochs" else seconds

    def paused(self, trial: TrialState) -> None:
        """Count a trial that was running as paused."""
        self._states[trial.arm].subtract({"running": 1, "paused": -1})
        self._paused.add(trial.key)
        self._spent_by_others[trial.arm] += self._cost_of(trial)

    def thawed(self, trial: TrialState) -> None:
        """Count a paused trial as running."""
        self._states[trial.arm].subtract({"running": -1, "paused": 1})
        self._paused.remove(trial.key)
        self._spent_by_others[trial.arm] -= self._cost_of(trial)

    def ended(self, trial: TrialState) -> None:
        """Count a trial that was running or paused as ended."""
        if trial.key in self._paused:
            self.thawed(trial)
        self._states[trial.arm].subtract({"running": 1, trial.state: -1})
        self._spent_by_others[trial.arm] += self._cost_of(trial)
        free = self.unit != "trials" and trial.epoch == 0
        if free or self.latency_excess(trial) > 0:
            self._unproductive[trial.arm] += 1
        else:
            self._unproductive[trial.arm] = 0

    def _cost_of(self, trial: TrialState) -> float:
        return trial.epoch if self.unit == "epochs" else trial.seconds

    # What follows

    def may_begin(self, arm: Arm) -> bool:
        """Return whether an arm gets more trials."""
        productive = self._unproductive[arm.name] < MAX_UNPRODUCTIVE
        return not self.out_of_time and productive and self.spent(arm.name) < self.amount

    def could_begin(self) -> int:
        """Return about how many more trials could begin at once, were there room for them.

        Of epochs or seconds: as many as train to their end with what is left; before any cost is
        known, one an arm. Running trials count as trained to their end.
        """
        return sum(map(self._could_begin, self._job.arms))

    def _could_begin(self, arm: Arm) -> int:
        if not self.may_begin(arm):
            return 0
        left = self.amount - self.spent(arm.name)
        if self.unit == "trials":
            return int(left)
        each = self.cost(arm, arm.max_epochs)
        running = self._states[arm.name]["running"]
        return max(0, math.ceil(left / each) - running) if each else int(not running)

    def may_go_on(self, arm: Arm) -> bool:
        """Return whether an arm's paused trials may go on."""
        within = self.unit == "trials" or self.spent(arm.name) < self.amount
        return within and not self.out_of_time

    def by_need(self) -> list[Arm]:
        """Return the arms, the one that has spent least of its budget first.

        What an arm's running trials will cost counts as spent: each will cost about as much as
        the others. Otherwise one arm would get all free slots until its first report.
        """
        return sorted(self._job.arms, key=lambda arm: self._committed(arm.name))

    def left(self, arm: Arm) -> float | None:
        """Return the epochs or seconds that an arm has left; None for a budget in trials."""
        return None if self.unit == "trials" else self.amount - self.spent(arm.name)

    def cost(self, arm: Arm, epochs: int) -> float:
        """Return what so many epochs of an arm cost of a budget in epochs or seconds."""
        if self.unit == "epochs":
            return epochs
        return epochs * self._spent[arm.name] / max(1, self._epochs[arm.name])

    def _committed(self, arm: str) -> tuple[float, int]:
        """Return what an arm will have spent when its running trials end, and their number."""
        spent, states = self.spent(arm), self._states[arm]
        running = states["running"]
        others = states.total() - running
        if self.unit == "trials" or not others:
            return spent, running
        return max(spent, self._spent_by_others[arm] * (1 + running / others)), running

    def end_reason(self, trial: TrialState) -> str | None:
        """Return why a trial of the search may not go on, however good it is; None if it may.

        No budget ends a control trial: without the slow ones, controls would be no fair sample. Nor
        does it end one that was chosen to go on to its end.
        """
        if self.latency_excess(trial) > 0:
            return (
                f"not trained: one sequence takes {trial.latency_ms:.3g} ms, over the limit of "
                f"{self.latency_limit:g} ms"
            )
        if trial.control or trial.finishing:
            return None
        if self.out_of_time:
            return "the job's wall-clock limit was reached"
        if self.unit != "trials" and self.spent(trial.arm) >= self.amount:
            return "the arm's budget was spent"
        return None

    @property
    def out_of_time(self) -> bool:
        """Whether the job's wall-clock limit is reached."""
        limit = self._job.search.wall_clock
        return limit is not None and self._job_state.search_seconds >= limit

    @property
    def latency_limit(self) -> float | None:
        """The job's limit of latency in milliseconds, if it has one."""
        return self._job.search.constraints.latency_ms

    def latency_excess(self, trial: TrialState) -> float:
        """Return by how many milliseconds a trial is over the limit; 0 where that is unknown."""
        if self.latency_limit is None or trial.latency_ms is None:
            return 0.0
        return trial.latency_ms - self.latency_limit
