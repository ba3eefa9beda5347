"""What former jobs hand over; of a warm start, trials, stored in studies of their own.

They are copied into the journal when the job starts, so that a resume does not need the prior job.
Samplers learn from them; they are in no budget, no rung and no result.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.job.spec import JobSpec
from search.journal.replay import JobState
from search.journal.warm_start import LearnedRates
from search.study.optuna_compat import LATENCY_CONSTRAINT, StoredStudy, with_number
from search.study.sampling import repeat
from spaces.arms import Arm

DIVERGED = "diverged"  #: the attribute of stored trials that diverged


@dataclass(frozen=True)
class PriorTrial:
    """What a sampler can learn from one trial of a prior job."""

    answers: dict[str, Any]  #: to the questions of the new arm
    state: Literal["complete", "pruned", "diverged"]
    value: float | None  #: the best value of a complete trial
    last: tuple[int, float] | None  #: the last epoch, and the value there
    latency_ms: float | None = None  #: where the prior job measured it


@dataclass(frozen=True)
class Prior:
    """What former jobs hand over."""

    trials: dict[str, list[PriorTrial]] = field(default_factory=dict)  #: by arm, of a warm start
    #: Whether the job that it starts from may have trained on the new job's test data.
    may_have_seen_test: bool = False
    rates: LearnedRates | None = None  #: where the job asks for them


#: Returns what former jobs hand over; called where the journal does not hold it yet.
LoadPrior = Callable[[], Prior]


def prior_trials_of(
    job: JobSpec, job_state: JobState, storage: BaseStorage, load: LoadPrior
) -> dict[str, list[FrozenTrial]]:
    """Return the prior trials of each arm as Optuna has them; load and store them at first.

    Their numbers are below 0: they come before the arm's own trials and are distinct from them.
    """
    assert job_state.info is not None
    names = {arm.name: f"{job.name}/{arm.name}@{job.search.warm_start}" for arm in job.arms}
    stored = {study.study_name for study in storage.get_all_studies()}
    loaded = load().trials if not stored >= set(names.values()) else {}
    limit = job.search.constraints.latency_ms
    found = {}
    for arm in job.arms:
        name = names[arm.name]
        study = StoredStudy(storage, name, job_state.info.metric.direction)
        if name not in stored:
            study.study.add_trials(_as_optuna(arm, loaded.get(arm.name, ()), limit))
        trials = study.trials
        found[arm.name] = [with_number(trial, trial.number - len(trials)) for trial in trials]
    return found


def _as_optuna(
    arm: Arm, trials: Iterable[PriorTrial], latency_limit: float | None
) -> Iterable[FrozenTrial]:
    for trial in trials:
        sample = repeat(arm, trial.answers)
        attributes = {}
        if latency_limit is not None:  # a trial that was not measured counts as just fast enough
            excess = 0.0 if trial.latency_ms is None else trial.latency_ms - latency_limit
            attributes[LATENCY_CONSTRAINT] = excess
        yield create_trial(
            state=TrialState.COMPLETE if trial.state == "complete" else TrialState.PRUNED,
            value=trial.value,
            params=sample.values,
            distributions=sample.distributions,
            intermediate_values=dict([trial.last]) if trial.last is not None else {},
            user_attrs={DIVERGED: True} if trial.state == "diverged" else {},
            system_attrs=attributes,
        )
