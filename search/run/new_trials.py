"""A new trial of the search, from the question what to try to the record that it begins."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from search.job.spec import JobSpec
from search.journal.replay import JobState, NewTrial, TrialState
from search.run.confirmation import Confirmation
from search.study.arm_study import ArmStudy
from search.study.samplers import QUICK
from search.study.seeds import derive_seed
from search.study.suggestions import Suggestion, begin, controls_before
from spaces.arms import Arm
from trainables.worker.messages import TrialAssignment


@dataclass(frozen=True)
class PendingTrial:
    """A new trial whose configuration is being suggested."""

    arm: str
    number: int
    control: bool
    suggestion: Future[Suggestion]


def ask(job: JobSpec, arm: Arm, number: int, study: ArmStudy) -> PendingTrial:
    """Ask for an arm's next configuration: of a slow sampler, on a thread of its own.

    number: of the trial, which also says whether it is a control trial.
    """
    share = job.search.control_fraction
    control = controls_before(number + 1, share) > controls_before(number, share)
    suggest = study.prepare_suggestion(number, control=control)
    slow = not (control or job.search.sampler in QUICK)
    return PendingTrial(arm.name, number, control, begin(suggest, on_thread=slow))


def suggested(
    job: JobSpec, job_state: JobState, pending: PendingTrial, studies: Mapping[str, ArmStudy]
) -> NewTrial:
    """Start a pending trial in its study, once its configuration is suggested."""
    arm, number = pending.arm, pending.number
    config = studies[arm].start_trial(number, pending.suggestion.result())
    seed = job.training.seed
    if seed is None:
        alike = pending.control and job_state.common_controls
        of = "control" if alike else arm
        seed = derive_seed(job.search.seed, of, number, "training")
    return NewTrial("search", arm, number, config, seed, control=pending.control)


def assignment(
    trial: TrialState,
    generation: int,
    rungs: list[int] | None,
    confirmation: Confirmation,
    *,
    measure_latency: bool,
) -> TrialAssignment:
    """Return what a worker is told of a trial; rungs: epochs at which it reports, None for all."""
    return TrialAssignment(
        key=trial.key,
        generation=generation,
        config=trial.config,
        seed=trial.seed,
        rungs=rungs,
        checkpoints=list(trial.checkpoints),
        test=confirmation.tests(trial),
        split=confirmation.split(trial),
        measure_latency=measure_latency,
    )
