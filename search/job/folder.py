"""A job's folder: the names of its files, the stored job file, and the place of its checkpoints."""

import json
from pathlib import Path
from typing import Any

from search.job.commands import command
from search.job.spec import JobSpec
from search.job.yaml_lines import read_text
from spaces.errors import InputError
from trainables.checkpoints.base import Store
from trainables.checkpoints.open import open_store
from trainables.files import replace_file

JOB_FILE = "job.yaml"  #: as the user wrote it, below a line that says where it came from
JOURNAL = "job.journal"  #: what happened, unless the job's journal is in a database
CHECKPOINTS = "checkpoints"  #: of trials, unless they are in an object store
RESULTS = "results.parquet"  #: written from the journal at the end, as the next two
REPORT = "report.html"
BEST = "best"  #: the exported best configuration

_ORIGIN = "# gatesearch job file from "
_LONGEST = 60  # characters of a value that a difference quotes
_SHOWN = 3  # differences that a message lists


def has_job(folder: Path) -> bool:
    """Return whether a folder has a stored job file."""
    return (folder / JOB_FILE).is_file()


def store_job(folder: Path, source: Path) -> None:
    """Store a job file in a folder, which is made if need be. It is on disk on return.

    Relative paths in the stored file start, as before, from the folder of `source`.
    """
    text = read_text(source)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / JOB_FILE, f"{_ORIGIN}{source.resolve()}\n{text}".encode())


def stored_job(folder: Path) -> JobSpec:
    """Return the job of a folder. Raises InputError where there is none."""
    file = folder / JOB_FILE
    if not file.is_file():
        remedy = "`gatesearch run JOB.yaml` starts a job; --root says where jobs are"
        raise InputError.of(str(folder), f"the folder must hold a job ({JOB_FILE})", remedy)
    text = file.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    origin = Path(first.removeprefix(_ORIGIN)) if first.startswith(_ORIGIN) else file
    return JobSpec.loads(text, str(file), base=origin.parent)


def check_same_job(folder: Path, job: JobSpec) -> None:
    """Raise InputError, with the first differences, where a folder holds another job."""
    found = differences(stored_job(folder).dump(), job.dump())
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
