"""Which trials wait for a worker, and which of them one worker trains together on CPUs.

Trials of one shape train together, each to the bit as alone (trainables/training/cohort.py).
Replicates of a finalist do so in blocks (Confirmation.block). The search suggests some trials ahead
of their turn, as it would for as many more workers: the sampler knows that they are pending, and no
suggestion is made to fit another one. A worker gets those of one shape, the shape of which most
wait, and later ones of that shape as others of it end.

Control trials are drawn whatever others find, and no budget ends them. Where the budget is in
trials they wait until others of their shape begin, or nothing else does; otherwise only one waits
at a time, and it is next.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.run.budgets import SearchBudgets
from search.run.confirmation import Confirmation, Place, place_of
from spaces.arms import Arm
from spaces.config import SHARED
from spaces.domains import Range, values
from trainables.training.batching import MAX_MEMBERS, batching_pays
from trainables.worker.capacity import Shape, shape_of

AHEAD = 1 / 3  #: of a search's trials, controls aside, may run or wait at once to have company
MOST_AT_ONCE = 16  #: trials that begin ahead at once: each takes time, and other workers wait
ALONE = frozenset({"freeze-thaw"})  #: samplers that choose anew after every report


class Waiting:
    """The trials that wait for a worker: suggested ahead, or given back after a fault."""

    def __init__(
        self, job: JobSpec, job_state: JobState, budgets: SearchBudgets, confirmation: Confirmation
    ) -> None:
        """Take in the trials that the journal has and no worker."""
        assert job_state.info is not None
        self._job, self._budgets, self._confirmation = job, budgets, confirmation
        self._longest = job_state.info.longest
        self._trials = [trial for trial in job_state.trials.values() if trial.active]
        # What a trial costs by itself is not known of one in company.
        self._together = job.resources.cohorts and "seconds" not in job.search.objectives
        self._shapes = sum(map(_shapes, job.arms))
        self._controls_last = budgets.unit == "trials" and job.search.wall_clock is None

    def __len__(self) -> int:
        return len(self._trials)

    def add(self, trial: TrialState) -> None:
        """Take in a trial that waits."""
        self._trials.append(trial)

    def wants_more(self, in_hand: Collection[TrialState], workers: int) -> bool:
        """Return whether one more trial is suggested ahead of its turn; in_hand: of all workers.

        Not where trials gain nothing together, or have too many shapes to meet one of their own.
        """
        if not self._together or self._job.search.sampler in ALONE:
            return False
        if not self._controls_last and any(trial.control for trial in self._trials):
            return False  # it is trained even if nothing is left for others then
        states = [self._budgets.states(arm.name).total() for arm in self._job.arms]
        most = min(AHEAD * (sum(states) + self._budgets.could_begin()), MAX_MEMBERS * workers)
        pending = sum(not each.control for each in (*in_hand, *self._trials))
        return pending < most and self._shapes <= most and all(map(self._pays, self._trials))

    def take(self, *, together: bool) -> TrialState | None:
        """Return the trial that is next: the oldest, or one of the shape of which most wait.

        together: whether others of its shape are to train with it.
        """
        if not self._trials:
            return None
        best = self._trials[0]
        if together and self._together:
            groups: defaultdict[Shape, list[TrialState]] = defaultdict(list)
            for trial in self._trials:
                if self._pays(trial):
                    groups[shape_of(trial.config)].append(trial)
            alone = [[trial] for trial in self._trials if not self._pays(trial)]
            best = max([*alone, *groups.values()], key=self._rank)[0]
        self._remove([best])
        return best

    def _rank(self, trials: list[TrialState]) -> tuple[bool, int]:
        if self._controls_last:
            return not all(one.control and self._pays(one) for one in trials), len(trials)
        return any(one.control for one in trials), len(trials)

    def join(self, trials: Sequence[TrialState], workers: int) -> list[TrialState]:
        """Return the waiting trials of the search that are trained with some of one worker's."""
        if not self._together or not all(self._pays(trial) for trial in trials):
            return []
        shape = shape_of(trials[0].config)
        left = len(self._trials) + self._budgets.could_begin()
        most = min(MAX_MEMBERS, -(-(left + len(trials)) // workers)) - len(trials)
        found = [t for t in self._trials if self._pays(t) and shape_of(t.config) == shape]
        found = found[: max(0, most)]
        self._remove(found)
        return found

    def replicates(self, first: TrialState, workers: int) -> list[TrialState | Place]:
        """Return what trains with one of the confirm phase: trials that wait, and new places.

        See Confirmation.block. Each is, to the bit, what it would be alone.
        """
        resumable = {
            place_of(trial): trial
            for trial in self._trials
            if trial.phase == "confirm" and trial.lost_at is None
        }
        found: list[TrialState | Place] = []
        for place in self._confirmation.block(first, workers):
            if (trial := resumable.get(place)) is not None:
                found.append(trial)
            elif not self._confirmation.begun(place):
                found.append(place)
        self._remove([one for one in found if isinstance(one, TrialState)])
        return found

    def _remove(self, taken: Sequence[TrialState]) -> None:
        keys = {trial.key for trial in taken}
        self._trials = [trial for trial in self._trials if trial.key not in keys]

    def _pays(self, trial: TrialState) -> bool:
        """Return whether a trial trains with others: one of the search that lost no worker."""
        if trial.phase != "search" or trial.lost_at is not None:
            return False
        return batching_pays(trial.config, self._longest)


def _shapes(arm: Arm) -> float:
    """Return how many shapes there are in an arm's space."""
    number = 1.0
    for name, domain in arm.domains().items():
        if name in SHARED or name.startswith("gates"):
            continuous = isinstance(domain, Range) and not domain.integer
            number *= math.inf if continuous else len(values(domain))
    return number
