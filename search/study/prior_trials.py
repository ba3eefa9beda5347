"""What a warm start hands over: trials of a former job, kept in studies of their own."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, create_trial

from search.job.spec import JobSpec
from search.journal.replay import JobState
from search.study.optuna_compat import END_STATES, LATENCY
from search.study.sampling import repeat
from spaces.arms import Arm


@dataclass(frozen=True)
class PriorTrial:
    """What a sampler can learn from one trial of a former job."""

    answers: dict[str, Any]  #: to the questions of the new arm
    state: Literal["complete", "pruned"]
    value: float | None  #: the best value of a complete trial
    last: tuple[int, float] | None  #: the last epoch, and the value there
    latency_ms: float | None = None  #: where the former job measured it


PriorTrials = Callable[
    [], dict[str, list[PriorTrial]]
]  #: by arm; called where there is no copy yet


def prior_trials_of(
    job: JobSpec, job_state: JobState, storage: JournalStorage, former: PriorTrials
) -> dict[str, list[FrozenTrial]]:
    """Return the former job's trials by arm, from studies of their own, which are made at first.

    Their numbers are below 0, so that they come before the arm's own and are none of them.
    """
    assert job_state.info is not None
    direction = job_state.info.metric.direction
    names = {arm.name: f"{job.name}/{arm.name}@{job.search.warm_start}" for arm in job.arms}
    known = {study.study_name for study in storage.get_all_studies()}
    found = former() if not known >= set(names.values()) else {}
    kept = {}
    for arm in job.arms:
        name = names[arm.name]
        study = optuna.create_study(
            study_name=name, storage=storage, direction=direction, load_if_exists=True
        )
        if name not in known:
            limit = job.search.constraints.latency_ms
            study.add_trials(_stored(arm, trial, limit) for trial in found.get(arm.name, ()))
        trials = [copy(trial) for trial in study.get_trials(deepcopy=False)]
        for trial in trials:
            trial.number -= len(trials)
        kept[arm.name] = trials
    return kept


def _stored(arm: Arm, trial: PriorTrial, limit: float | None) -> FrozenTrial:
    drawn = repeat(arm, trial.answers)
    attributes = {}
    if limit is not None:  # what was not measured is taken to be neither fast nor slow
        attributes[LATENCY] = 0.0 if trial.latency_ms is None else trial.latency_ms - limit
    return create_trial(
        state=END_STATES[trial.state],
        value=trial.value,
        params=drawn.values,
        distributions=drawn.distributions,
        intermediate_values=dict([trial.last]) if trial.last is not None else {},
        system_attrs=attributes,
    )
