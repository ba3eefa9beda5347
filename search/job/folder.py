"""A job's folder: the stored job file, and where journal and checkpoints are kept."""

import json
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from spaces.errors import InputError
from trainables.checkpoints.base import Store
from trainables.checkpoints.open import open_store

FROM = "# gatesearch job file from "
JOB_FILE = "job.yaml"
JOURNAL = "job.journal"
CHECKPOINTS = "checkpoints"


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
    return text if len(text) <= 60 else f"{text[:57]}..."


def stored(folder: Path) -> JobSpec:
    """Return the job of a folder. Raises InputError where there is none."""
    kept = folder / "job.yaml"
    if not kept.is_file():
        remedy = "`gatesearch run JOB.yaml` starts a job; --root says where jobs are"
        raise InputError.of(str(folder), "there is no job in this folder", remedy)
    text = kept.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    source = Path(first.removeprefix(FROM)) if first.startswith(FROM) else kept
    return JobSpec.loads(text, str(kept), base=source.parent)


def checkpoint_place(job: JobSpec, folder: Path, job_id: str) -> str:
    """Return the folder or the s3:// URL of a job's checkpoints, for open_store."""
    if job.storage.checkpoints is None:
        return str(folder / CHECKPOINTS)
    return f"{job.storage.checkpoints.rstrip('/')}/{job.name}-{job_id}"


def checkpoints(job: JobSpec, folder: Path, job_id: str) -> Store:
    """Return the store of a job's checkpoints."""
    return open_store(checkpoint_place(job, folder, job_id))
