"""The arms' Optuna studies, kept in the job's journal. The only place that decides with Optuna.

How a trial's end is told to Optuna, and why:

    complete    COMPLETE, with the best validation value over all its epochs
    pruned      PRUNED; Optuna ranks it by the step that it reached and its value there
    diverged    PRUNED as well: the sampler learns to stay away, and a value is never NaN
    failed      FAIL: the configuration is not to blame, so samplers ignore it
"""

import importlib
import warnings
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from search.job import JobSpec
from search.job_file import SAMPLERS, Hyperband, SuccessiveHalving
from search.job_file import MedianPruner as Median
from search.job_file import PatientPruner as Patient
from search.journal import BaseJournal, Group
from search.ledger import Ledger
from search.record import State
from search.seeds import derive_seed
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.domains import Choices, Domain, Range
from spaces.errors import InputError
from spaces.tasks import Direction

optuna.logging.set_verbosity(optuna.logging.WARNING)

WIDE = 64  #: integer ranges from this width on are drawn as reals

_TOLD: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


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
        self, job: JobSpec, arm: Arm, direction: Direction, storage: JournalStorage
    ) -> None:
        self._job = job
        self._arm = arm
        self._storage = storage
        self._pruner = make_pruner(job)
        self._study = optuna.create_study(
            study_name=f"{job.name}/{arm.name}",
            storage=storage,
            direction=direction,
            pruner=self._pruner,
            load_if_exists=True,
        )
        self._id = storage.get_study_id_from_name(self._study.study_name)

    def ask(self, number: int, *, control: bool) -> TrialConfig:
        """Open trial `number` and return its configuration; control trials are drawn at random."""
        seed = derive_seed(self._job.search.seed, self._arm.name, number)
        self._study.sampler = RandomSampler(seed=seed) if control else make_sampler(self._job, seed)
        trial = self._study.ask()
        assert trial.number == number, (trial.number, number)

        return self._arm.configure(lambda name, domain: _suggest(trial, name, domain))

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Store an intermediate value; return whether the pruner would stop the trial there."""
        trial_id = self._trial_id(number)
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        return self._pruner.prune(self._study, self._storage.get_trial(trial_id))

    def tell(self, number: int, state: State, value: float | None) -> None:
        """Close a trial as the table above says; telling it twice changes nothing."""
        trial_id = self._trial_id(number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return
        values = [value] if state == "complete" and value is not None else None
        self._storage.set_trial_state_values(trial_id, _TOLD[state], values)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def open_studies(
    job: JobSpec, ledger: Ledger, journal: BaseJournal, history: Sequence[Group]
) -> dict[str, ArmStudy]:
    """Return each arm's study, created where the journal does not have it yet."""
    assert ledger.info is not None
    storage = JournalStorage(JournalBackend(journal, history))
    direction = ledger.info.metric.direction
    return {arm.name: ArmStudy(job, arm, direction, storage) for arm in job.arms}


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    """Draw one value. Wide integer ranges are drawn as reals, which costs TPE 100 times less."""
    if isinstance(domain, Choices):
        return trial.suggest_categorical(name, domain.values)
    assert isinstance(domain, Range), domain
    low, high = domain.low, domain.high
    if not domain.integer:
        return trial.suggest_float(name, low, high, log=domain.log)
    if high - low < WIDE:
        return trial.suggest_int(name, int(low), int(high), log=domain.log)
    drawn = round(trial.suggest_float(name, low - 0.499, high + 0.499, log=domain.log))
    return min(max(drawn, int(low)), int(high))


def make_sampler(job: JobSpec, seed: int) -> BaseSampler:
    """Return the job's sampler for one suggestion. Raises InputError for an unknown one."""
    name = job.search.sampler
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "tpe":
        # A quarter of a small budget is explored at random, never more than Optuna's own 10.
        startup = min(10, max(3, (job.search.trials or 40) // 4))
        with warnings.catch_warnings():
            # Grouping (needed where the cell decides which parameters there are) is experimental.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                n_startup_trials=startup,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )
    return _named_sampler(SAMPLERS.get(name, name), seed)


def _named_sampler(name: str, seed: int) -> BaseSampler:
    """Return a sampler by its class's name in optuna.samplers, or by dotted name."""
    module, _, attribute = name.rpartition(".")
    remedy = "use tpe, random, gp, a class of optuna.samplers, or package.module.Class"
    try:
        cls = getattr(importlib.import_module(module or "optuna.samplers"), attribute)
    except (ImportError, AttributeError) as error:
        rule = f"there is no sampler {name!r}"
        raise InputError.of("search.sampler", rule, remedy) from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSampler)):
        raise InputError.of("search.sampler", f"{name!r} is not an Optuna sampler", remedy)
    try:
        return cls(seed=seed)  # type: ignore[call-arg]
    except (TypeError, ImportError) as error:
        rule = f"the sampler {name!r} cannot be made with a seed alone: {error}"
        raise InputError.of("search.sampler", rule, remedy) from error


def make_pruner(job: JobSpec) -> BasePruner:
    """Return the pruner of the job, for one arm."""
    match job.search.pruner:
        case SuccessiveHalving(min_epochs=first, reduction=reduction):
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=reduction)
        case Hyperband(min_epochs=first, reduction=reduction):
            last = job.training.max_epochs
            return HyperbandPruner(first, last, reduction_factor=reduction)
        case Median(min_epochs=first):
            return MedianPruner(n_warmup_steps=first - 1)
        case Patient(patience=patience):
            return PatientPruner(None, patience=patience)
    return NopPruner()


def rungs(job: JobSpec) -> list[int] | None:
    """Return the epochs at which the pruner may stop a trial; None means after every one."""
    match job.search.pruner:
        case (
            SuccessiveHalving(min_epochs=rung, reduction=reduction)
            | Hyperband(min_epochs=rung, reduction=reduction)
        ):
            epochs = []
            while rung < job.training.max_epochs:
                epochs.append(rung)
                rung *= reduction
            return epochs
        case Median() | Patient():
            return None
    return []
