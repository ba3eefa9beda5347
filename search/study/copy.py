"""A job's studies as a stock storage of Optuna's, for tools that read one: optuna-dashboard.

One study for each arm, named JOB/ARM, with every trial of its search: parameters, distributions,
intermediate values, states as search/study/arm_study.py says, and as user attributes what Optuna
has no place for.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import FrozenTrial

from search.job.spec import JobSpec
from search.journal.base import Group, JournalError
from search.journal.open import open_reader
from search.journal.replay import JobState, trial_key
from search.journal.replay import TrialState as OwnState
from search.study.journal_backend import ReadOnlyBackend
from search.study.optuna_compat import insert_trials
from spaces.errors import InputError
from spaces.text import show
from trainables.files import draft_file, named, remove_stale_drafts, sync_folder

optuna.logging.set_verbosity(optuna.logging.WARNING)

SCHEME = "sqlite:///"


def copy_studies(folder: Path, url: str) -> dict[str, int]:
    """Write the studies of the job in a folder to a new file; return their trials by study name.

    url: sqlite:///FILE. The file is there whole or not at all. Raises InputError where it exists
    or cannot be written, and where the folder has no job that has begun.
    """
    target = _target(url)
    job, job_state, studies = _read(folder)
    remove_stale_drafts(target)
    with named(target), draft_file(target) as (draft, handle):
        counted = _write(draft, job, job_state, studies)
        os.fsync(handle)
        try:
            os.link(draft, target)
        except FileExistsError:
            raise _exists(target) from None
        sync_folder(target.parent)
    return counted


def _target(url: str) -> Path:
    """Return the file that a URL names. Raises InputError for another form, and where it exists."""
    path = Path(url.removeprefix(SCHEME)).expanduser()
    if not url.startswith(SCHEME) or not path.name or any(mark in url for mark in "?#"):
        rule = f"must be sqlite:///FILE, not {show(url)}"
        raise InputError.of("--to", rule, "give sqlite:///studies.db, or sqlite:////from/the/top")
    path = path.absolute()
    if not path.parent.is_dir():
        rule = f"the folder {path.parent} must exist"
        raise InputError.of("--to", rule, "make it first, or give another file")
    if os.path.lexists(path):
        raise _exists(path)
    return path


def _exists(path: Path) -> InputError:
    rule = f"{path} must not exist yet"
    return InputError.of("--to", rule, "remove it, or give another file")


def _read(folder: Path) -> tuple[JobSpec, JobState, dict[str, list[FrozenTrial]]]:
    """Return a job, its state, and the trials of each arm's study as its journal has them."""
    groups: list[Group] = []
    job_state = JobState()
    try:
        for group in open_reader(folder).groups():
            job_state.apply_all([group])
            groups.append(group)
        if job_state.spec is None or job_state.info is None:
            rule, remedy = "the job must have begun its first trial", "try again later"
            raise InputError.of(str(folder), rule, remedy)
        job = JobSpec.recorded(job_state.spec, Path(job_state.base))
        job_state.check_arms(job)
    except JournalError as error:
        raise InputError.of(str(folder), str(error), "see the message") from error
    try:
        storage = JournalStorage(ReadOnlyBackend(groups))
        names = set(optuna.get_all_study_names(storage))
        studies = {
            arm.name: optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
            for arm in job.arms
            if (name := f"{job.name}/{arm.name}") in names
        }
    except Exception as error:  # Optuna trusts its records: a fault of theirs can become any
        rule = f"the journal's records of Optuna's must be as they were written ({error!s:.200})"
        raise InputError.of(str(folder), rule, "restore the journal from a copy") from error
    return job, job_state, studies


def _write(
    draft: Path, job: JobSpec, job_state: JobState, studies: dict[str, list[FrozenTrial]]
) -> dict[str, int]:
    """Write the studies into an empty file."""
    assert job_state.info is not None
    direction = job_state.info.metric.direction
    counted = {}
    options = {"creator": lambda: _connected(draft)}
    storage = RDBStorage(f"{SCHEME}{draft}", engine_kwargs=options)
    try:
        for arm, trials in studies.items():
            study = optuna.create_study(
                study_name=f"{job.name}/{arm}", storage=storage, direction=direction
            )
            study.set_user_attr("job", job.name)
            study.set_user_attr("metric", job_state.info.metric.name)
            study.set_user_attr("task", job_state.info.name)
            study.set_user_attr("arm", arm)
            insert_trials(storage, study.study_name, list(_copies(arm, trials, job_state)))
            counted[study.study_name] = len(trials)
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return counted


def _connected(path: Path) -> sqlite3.Connection:
    """Connect without waiting for the disk at each trial: the draft counts once it is whole."""
    connection = sqlite3.connect(path, check_same_thread=False)
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA journal_mode = MEMORY")
    return connection


def _copies(arm: str, trials: list[FrozenTrial], job_state: JobState) -> Iterator[FrozenTrial]:
    for trial in trials:
        own = job_state.trials.get(trial_key("search", arm, trial.number))
        attributes = {**trial.user_attrs, **({} if own is None else _attributes(own))}
        yield FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=trial.state,
            value=None,
            values=trial.values,
            datetime_start=trial.datetime_start or _when(own),
            datetime_complete=trial.datetime_complete
            or (_when(own, last=True) if trial.state.is_finished() else None),
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )


def _when(own: OwnState | None, *, last: bool = False) -> datetime:
    """Return when a trial's first or last epoch ended, where Optuna was not told when it began."""
    times = [epoch.time for epoch in own.curve if epoch.time] if own else []
    return datetime.fromtimestamp(times[-1 if last else 0] / 1000 if times else 0)


def _attributes(own: OwnState) -> dict[str, Any]:
    """Return what Optuna has no place for, in plain JSON types."""
    found = {
        "state": "paused" if own.paused else own.state,
        "control": own.control,
        "cell": own.config.cell,
        "gates": own.config.gates,
        "parameters": own.parameters,
        "epochs": own.epoch,
        "seconds": round(own.seconds, 3),
        "seed": own.seed,
        "reason": own.reason,
    }
    return {name: value for name, value in found.items() if value is not None}
