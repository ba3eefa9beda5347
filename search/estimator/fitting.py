"""The job of a fit: its files in the job's folder, and its run in a process of its own.

    <root>/<name>/data-<12 hex digits>.npz   the sequences, named by their content
    <root>/<name>/fit.yaml                   the job file, as `gatesearch run` takes it
    <root>/<name>/fit.log                    what the command said, where it is not shown

Everything else in the folder is the job's own. A fit that was cut short goes on where it was when
the same is fitted again, and one that is done is read.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.job.folder import check_same_job, has_job
from search.job.spec import JobSpec
from search.job.yaml_text import write
from search.results.read import read_results
from search.run.child import call
from spaces.errors import GatesearchError, InputError
from trainables.data import tasks
from trainables.files import replace_file

Arrays = dict[str, NDArray[Any]]
_NOT_ALL = 1  # exit code, also of a job that is done where an arm has no complete trial
_SHOWN_LINES = 12  # of a log, where a job failed


def run(
    sections: dict[str, Any], arrays: Arrays, name: str | None, root: Path, *, quiet: bool
) -> Path:
    """Run a job to its end and return its folder.

    sections: the job file without name and data. arrays: as an .npz of own data has them. name:
    None is one that follows from all of them. Raises InputError where the job or its data break a
    rule, and GatesearchError where the job fails.
    """
    content = _npz(arrays)
    digest = hashlib.sha256(content).hexdigest()[:12]
    data = f"data-{digest}.npz"
    job_file = {**sections, "task": {**sections["task"], "data": data}}
    if name is None:
        whole = hashlib.sha256(write(job_file).encode()).hexdigest()[:12]
        name = f"{sections['task']['kind']}-{whole}"
    text = write({"name": name, **job_file})
    folder = root / name
    job = JobSpec.loads(text, "GateSearch", base=folder)
    if has_job(folder):
        check_same_job(folder, job)
        if read_results(folder).phase == "done":
            return folder
        _run(["resume", name], folder, quiet=quiet)
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        rule = f"root must be a folder in which a job's can be made ({error.strerror})"
        raise InputError.of(str(root), rule, "name another one") from error
    replace_file(folder / data, content)
    try:
        tasks.load(job.task, job.base)  # refuses data here, with its place, and not elsewhere
    except InputError:
        (folder / data).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    replace_file(folder / "fit.yaml", text.encode())
    _run(["run", str(folder / "fit.yaml")], folder, quiet=quiet)
    return folder


def _npz(arrays: Arrays) -> bytes:
    """Return an .npz: the same bytes for the same arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _run(arguments: list[str], folder: Path, *, quiet: bool) -> None:
    log = folder / "fit.log"
    arguments = [*arguments, "--root", str(folder.parent)]
    if not quiet:
        code, said = call(arguments), ""
    else:
        with log.open("wb") as file:
            code = call(arguments, file.fileno())
        said = "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
    if code and (code != _NOT_ALL or read_results(folder).phase != "done"):
        rule = f"`gatesearch {' '.join(arguments)}` ended with exit code {code}"
        raise GatesearchError(f"{rule}; the same fit goes on there.{said}")
