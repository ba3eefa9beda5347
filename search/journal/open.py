"""Opens the storage that a job names, and checks that it can be used.

storage.study          job.journal in the folder, or postgresql://…
storage.checkpoints    checkpoints/ in the folder, or s3://bucket/prefix/<name>-<job id>
"""

from pathlib import Path

from search.job.folder import JOURNAL, has_job, stored_job
from search.job.spec import JobSpec
from search.journal.base import BaseJournal, BaseReader
from search.journal.file import FileJournal, FileReader
from spaces.fields import Fault


def check(job: JobSpec) -> None:
    """Raise InputError where a storage cannot be used. Makes nothing."""
    faults: list[Fault] = []
    if job.storage.study is not None:
        from search.journal import postgres_connection

        found = postgres_connection.faults(job.storage.study)
        faults += [fault.below("storage", "study") for fault in found]
    if job.storage.checkpoints is not None:
        from trainables.checkpoints.s3 import S3Store

        found = S3Store(job.storage.checkpoints).faults()
        faults += [fault.below("storage", "checkpoints") for fault in found]
    if faults:
        raise job.refusal(faults)


def open_journal(job: JobSpec, folder: Path) -> BaseJournal:
    """Open a job's journal for its driver. Raises JournalError."""
    if job.storage.study is None:
        return FileJournal(folder / JOURNAL)
    from search.journal.postgres import PostgresJournal

    return PostgresJournal(job.storage.study, job.name)


def open_reader(folder: Path, *, patience: float = 0.0) -> BaseReader:
    """Return a reader of the journal of the job in a folder.

    patience: seconds to wait for a database that is out of reach. Raises InputError where the
    folder's job.yaml cannot be read.
    """
    file = folder / JOURNAL
    if file.exists() or not has_job(folder):
        return FileReader(file)
    job = stored_job(folder)
    if job.storage.study is None:
        return FileReader(file)
    from search.journal.postgres import PostgresReader

    return PostgresReader(job.storage.study, job.name, patience=patience)
