"""A job's folder: the names of its files, the stored job file, and the place of its checkpoints."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from search.job.commands import command
from search.job.origin import base_of, with_origin
from search.job.spec import JobSpec
from spaces.errors import InputError
from trainables.checkpoints.base import Store
from trainables.checkpoints.local import LocalStore
from trainables.checkpoints.open import open_store
from trainables.files import is_inside, replace_file

JOB_FILE = "job.yaml"  #: as the user wrote it, below a line that says where it came from
JOURNAL = "job.journal"  #: what happened, unless the job's journal is in a database
CHECKPOINTS = "checkpoints"  #: of trials, unless they are in an object store
RESULTS = "results.parquet"  #: written from the journal at the end, as the next three
VERDICT = "verdict.json"
REPORT = "report.html"
BEST = "best"  #: the exported best configuration
MODELS = "models"  #: that of each arm, in a folder of the arm's name
TABLES = "tables"  #: the report's tables as CSV

_OWNER = ".gatesearch-job"  # in a folder of checkpoints elsewhere: the id of the job whose it is
_LONGEST = 60  # characters of a value that a difference quotes
_SHOWN = 3  # differences that a message lists


def has_job(folder: Path) -> bool:
    """Return whether a folder has a stored job file; a link that leads out of it is none."""
    return is_inside(folder / JOB_FILE, folder)


def store_job(folder: Path, job: JobSpec, name: str) -> None:
    """Store a job file in a folder, which is made if need be. It is on disk on return.

    What is stored is the text that was checked: to read a file again may give another one, and to
    read a pipe again gives nothing. name: the file's. Relative paths start from the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / JOB_FILE, with_origin(job.text, job.base / name))


def stored_job(folder: Path) -> JobSpec:
    """Return the job of a folder. Raises InputError where there is none."""
    file = folder / JOB_FILE
    if not has_job(folder):
        remedy = "`gatesearch run JOB.yaml` starts a job; --root says where jobs are"
        raise InputError.of(str(folder), f"the folder must hold a job ({JOB_FILE})", remedy)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        rule = f"the stored job file must be UTF-8 text; byte {error.start + 1} is not"
        raise InputError.of(str(file), rule, "restore it from a copy") from None
    return JobSpec.loads(text, str(file), base=base_of(file, text))


def check_unused(folder: Path) -> None:
    """Raise InputError where a folder that holds no job has files that a job would replace."""
    for name in () if os.path.lexists(folder / JOURNAL) else (RESULTS, VERDICT, REPORT):
        if os.path.lexists(folder / name):
            rule = f"a new job's folder must not hold a {name}, which the job would replace"
            remedy = "move it away, or choose another name or another --root"
            raise InputError.of(str(folder), rule, remedy)


def claim_checkpoints(folder: Path, job_id: str, *, begun: bool) -> None:
    """Make the folder of a job's checkpoints, or mark as the job's the one that a link leads to.

    begun: whether the job has checkpoints already. Raises InputError where the folder is another
    job's, since two would replace each other's checkpoints.
    """
    place = folder / CHECKPOINTS
    try:
        place.mkdir(exist_ok=True)
        if not place.is_symlink():
            return
        mark = place / _OWNER
        unclaimed = begun or not LocalStore(place).names()
        if unclaimed and not os.path.lexists(mark):
            replace_file(mark, job_id.encode())
    except OSError as error:
        rule = f"must be a folder, or a link to one, that you may write to ({error.strerror})"
        remedy = "make the folder that it leads to, or remove the link"
        raise InputError.of(str(place), rule, remedy) from error
    check_own_checkpoints(folder, job_id)


def check_own_checkpoints(folder: Path, job_id: str) -> None:
    """Raise InputError where a job's checkpoints are a link to a folder not marked as its own."""
    place = folder / CHECKPOINTS
    mark = place / _OWNER
    try:
        owned = not place.is_symlink() or (is_inside(mark, place) and mark.read_text() == job_id)
    except (OSError, RuntimeError, UnicodeDecodeError):  # a link to itself, for one
        owned = False
    if not owned:
        rule = "must lead to a folder of this job's own"
        with suppress(OSError, RuntimeError):
            rule = f"{rule}, and {place.resolve()} is another job's"
        raise InputError.of(str(place), rule, "let it lead to an empty folder")


def check_same_job(folder: Path, job: JobSpec) -> None:
    """Raise InputError, with the first differences, where a folder holds another job.

    How much it may store may change.
    """
    before, now = stored_job(folder).dump(), job.dump()
    before["storage"]["limit_gb"] = now["storage"]["limit_gb"]
    found = differences(before, now)
    if found:
        shown = "; ".join(found[:_SHOWN]) + ("; ..." if len(found) > _SHOWN else "")
        raise InputError.of(
            str(folder / JOB_FILE),
            f"job {job.name!r} must be the one that is stored here: {shown}",
            f"choose another name, or another --root; `{command('extend', folder)}` adds budget",
        )


def differences(before: Any, now: Any, place: str = "") -> list[str]:
    """Return where two plain structures differ, as "training.max_epochs was 27 and is 20"."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        below = f"{place}." if place else ""
        return [
            text
            for key in keys
            for text in differences(before.get(key), now.get(key), f"{below}{key}")
        ]
    return [] if before == now else [f"{place} was {_brief(before)} and is {_brief(now)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def checkpoint_place(job: JobSpec, folder: Path, job_id: str) -> str:
    """Return the folder or the s3:// URL of a job's checkpoints, for open_store."""
    if job.storage.checkpoints is None:
        return str(folder / CHECKPOINTS)
    return f"{job.storage.checkpoints.rstrip('/')}/{job.name}-{job_id}"


def checkpoint_store(job: JobSpec, folder: Path, job_id: str) -> Store:
    """Return the store of a job's checkpoints."""
    return open_store(checkpoint_place(job, folder, job_id))
