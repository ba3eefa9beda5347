"""What a job has found so far, read from its journal; safe to use while the job runs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from search.job.spec import JobSpec
from search.journal.at_work import is_driver_at_work
from search.journal.base import JournalAwayError, JournalError
from search.journal.open import open_reader
from search.journal.replay import JobState
from search.journal.trial import TrialResult
from search.journal.warm_start import LearnedRates, WarmStart
from search.results import ranking
from search.results.format import full_storage
from search.results.ranking import Candidate
from search.tracking.state import MirrorState, mirror_state
from spaces.errors import InputError
from spaces.tasks import TaskInfo
from trainables.data.baselines import Baseline


class NotBegunError(InputError):
    """A folder has no job, or one that has not begun its first trial."""


@dataclass(frozen=True)
class Results:
    """All trials of a job and what is needed to understand them."""

    folder: Path
    job: JobSpec
    info: TaskInfo
    trials: list[TrialResult]
    phase: str  #: search, confirm, report or done
    job_id: str = ""  #: identifies the job among others of its name
    warm_start: WarmStart | None = None  #: what the journal says of a warm start
    learned_rates: LearnedRates | None = None  #: what it says of former jobs' learning rates
    baselines: tuple[Baseline, ...] = ()  #: what is reached without a model, if it was recorded
    mlflow: str | None = None  #: where a server shows its runs, if the job names one
    full: str | None = None  #: why it ended, where that was for want of room
    job_file: str | None = None  #: the job.yaml, where the journal has it
    driven: bool = True  #: False where its driver was a process of this machine and has gone

    @cached_property
    def search(self) -> list[TrialResult]:
        """The trials of the search phase."""
        return [trial for trial in self.trials if trial.phase == "search"]

    @cached_property
    def confirm(self) -> list[TrialResult]:
        """The replicates of the finalists."""
        return [trial for trial in self.trials if trial.phase == "confirm"]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names in the order of the job file."""
        return tuple(arm.name for arm in self.job.arms)

    @property
    def finished(self) -> bool:
        """Whether every trial that was asked for has ended."""
        return self.phase in ("report", "done")

    @property
    def test_baselines(self) -> dict[str, float]:
        """What is reached on test data without a model, in the job's metric, by name.

        Empty where an earlier version ran the job. The best that can be reached is metric.ceiling.
        """
        name = self.info.metric.name
        return {each.name: each.test[name] for each in self.baselines if name in each.test}

    @property
    def test_sequences(self) -> int | None:
        """How many sequences the one test part of all replicates has; None where unknown.

        None too in design nested, where each replicate has a test part of its own.
        """
        if self.job.confirm.design == "nested" or not self.baselines:
            return None
        return self.baselines[0].test_sequences

    @property
    def test_to_train(self) -> float | None:
        """Sequences of an outer test part over those that its search learns from, in design nested.

        None in others, whose test part stays, and where splits share no data or sizes are unknown.
        """
        if self.job.confirm.design != "nested" or not self.baselines:
            return None
        test, train = self.baselines[0].test_sequences, self.baselines[0].search_sequences
        return None if test is None or train is None else test / train

    def ranked(self, arm: str | None = None) -> list[TrialResult]:
        """Return the complete search trials of one arm or of all, by search rank."""
        return ranking.ranked(self.info.metric, self.of_arm(arm))

    def candidates(self, arm: str | None = None) -> list[Candidate]:
        """Return the complete search trials of one arm or of all: an arm's leader comes first."""
        return ranking.candidates(self.info.metric, self.of_arm(arm))

    def best(self, arm: str | None = None) -> TrialResult | None:
        """Return the best complete search trial of an arm or of all, or None."""
        return next(iter(self.ranked(arm)), None)

    def of_arm(self, arm: str | None) -> list[TrialResult]:
        """Return the trials of one arm or of all, of both phases."""
        return [trial for trial in self.trials if arm is None or trial.arm == arm]


def read_results(folder: Path, *, patience: float = 0.0) -> Results:
    """Return the results in a job's folder. Raises InputError where there is no readable job.

    patience: seconds to wait for a journal's database that is away.
    """
    job, job_state = read_state(folder, patience=patience)
    return results_of(folder, job, job_state)


def results_of(folder: Path, job: JobSpec, job_state: JobState) -> Results:
    """Return the results that a journal adds up to. job_state: of a job that has begun."""
    assert job_state.info is not None
    mirrored = mirror_state(folder)
    if not mirrored.runs and job_state.runs is not None:
        mirrored = MirrorState(**job_state.runs)
    ids = mirrored.runs
    metric = job_state.info.metric
    return Results(
        folder=folder,
        job=job,
        info=job_state.info,
        trials=[trial.result(metric, ids.get(key)) for key, trial in job_state.trials.items()],
        phase=job_state.phase,
        job_id=job_state.job_id,
        warm_start=job_state.warm_start,
        learned_rates=job_state.learned_rates,
        baselines=job_state.baselines,
        full=None if job_state.full is None else full_storage(**job_state.full),
        job_file=job_state.file,
        driven=is_driver_at_work(job_state, folder),
        mlflow=mirrored.address("arms"),
    )


def read_state(folder: Path, *, patience: float = 0.0) -> tuple[JobSpec, JobState]:
    """Return the job in a folder as its journal has it, and the journal's sum; see read_results."""
    remedy = "name a job that was run here, or give the folder of its runs with --root"
    reader = open_reader(folder, patience=patience)
    job_state = JobState()
    try:
        if not reader.exists():
            raise NotBegunError.of(str(folder), "the folder must hold a job", remedy)
        job_state.apply_all(reader.groups())
    except JournalAwayError as error:
        from search.journal.postgres_connection import remedy_of  # only a database is away

        cure = remedy_of(str(error), "try again once it answers")
        raise InputError.of(str(folder), str(error), cure) from error
    except JournalError as error:
        raise InputError.of(str(folder), str(error), "see the message") from error
    if job_state.spec is None or job_state.info is None:
        raise NotBegunError.of(str(folder), "the job must have begun its first trial", remedy)
    job = JobSpec.recorded(job_state.spec, Path(job_state.base))
    try:
        job_state.check_arms(job)
    except JournalError as error:
        raise InputError.of(str(folder), str(error), "see the message") from error
    return job, job_state
