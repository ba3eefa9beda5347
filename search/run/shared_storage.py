"""Jobs that lie in a database and an object store: found by name, from any machine.

    $GATESEARCH_STORAGE     postgresql://user@host/database with the journals of a team's jobs

Such a job gets a folder on this machine, with its job.yaml alone: that says where the rest is. Its
results are put beside its checkpoints when it ends:

    s3://bucket/prefix/<name>-<job id>/results/
        manifest.json           which of the following are the results
        <random>/report.html, results.parquet, verdict.json, best/
"""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from search.environment import STORAGE
from search.export.folder import FILES, replacing_export
from search.job.folder import (
    BEST,
    JOB_FILE,
    REPORT,
    RESULTS,
    VERDICT,
    checkpoint_place,
    has_job,
    store_job,
    stored_job,
)
from search.job.spec import JobSpec
from search.job.urls import url_fault
from search.journal.base import JournalError
from search.journal.replay import JobState
from search.results.read import read_results
from search.tracking.followed import job_id_in
from spaces.errors import InputError
from trainables.checkpoints.base import CheckpointError, StoreError
from trainables.files import is_inside, replace_file, write_new

if TYPE_CHECKING:
    from trainables.checkpoints.s3 import S3Store

_RESULTS = "results"  # what a store calls them, beside checkpoints
#: The last one is the mark of a folder that has all of them; see job_folder.whole_folder.
_PLAIN = (RESULTS, REPORT, VERDICT)


def shared_folder(name: str, root: Path) -> Path | None:
    """Return the folder below a root of a job in the database, made if need be.

    None where the variable is not set, or the database has no such job. Raises InputError where it
    cannot be read, or the root has another job of that name.
    """
    if (url := _url()) is None or (state := _state(url, name)) is None:
        return None
    folder = root / name
    if has_job(folder):
        if job_id_in(folder) != state.job_id:
            rule = f"must be the job {name} that is in the database of {STORAGE}, or not be there"
            raise InputError.of(str(folder), rule, "move it away, or give another --root")
        return folder
    assert state.spec is not None
    job = JobSpec.recorded(state.spec, Path(state.base))
    if job.name != name:
        rule = f"the journal of {name} must be that of a job of this name, not of {job.name}"
        raise InputError.of(STORAGE, rule, "restore the database from a backup")
    try:
        if _as_written(state, url):
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(folder / JOB_FILE, str(state.file).encode())
        else:
            dump = job.dump()
            moved = {**dump, "storage": {**dump["storage"], "study": url}}
            store_job(folder, JobSpec.from_dump(moved, job.base), JOB_FILE)
    except OSError as error:
        rule = f"must be a folder that you may make ({error.strerror})"
        raise InputError.of(str(folder), rule, "give another --root") from error
    return folder


def shared_names() -> list[str]:
    """Return the names of the jobs in the database; none where there is no database."""
    from search.journal.postgres import job_names

    if (url := _url()) is None:
        return []
    try:
        return job_names(url)
    except JournalError as error:
        raise _unreadable(error) from error


def fetch_shared(name: str, root: Path) -> Path | None:
    """Bring a job's results to a folder below a root; None where `shared_folder` has none.

    Where no results are stored yet, they are written from the journal, without an export. Raises
    InputError, also where the store cannot be read.
    """
    if (folder := shared_folder(name, root)) is None:
        return None
    if not bring_results(folder):
        from search.report.files import write_files

        write_files(read_results(folder))
    return folder


def bring_results(folder: Path) -> bool:
    """Bring what the end of a folder's job has put into its store; return whether it has.

    Raises InputError where the journal or the store cannot be read.
    """
    if stored_job(folder).storage.checkpoints is None:
        return False
    found = read_results(folder)
    try:
        stored = _store(found.job, folder, found.job_id).get(_RESULTS)
    except (StoreError, CheckpointError) as error:
        rule = f"the job's results must be readable: {error}"
        raise InputError.of(folder.name, rule, "see to the store, then try again") from error
    if stored is None:
        return False
    best = {file: stored[f"{BEST}/{file}"] for file in FILES if f"{BEST}/{file}" in stored}
    if best:
        with replacing_export(folder / BEST) as draft:
            for file, content in best.items():
                write_new(draft / file, content)
    for file in _PLAIN:
        if file in stored:
            replace_file(folder / file, stored[file])
    return True


def publish_results(job: JobSpec, folder: Path, job_id: str) -> None:
    """Put what a job's end has written into its store, if it has one: all of it or nothing.

    Raises StoreError where the store does not take it; the job resumes with it.
    """
    if job.storage.checkpoints is not None:
        try:
            _store(job, folder, job_id).put(_RESULTS, dict(_written(folder)))
        except StoreError as error:
            text = f"{error}. Nothing is lost: see to it, then resume the job."
            raise StoreError(text) from error


def _written(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in (*_PLAIN, *(f"{BEST}/{file}" for file in FILES)):
        if is_inside(folder / name, folder):
            yield name, (folder / name).read_bytes()


def _store(job: JobSpec, folder: Path, job_id: str) -> "S3Store":
    from trainables.checkpoints.s3 import S3Store  # boto3 takes long to import

    return S3Store(checkpoint_place(job, folder, job_id))


def _url() -> str | None:
    if not (url := os.environ.get(STORAGE)):
        return None
    if (fault := url_fault(url, "postgresql")) is not None:
        raise InputError.of(STORAGE, fault.rule, fault.remedy.replace("or null", "or unset it"))
    return url


def _state(url: str, name: str) -> JobState | None:
    """Return what a job's records of itself make; None where the database has none.

    The last one counts: its limit may have been changed.
    """
    from search.journal.postgres import PostgresReader

    state = JobState(keep_curves=False)
    try:
        with closing(PostgresReader(url, name)) as reader:
            for group in reader.groups():
                state.apply_all([[one for one in group if one.get("record") in ("job", "driver")]])
    except JournalError as error:
        raise _unreadable(error) from error
    return state if state.spec is not None and state.job_id else None


def _unreadable(error: JournalError) -> InputError:
    from search.journal.postgres_connection import remedy_of

    return InputError.of(STORAGE, str(error), remedy_of(str(error), "see the message"))


def _as_written(state: JobState, url: str) -> bool:
    """Return whether the job.yaml that the journal has leads back to its database."""
    try:
        return state.file is not None and JobSpec.loads(state.file).storage.study == url
    except InputError:  # of a version with other rules
        return False
