"""What the search goes on with: a paused trial, or a new one of the arm that has spent least.

A pruner that pauses says which of an arm's trials goes on before a new one begins. An arm must end
with complete trials, as many as have to be confirmed. So the last of its budget is kept for the
best of its paused trials, which then go on to their end whatever their values: as much as they
still need, in epochs or seconds; where the budget is in trials, they go on once nothing else does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.run.budgets import SearchBudgets
from search.study.arm_study import ArmStudy
from spaces.arms import Arm


@dataclass(frozen=True)
class Thaw:
    """A paused trial goes on."""

    trial: TrialState
    finish: bool  #: to its end, whatever its values


class SearchOrder:
    """Chooses what the search goes on with, one step after the other."""

    def __init__(
        self,
        job: JobSpec,
        job_state: JobState,
        budgets: SearchBudgets,
        studies: Mapping[str, ArmStudy],
    ) -> None:
        """Take in the paused trials of the journal; later ones are reported as they come."""
        assert job_state.info is not None
        self._job, self._budgets, self._studies = job, budgets, studies
        self._metric = job_state.info.metric
        self._trials = job_state.trials
        self._wanted = max(1, job.confirm.finalists if job.confirm.most else 1)
        self._paused: dict[str, dict[str, TrialState]] = {arm.name: {} for arm in job.arms}
        self._finishing: dict[str, set[str]] = {arm.name: set() for arm in job.arms}
        for trial in job_state.trials.values():
            if trial.phase == "search" and trial.state == "running":
                if trial.paused:
                    self._paused[trial.arm][trial.key] = trial
                elif trial.finishing or trial.control:
                    self._finishing[trial.arm].add(trial.key)

    # What happens to trials of the search

    def began(self, trial: TrialState) -> None:
        """Take in that a new trial has begun."""
        if trial.control:
            self._finishing[trial.arm].add(trial.key)

    def paused(self, trial: TrialState) -> None:
        """Take in that a trial is paused."""
        self._paused[trial.arm][trial.key] = trial
        self._studies[trial.arm].pause(trial.number)
        self._budgets.paused(trial)

    def thawed(self, trial: TrialState) -> None:
        """Take in that a paused trial goes on."""
        del self._paused[trial.arm][trial.key]
        if trial.finishing:
            self._finishing[trial.arm].add(trial.key)
        self._studies[trial.arm].thaw(trial.number)
        self._budgets.thawed(trial)

    def ended(self, trial: TrialState) -> None:
        """Take in that a trial has ended."""
        self._paused[trial.arm].pop(trial.key, None)
        self._finishing[trial.arm].discard(trial.key)

    # What follows

    def next(self) -> Thaw | Arm | None:
        """Return the trial that goes on, or the arm that a new one begins in; None for neither."""
        for arm in self._budgets.by_need():
            if (found := self._of(arm)) is not None:
                return found
        return None

    def all_paused(self) -> list[TrialState]:
        """Return the trials that are paused."""
        return [trial for arm in self._paused.values() for trial in arm.values()]

    def _of(self, arm: Arm) -> Thaw | Arm | None:
        may_begin, may_go_on = self._budgets.may_begin(arm), self._budgets.may_go_on(arm)
        if may_go_on and not self._last_is_due(arm):
            number = self._studies[arm.name].next_thaw(may_begin=may_begin)
            if number is not None:
                return Thaw(self._paused[arm.name][f"search/{arm.name}/{number}"], finish=False)
            if may_begin:
                return arm
        if self._budgets.states(arm.name)["running"] > len(self._finishing[arm.name]):
            return None  # one that is paused next may be the best
        best = self._best(arm)[:1] if self._needed(arm) > 0 else []
        return Thaw(best[0], finish=True) if best else None

    def _needed(self, arm: Arm) -> int:
        """Return how many trials must still be chosen to go on to their end."""
        complete = self._budgets.states(arm.name)["complete"]
        # A job that is out of time has all that it needs in one complete trial.
        wanted = 1 if self._budgets.out_of_time else self._wanted
        return wanted - complete - len(self._finishing[arm.name])

    def _last_is_due(self, arm: Arm) -> bool:
        """Return whether what is left of an arm's budget is what its last trials need."""
        needed = self._needed(arm)
        left = self._budgets.left(arm)
        if needed <= 0 or left is None or not self._paused[arm.name]:
            return False
        if left > needed * self._budgets.cost(arm, arm.max_epochs):
            return False  # whichever trials they are
        last = self._best(arm)[:needed]
        epochs = sum(arm.max_epochs - trial.epoch for trial in last)
        return left <= self._budgets.cost(arm, epochs)

    def _best(self, arm: Arm) -> list[TrialState]:
        """Return an arm's paused trials, the best first."""

        def rank(trial: TrialState) -> tuple[float, int]:
            assert trial.value is not None
            return (self._metric.cost(trial.value), trial.number)

        return sorted(self._paused[arm.name].values(), key=rank)
