"""One arm's Optuna study in the job's journal: which trial starts, stops or ends, and how it ends.

The states in which Optuna knows an ended trial, and why:

    complete    COMPLETE, with the best validation value over all its epochs
    pruned      PRUNED; Optuna ranks it by its last epoch and its value there, and below these the
                trials over the limit of latency (which have no epoch) by their excess
    diverged    PRUNED as well, so that a value is never NaN; samplers are shown it without its
                epochs, which is Optuna's worst rank, and GP the worst value seen: with epochs, one
                that diverged late would rank above all that were pruned early, and attract TPE
    failed      FAIL: the configuration is not to blame, so samplers ignore it

The study in the journal holds everything and takes one record a new trial. Samplers see a part of
it (window.py), so that a suggestion costs the same at the first trial and the last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.job.spec import JobSpec
from search.journal.base import BaseJournal, Group, JournalError
from search.journal.records import REMEDY
from search.journal.replay import JobState, unsound
from search.journal.trial import State
from search.study.decisions import Decision
from search.study.journal_backend import JournalBackend
from search.study.known_rates import KnownRates
from search.study.learning_rates import LearningRates
from search.study.objectives import Objectives
from search.study.optuna_compat import LATENCY_CONSTRAINT, StoredStudy, as_pruned, with_outcome
from search.study.prior_trials import DIVERGED, LoadPrior, Prior, prior_trials_of
from search.study.pruners import make_pruner
from search.study.samplers import Visibility
from search.study.sampling import Sample, digest
from search.study.seeds import derive_seed
from search.study.suggestions import Shown, Suggester, Suggestion
from search.study.window import TrialWindow, with_estimates
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.errors import GatesearchError
from spaces.text import show

if TYPE_CHECKING:
    from search.study.cma import CmaEs
    from search.study.freeze_thaw import FreezeThaw

optuna.logging.set_verbosity(optuna.logging.WARNING)

_END_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class ArmStudy:
    """One arm's study."""

    def __init__(
        self,
        job: JobSpec,
        arm: Arm,
        job_state: JobState,
        storage: BaseStorage,
        prior_trials: Sequence[FrozenTrial] = (),
    ) -> None:
        """prior_trials: trials of a prior job that the sampler learns from as well."""
        assert job_state.info is not None
        self._metric = job_state.info.metric
        self._last_epoch = arm.max_epochs
        name, direction = f"{job.name}/{arm.name}", self._metric.direction
        self._stored = StoredStudy(storage, name, direction)
        self._pruner = make_pruner(job, self._stored.study)
        self._objectives = Objectives(job.search.objectives, self._metric)
        self._in_objectives: dict[int, FrozenTrial] = {}  # ended trials, where there are several
        values = self._objectives.values if self._objectives.several else None
        self._window = TrialWindow(self._metric, fetch=self._stored.trial, objectives=values)
        trials = job_state.arm(arm.name, "search")
        self._diverged = {trial.number for trial in trials if trial.state == "diverged"}
        self._diverged |= {t.number for t in prior_trials if DIVERGED in t.user_attrs}
        self._controls = {trial.number for trial in trials if trial.control}
        self._cma = self._make_cma(job, arm, [self._as_shown(trial) for trial in prior_trials])
        tried = {digest(trial.config) for trial in trials}
        self._common_controls = job_state.common_controls
        rates = KnownRates(job, job_state.learned_rates)
        self._suggester = Suggester(
            job,
            arm,
            job_state.info,
            tried,
            self._cma,
            rates,
            common_controls=self._common_controls,
        )
        self._freeze_thaw = self._make_freeze_thaw(job, arm, rates.of_arm(arm))
        self._proposals: list[Sample] = []  # for the next new trial
        self._seed = job.search.seed
        ended = {trial.number: trial.state != "running" for trial in trials}
        self._check(arm.name, ended)
        self._restore(prior_trials, {trial.number: trial.seconds for trial in trials})
        for trial in trials:
            if trial.paused:
                self.pause(trial.number)

    def _check(self, arm: str, ended: Mapping[int, bool]) -> None:
        """Raise JournalError unless the study has the arm's trials, and none that ended early."""
        stored = {trial.number: trial.state.is_finished() for trial in self._stored.trials}
        if odd := sorted(stored.keys() ^ ended.keys()):
            raise unsound(f"trial search/{arm}/{odd[0]} must have records of ours and of Optuna's")
        for number, finished in stored.items():
            if finished and not ended[number]:
                rule = f"trial search/{arm}/{number} must have a record of its end, as Optuna's say"
                raise unsound(rule)

    def _make_cma(
        self, job: JobSpec, arm: Arm, prior_trials: Sequence[FrozenTrial]
    ) -> "CmaEs | None":
        if job.search.sampler != "cmaes":
            return None
        from search.study.cma import CmaEs

        seed = derive_seed(job.search.seed, arm.name, "cmaes")
        return CmaEs(arm, seed, self._window.rank, prior_trials)

    def _make_freeze_thaw(
        self, job: JobSpec, arm: Arm, rates: LearningRates
    ) -> "FreezeThaw | None":
        if job.search.sampler != "freeze-thaw":
            return None
        from search.study.freeze_thaw import FreezeThaw

        maximize = self._metric.direction == "maximize"
        timed = job.search.worker_seconds is not None
        return FreezeThaw(arm, self._last_epoch, rates, maximize=maximize, timed=timed)

    def _restore(self, prior_trials: Sequence[FrozenTrial], seconds: Mapping[int, float]) -> None:
        for trial in prior_trials:
            self._learn(trial)
        trials = self._stored.trials
        self._pruner.restore(trial for trial in trials if not self._unjudged(trial.number))
        for trial in trials:
            if self._freeze_thaw is not None:
                self._freeze_thaw.started(trial, seconds[trial.number])
            if trial.state.is_finished():
                self._learn(trial)
            else:
                self._window.started(trial.number)
        if self._freeze_thaw is not None:
            self._freeze_thaw.restore(self._stored.attributes)
        if self._cma is not None:
            self._cma.restore([self._as_shown(trial) for trial in trials])

    # Which trial starts

    def prepare_suggestion(self, number: int, *, control: bool) -> Callable[[], Suggestion]:
        """Return a function that makes the suggestion for trial `number`, see suggestions.py.

        The suggestion depends on what is known now, so that another thread may make it while this
        one reports values and ends trials. One suggestion is made at a time: its trial starts
        before the next one is prepared. Control trials are drawn at random.
        """
        drawn = control or self._suggester.starts_from_given(number)
        attributes = {} if self._cma is None or drawn else self._cma.begin()
        visibility = self._suggester.visibility(number, control=control)
        proposals = [sample.values for sample in self._proposals]
        shown = Shown(self._shown(visibility), self._stored.attributes, proposals)

        def suggest() -> Suggestion:
            made = self._suggester.suggest(number, shown, control=control)
            return replace(made, trial_attributes={**made.trial_attributes, **attributes})

        return suggest

    def start_trial(self, number: int, suggestion: Suggestion) -> TrialConfig:
        """Start trial `number` with what was suggested for it, and return its configuration."""
        sample = suggestion.sample
        for key, value in suggestion.study_attributes.items():
            self._stored.set_attribute(key, value)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=sample.values,
            distributions=sample.distributions,
            system_attrs=suggestion.trial_attributes,
        )
        self._stored.study.add_trial(trial)
        assert self._stored.trial(number).number == number
        if suggestion.control:
            self._controls.add(number)
        self._window.started(number)
        self._suggester.tried(sample)
        if self._freeze_thaw is not None:
            self._freeze_thaw.started(self._stored.trial(number))
        return sample.config

    def _shown(self, visibility: Visibility) -> list[FrozenTrial]:
        """Return the trials that a sampler sees."""
        if visibility == "nothing":
            return []
        trials = self._window.whole() if visibility == "whole" else self._window.window()
        if self._objectives.several:
            trials = [self._in_objectives.get(trial.number, trial) for trial in trials]
        if visibility == "complete":
            return with_estimates(trials, self._metric, self._diverged)
        return trials

    # Which trial stops

    def report_epochs(self, number: int) -> list[int] | None:
        """Return the epochs at which a trial must report, those where it may be stopped.

        None means after every epoch. The last epoch is not among them: it ends every trial.
        """
        if number in self._controls:
            return []
        return self._pruner.report_epochs(self._last_epoch)

    def report_value(self, number: int, epoch: int, value: float, seconds: float = 0.0) -> Decision:
        """Store the value of an epoch, which took some seconds; return what becomes of the trial.

        The pruner never stops a trial after its last epoch, with which it is complete. It sees no
        value of control trials: drawn at random, they would lower its bar.
        """
        self._stored.set_value(number, epoch, value)
        if self._freeze_thaw is not None:
            self._freeze_thaw.observed(number, value, seconds)
        if self._unjudged(number):
            return Decision.CONTINUE
        decision, attributes = self._pruner.judge(self._stored.trial(number))
        for key, stored in attributes.items():
            self._stored.set_trial_attribute(number, key, stored)
        goes_on = number in self._controls or epoch >= self._last_epoch
        return Decision.CONTINUE if goes_on else decision

    def pause(self, number: int) -> None:
        """Take in that a trial is paused. Samplers see it as one that was pruned where it is."""
        self._pruner.paused(number)
        if self._freeze_thaw is not None:
            self._freeze_thaw.paused(number)
        self._window.ended(as_pruned(self._stored.trial(number)))

    def thaw(self, number: int) -> None:
        """Take in that a paused trial goes on; samplers see it as before, until it is paused."""
        self._pruner.thawed(number)
        if self._freeze_thaw is not None:
            self._freeze_thaw.thawed(number)

    def next_thaw(self, *, may_begin: bool) -> int | None:
        """Return the paused trial that is to go on before a new one begins, if there is one.

        may_begin: whether a new one may.
        """
        if self._freeze_thaw is None:
            return self._pruner.next_thaw()
        new = self._suggester.is_new if may_begin else None
        choice, attributes = self._freeze_thaw.choose(self._seed, new)
        for key, value in attributes.items():
            self._stored.set_attribute(key, value)
        self._proposals = choice.new
        return choice.thaw

    def _unjudged(self, number: int) -> bool:
        """Return whether the pruner knows nothing of a trial: of a control one, but in old jobs."""
        return number in self._controls and self._common_controls

    # How a trial ends

    def record_latency(self, number: int, excess: float) -> None:
        """Store by how many milliseconds a trial is over the limit of latency; 0 or less meets it.

        It is a constraint of Optuna's: samplers learn from it, also of trials that meet the limit.
        """
        self._stored.set_trial_attribute(number, LATENCY_CONSTRAINT, excess)

    def end_trial(
        self,
        number: int,
        state: State,
        value: float | None,
        figures: Mapping[str, float | None] | None = None,
    ) -> None:
        """End a trial in the state that the table above gives; one that has ended stays as it is.

        figures: parameters and seconds, stored where they are objectives of the job.
        """
        if self._stored.trial(number).state.is_finished():
            return
        for name in self._objectives.figures:
            if figures and figures.get(name) is not None:
                self._stored.set_figure(number, name, figures[name])
        if state == "diverged":
            self._diverged.add(number)
        self._stored.end(number, _END_STATES[state], value if state == "complete" else None)
        trial = self._stored.trial(number)
        if not self._unjudged(number):
            self._pruner.ended(trial)
        self._learn(trial)
        if self._cma is not None and state != "failed":
            self._cma.ended(self._as_shown(trial))

    def _learn(self, trial: FrozenTrial) -> None:
        if self._freeze_thaw is not None:
            diverged, failed = trial.number in self._diverged, trial.state == TrialState.FAIL
            self._freeze_thaw.ended(trial.number, diverged=diverged, failed=failed)
        self._window.ended(self._as_shown(trial))
        if self._objectives.several:
            self._in_objectives[trial.number] = self._objectives.shown(trial)

    def _as_shown(self, trial: FrozenTrial) -> FrozenTrial:
        """Return an ended trial as samplers are shown it: a diverged one without its epochs."""
        if trial.number not in self._diverged:
            return trial
        return with_outcome(trial, TrialState.PRUNED, None)


def open_studies(
    job: JobSpec,
    job_state: JobState,
    journal: BaseJournal,
    groups: Sequence[Group],
    load_prior: LoadPrior = Prior,
) -> dict[str, ArmStudy]:
    """Return each arm's study, created where the journal does not have it yet.

    groups: what the journal held when it was opened. load_prior: returns what former jobs hand
    over, and records it; called where the journal does not hold it. Raises JournalError where
    Optuna cannot make studies of what it holds.
    """
    try:
        storage = JournalStorage(JournalBackend(journal, groups))
        prior = {}
        if job.search.warm_start:
            prior = prior_trials_of(job, job_state, storage, load_prior)
        elif job.search.prior == "jobs" and job_state.learned_rates is None:
            load_prior()  # what it hands over is in the job's state from now on
        return {
            arm.name: ArmStudy(job, arm, job_state, storage, prior.get(arm.name, ()))
            for arm in job.arms
        }
    except GatesearchError:
        raise
    except Exception as error:  # Optuna trusts its records: a fault of theirs can become any
        if not groups:
            raise
        rule = "the journal's records of Optuna's must be as they were written"
        fault = f"{type(error).__name__}: {show(str(error))}"
        raise JournalError(f"{journal.place}: {rule} ({fault}). {REMEDY}") from error
