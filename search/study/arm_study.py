"""The arms' Optuna studies, kept in the job's journal: what to try, what to stop, what came out.

How a trial's end is told to Optuna, and why:

    complete    COMPLETE, with the best validation value over all its epochs
    pruned      PRUNED; Optuna ranks it by the step that it reached and its value there, and
                below these one that was over the limit of latency (no step) by its excess
    diverged    PRUNED as well: the sampler learns to stay away, and a value is never NaN
    failed      FAIL: the configuration is not to blame, so samplers ignore it

The study in the journal holds everything and takes one record a new trial. Samplers see it through
a view (sampler_storage.py), so that a suggestion costs the same at the first trial and the last.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.job.spec import JobSpec
from search.journal.base import BaseJournal, Group
from search.journal.replay import JobState
from search.journal.trial import State
from search.study import samplers
from search.study.optuna_compat import END_STATES, LATENCY
from search.study.prior_trials import PriorTrials, prior_trials_of
from search.study.pruners import make_pruner
from search.study.sampler_storage import SuggestionStorage
from search.study.sampling import Sample, digest, draw, everything
from search.study.seeds import derive_seed
from search.study.window import TrialWindow, with_estimates, with_objectives
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.min_size import smallest
from spaces.sizes import parameters
from spaces.tasks import TaskInfo

if TYPE_CHECKING:
    from search.study.cma import CmaEs

optuna.logging.set_verbosity(optuna.logging.WARNING)

MODEL_DRAWS = 3  #: suggestions of the sampler before draws at random take over
RANDOM_DRAWS = 100  #: draws at random before one that is not new is taken
SMALL = 1000  #: configurations of a space that is listed whole to find those not yet tried


class JournalBackend(BaseJournalBackend):
    """Optuna's operations as records of the job journal; they reach the disk with its commit."""

    def __init__(self, journal: BaseJournal, history: Sequence[Group]) -> None:
        self._journal = journal
        self._unread: deque[dict[str, Any]] = deque(
            record for group in history for record in group if "op_code" in record
        )
        self._first = 0  # the number of the first unread record

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records from a number on; those before it are never asked for again."""
        while self._unread and self._first < log_number_from:
            self._unread.popleft()
            self._first += 1
        return list(islice(self._unread, max(0, log_number_from - self._first), None))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records to the journal's current group."""
        self._journal.append(*logs)
        self._unread.extend(logs)


class ArmStudy:
    """One arm's study: what to try next, whether to go on, what came out."""

    def __init__(
        self,
        job: JobSpec,
        arm: Arm,
        job_state: JobState,
        storage: JournalStorage,
        former: Sequence[FrozenTrial] = (),
    ) -> None:
        """former: trials of another job that the sampler learns from as well."""
        assert job_state.info is not None
        self._job = job
        self._arm = arm
        self._info: TaskInfo = job_state.info
        self._storage = storage
        self._study = optuna.create_study(
            study_name=f"{job.name}/{arm.name}",
            storage=storage,
            direction=self._info.metric.direction,
            load_if_exists=True,
        )
        self._id = storage.get_study_id_from_name(self._study.study_name)
        self._maximize = self._info.metric.direction == "maximize"
        self._pruner = make_pruner(job, self._study)
        self._former = former
        several = self._objectives if len(job.search.objectives) > 1 else None
        self._in_objectives: dict[int, FrozenTrial] = {}  # ended trials, where there are several
        self._history = TrialWindow(maximize=self._maximize, fetch=self._trial, objectives=several)
        self._cma = self._make_cma() if job.search.sampler == "cmaes" else None
        self._tried = {
            digest(entry.config.model_dump(mode="json"))
            for entry in job_state.arm(arm.name, "search")
        }
        self._exhausted = False
        self._restore()

    def _make_cma(self) -> "CmaEs":
        from search.study.cma import CmaEs

        seed = derive_seed(self._job.search.seed, self._arm.name, "cmaes")
        return CmaEs(self._arm, seed, self._history.rank, self._former)

    def _restore(self) -> None:
        for trial in self._former:
            self._remember(trial)
        trials = self._storage.get_all_trials(self._id, deepcopy=False)
        for trial in trials:
            self._pruner.restore(trial)
            if trial.state.is_finished():
                self._remember(trial)
            else:
                self._history.started(trial.number)
        if self._cma is not None:
            self._cma.restore(trials)

    # What to try next

    def ask(self, number: int, *, control: bool) -> TrialConfig:
        """Open trial `number` and return its configuration; control trials are drawn at random.

        A suggestion that repeats an earlier configuration of the arm is made again, a few times by
        the sampler, then at random; a small space is listed, and one of what is left is drawn. In a
        space of which everything has been tried, repeats are taken as they come: trained with
        another seed they still tell something. Control trials are never drawn again for that, since
        they have to be independent draws from the whole space.

        A configuration over the limit of parameters is never returned. One that keeps it exists
        (open_studies refuses other arms), and is built if chance does not find it.
        """
        return self.open(number, self.suggestion(number, control=control)())

    def suggestion(self, number: int, *, control: bool) -> "Callable[[], Proposal]":
        """Return what makes a suggestion from what is known now, as `ask` has it.

        It may be called by another thread while this one goes on: it reads nothing that is told
        meanwhile. Only one is to be under way at a time, and opened before the next.
        """
        attributes = {} if self._cma is None or control else self._cma.begin()
        choice = samplers.choose(self._job, self._arm.name, self._seed(number, 0))
        sight: samplers.Visibility = "nothing" if control else choice.sight
        seen = _Seen(self._shown(sight), self._storage.get_study_system_attrs(self._id))

        def make() -> Proposal:
            first = self._attempt(number, 0, seen, control=control)
            drawn = self._settle(number, first.drawn, seen, control=control)
            return replace(first, drawn=drawn, attributes={**first.attributes, **attributes})

        return make

    def open(self, number: int, proposal: "Proposal") -> TrialConfig:
        """Open trial `number` with what was suggested for it, and return its configuration."""
        drawn = proposal.drawn
        for key, value in proposal.notes.items():
            self._storage.set_study_system_attr(self._id, key, value)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=drawn.values,
            distributions=drawn.distributions,
            system_attrs=proposal.attributes,
        )
        self._study.add_trial(trial)
        assert self._trial(number).number == number
        self._history.started(number)
        self._tried.add(drawn.digest)
        return drawn.config

    def _settle(self, number: int, first: Sample, seen: "_Seen", *, control: bool) -> Sample:
        """Return the first suggestion, or one in its place if it is over a limit or not new."""
        acceptable = None
        for attempt in range(MODEL_DRAWS + RANDOM_DRAWS):
            drawn = first
            if attempt:
                drawn = self._attempt(number, attempt, seen, control=control).drawn
            if self._allowed(drawn):
                if control or self._exhausted or drawn.digest not in self._tried:
                    return drawn
                acceptable = acceptable or drawn
            if attempt == MODEL_DRAWS - 1 and not control:
                if (left := self._untried()) is not None and left:
                    return left[self._seed(number, "left") % len(left)]
                if self._exhausted and acceptable is not None:
                    return acceptable
        if acceptable is not None:
            return acceptable
        choice = samplers.uniform(self._seed(number, 0))
        return self._draw(number, choice, seen, self._smallest[1]).drawn

    def _attempt(self, number: int, attempt: int, seen: "_Seen", *, control: bool) -> "Proposal":
        """Return a suggestion of the sampler's, or one at random."""
        seed = self._seed(number, attempt)
        if control or attempt >= MODEL_DRAWS:
            return self._draw(number, samplers.uniform(seed), seen)
        given = self._cma.suggest(seed) if self._cma is not None else None
        return self._draw(number, samplers.choose(self._job, self._arm.name, seed), seen, given)

    def _draw(
        self,
        number: int,
        choice: samplers.Choice,
        seen: "_Seen",
        given: Mapping[str, Any] | None = None,
    ) -> "Proposal":
        """Return what a sampler suggests, but for given values."""
        trials = [] if choice.sight == "nothing" else seen.trials
        view = SuggestionStorage(
            self._study.study_name, self._directions, trials, number, seen.notes
        )
        drawn = draw(self._arm, view.ask(choice.sampler), given or {})
        # TPE and GP share a running trial's values through attributes; it has them itself here.
        kept = {k: v for k, v in view.attributes.items() if "relative_params" not in k}
        return Proposal(drawn, kept, view.written)

    def _shown(self, sight: samplers.Visibility) -> list[FrozenTrial]:
        """Return the trials that a sampler sees."""
        if sight == "nothing":
            return []
        trials = self._history.whole() if sight == "whole" else self._history.window()
        if self._several:
            trials = [self._in_objectives.get(trial.number, trial) for trial in trials]
        if sight == "complete":
            return with_estimates(trials, maximize=self._maximize)
        return trials

    def _objectives(self, trial: FrozenTrial) -> list[float] | None:
        """Return an ended trial's values, less is better, or None for one that has no value."""
        if trial.state != TrialState.COMPLETE or trial.value is None:
            return None
        value = -trial.value if self._maximize else trial.value
        names = self._job.search.objectives[1:]
        if not all(name in trial.user_attrs for name in names):
            return None
        return [value, *(float(trial.user_attrs[name]) for name in names)]

    @property
    def _several(self) -> bool:
        return len(self._job.search.objectives) > 1

    @property
    def _directions(self) -> list[StudyDirection]:
        if self._several:
            return [StudyDirection.MINIMIZE] * len(self._job.search.objectives)
        return self._study.directions

    def _seed(self, number: int, attempt: int | str) -> int:
        names = (attempt,) if attempt else ()
        return derive_seed(self._job.search.seed, self._arm.name, number, *names)

    def _allowed(self, drawn: Sample) -> bool:
        most = self._job.search.constraints.parameters
        return most is None or parameters(drawn.config, *self._sizes) <= most

    def _untried(self) -> list[Sample] | None:
        """Return what is left of a small space, or None for one that is not small."""
        if self._all is None:
            return None
        left = [d for d in self._all if d.digest not in self._tried and self._allowed(d)]
        self._exhausted = not left
        return left

    @cached_property
    def _all(self) -> list[Sample] | None:
        return everything(self._arm, SMALL)

    @cached_property
    def _smallest(self) -> tuple[int, dict[str, Any]]:
        return smallest(self._arm, *self._sizes)

    @property
    def _sizes(self) -> tuple[int, int]:
        return self._info.inputs, self._info.outputs

    # What to stop, and what came out

    def measured(self, number: int, excess: float) -> None:
        """Store by how many milliseconds a trial is over its limit of latency; 0 or less keeps it.

        Samplers learn from it, of trials that keep the limit too: it is a constraint of Optuna's.
        """
        self._storage.set_trial_system_attr(self._trial_id(number), LATENCY, excess)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Store an intermediate value; return whether the pruner would stop the trial there."""
        trial_id = self._trial_id(number)
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        stop, attributes = self._pruner.judge(self._storage.get_trial(trial_id))
        for key, stored in attributes.items():
            self._storage.set_trial_system_attr(trial_id, key, stored)
        return stop

    def tell(
        self,
        number: int,
        state: State,
        value: float | None,
        figures: Mapping[str, float | None] | None = None,
    ) -> None:
        """Close a trial as the table above says; telling it twice changes nothing.

        figures: parameters and seconds, kept where they are objectives of the job.
        """
        trial_id = self._trial_id(number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return
        for name in self._job.search.objectives[1:]:
            if figures and figures.get(name) is not None:
                self._storage.set_trial_user_attr(trial_id, name, figures[name])
        values = [value] if state == "complete" and value is not None else None
        self._storage.set_trial_state_values(trial_id, END_STATES[state], values)
        trial = self._storage.get_trial(trial_id)
        self._pruner.ended(trial)
        self._remember(trial)
        if self._cma is not None and state != "failed":
            self._cma.ended(trial)

    def _remember(self, trial: FrozenTrial) -> None:
        self._history.ended(trial)
        if self._several:
            self._in_objectives[trial.number] = with_objectives(trial, self._objectives)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._trial_id(number))

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


@dataclass(frozen=True)
class _Seen:
    """What of an arm's study the sampler is shown for one suggestion."""

    trials: list[FrozenTrial]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Proposal:
    """A configuration, and what the sampler wants to be kept with its trial and with the study."""

    drawn: Sample
    attributes: dict[str, Any]
    notes: dict[str, Any]


def open_studies(
    job: JobSpec,
    job_state: JobState,
    journal: BaseJournal,
    history: Sequence[Group],
    former: PriorTrials = dict,
) -> dict[str, ArmStudy]:
    """Return each arm's study, created where the journal does not have it yet.

    former: returns the trials to start warm from; called where the journal does not hold them.
    """
    storage = JournalStorage(JournalBackend(journal, history))
    kept = prior_trials_of(job, job_state, storage, former) if job.search.warm_start else {}
    return {
        arm.name: ArmStudy(job, arm, job_state, storage, kept.get(arm.name, ())) for arm in job.arms
    }
