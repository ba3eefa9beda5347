"""Removes what a job needs no more: checkpoints, and drafts that killed writers have left."""

import os
from dataclasses import dataclass
from pathlib import Path

from search.job.folder import (
    BEST,
    CHECKPOINTS,
    JOB_FILE,
    REPORT,
    RESULTS,
    VERDICT,
    check_own_checkpoints,
    checkpoint_store,
    stored_job,
)
from search.job.spec import JobSpec
from search.journal.open import check, open_journal, open_reader
from search.journal.replay import JobState
from search.run.confirmation import Confirmation
from search.run.retention import Retention
from spaces.errors import InputError
from trainables.files import remove_stale_drafts
from trainables.scratch import remove_stale_folders


@dataclass(frozen=True)
class Cleaned:
    """How many checkpoints of a job have gone, and how many it keeps."""

    removed: int
    kept: int


def clean(folder: Path, keep_best: int | None = None) -> Cleaned:
    """Remove what the job in a folder needs no more; doing it again removes nothing more.

    keep_best: how many trials of an arm keep their weights; by default as the job file says.

    The journal decides, and is held meanwhile. Raises JournalError where the job is at work,
    InputError where there is no job, or its checkpoints are not its own.
    """
    job = stored_job(folder)
    check(job)
    if not open_reader(folder).exists():
        rule = "the job must have begun; it has no journal"
        raise InputError.of(str(folder), rule, "there is nothing to clean")
    state = JobState(keep_curves=False)
    with open_journal(job, folder) as journal:
        state.apply_all(journal.take_history())
        if state.info is None:
            rule = "the job must have begun; its journal is empty"
            raise InputError.of(str(folder), rule, "there is nothing to clean")
        job = state.as_begun(job, state.info, journal.place)
        limit = job.storage.keep_best if keep_best is None else keep_best
        kept = Retention(job, state, Confirmation(job, state), limit).kept()
        for name in (JOB_FILE, RESULTS, VERDICT, REPORT, BEST):
            remove_stale_drafts(folder / name)
        remove_stale_folders()
        return _clean_checkpoints(job, folder, state.job_id, kept)


def _clean_checkpoints(job: JobSpec, folder: Path, job_id: str, kept: set[str]) -> Cleaned:
    if job.storage.checkpoints is None:
        if not os.path.lexists(folder / CHECKPOINTS):
            return Cleaned(0, 0)
        check_own_checkpoints(folder, job_id)
    store = checkpoint_store(job, folder, job_id)
    before = len(store.names())
    store.clean(kept)
    after = len(store.names())
    return Cleaned(before - after, after)
