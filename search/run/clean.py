"""Removes what a job needs no more: checkpoints, and drafts that killed writers have left."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.job.folder import (
    BEST,
    CHECKPOINTS,
    JOB_FILE,
    MODELS,
    REPORT,
    RESULTS,
    TABLES,
    VERDICT,
    check_own_checkpoints,
    checkpoint_store,
    stored_job,
)
from search.job.spec import JobSpec
from search.journal.base import JournalBusyError
from search.journal.open import check, open_journal, open_reader
from search.journal.replay import JobState
from search.results.format import plural
from search.results.read import NotBegunError
from search.run.confirmation import Confirmation
from search.run.retention import Retention
from spaces.errors import GatesearchError
from spaces.text import readable
from trainables.checkpoints.base import Cleaned
from trainables.files import remove_stale_drafts
from trainables.scratch import remove_stale_folders


def clean_jobs(
    folders: Sequence[Path], keep_best: int | None = None, *, dry_run: bool = False
) -> Iterator[str]:
    """Clean jobs one after the other, see `clean`, and yield a sentence for each.

    One that runs or has not begun is left alone. One that cannot be cleaned keeps no other from it.
    Raises GatesearchError at the end, with what stood in the way of each.
    """
    refused: list[GatesearchError] = []
    for folder in folders:
        try:
            yield clean_job(folder, keep_best, dry_run=dry_run)
        except JournalBusyError:
            yield f"{folder.name}: it runs, and is left alone."
        except NotBegunError:
            yield f"{folder.name}: it has not begun; there is nothing to remove."
        except GatesearchError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        left = "\n".join(str(error) for error in refused)
        raise GatesearchError(f"{len(refused)} jobs were left as they are.\n{left}")


def clean_job(folder: Path, keep_best: int | None = None, *, dry_run: bool = False) -> str:
    """Clean one job, see `clean`, and return what was done in a sentence."""
    cleaned = clean(folder, keep_best, dry_run=dry_run)
    return f"{folder.name}: {_sentence(cleaned, dry_run=dry_run)}"


def clean(folder: Path, keep_best: int | None = None, *, dry_run: bool = False) -> Cleaned:
    """Remove what the job in a folder needs no more; doing it again removes nothing more.

    keep_best: how many trials of an arm keep their weights; by default as the job file says.
    dry_run: remove nothing, and return what would go.

    The journal decides, and is held meanwhile. Raises JournalBusyError where the job is at work,
    NotBegunError before its first trial, InputError where its checkpoints are not its own.
    """
    job = stored_job(folder)
    check(job)
    if not open_reader(folder).exists():
        rule = "the job must have begun; it has no journal"
        raise NotBegunError.of(str(folder), rule, "there is nothing to clean")
    state = JobState(keep_curves=False)
    with open_journal(job, folder) as journal:
        state.apply_all(journal.take_history())
        if state.info is None:
            rule = "the job must have begun; its journal is empty"
            raise NotBegunError.of(str(folder), rule, "there is nothing to clean")
        job = state.as_begun(job, state.info, journal.place)
        limit = job.storage.keep_best if keep_best is None else keep_best
        kept = Retention(job, state, Confirmation(job, state), limit).kept()
        if not dry_run:
            for name in (JOB_FILE, RESULTS, VERDICT, REPORT, BEST, MODELS, TABLES):
                remove_stale_drafts(folder / name)
            remove_stale_folders()
        return _clean_checkpoints(job, folder, state.job_id, kept, dry_run=dry_run)


def _clean_checkpoints(
    job: JobSpec, folder: Path, job_id: str, kept: set[str], *, dry_run: bool
) -> Cleaned:
    if job.storage.checkpoints is None:
        if not os.path.lexists(folder / CHECKPOINTS):
            return Cleaned(0, 0, 0, 0)
        check_own_checkpoints(folder, job_id)
    return checkpoint_store(job, folder, job_id).clean(kept, dry_run=dry_run)


def _sentence(cleaned: Cleaned, *, dry_run: bool) -> str:
    """Return what was removed, or would be, and what stays, in one sentence."""
    removed = f"{plural(cleaned.removed, 'checkpoint')} ({readable(cleaned.removed_bytes)})"
    kept = f"{cleaned.kept:,} ({readable(cleaned.kept_bytes)})"
    if dry_run:
        return f"{removed} would be removed; {kept} would be kept."
    return f"{removed} removed; {kept} kept."
