"""Runs the jobs of claims one after the other, each by `gatesearch run` in its own process."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from search.job.folder import check_same_job, has_job
from search.job.spec import JobSpec
from search.results.claims.table import PREFIX
from search.results.read import Results, read_results
from search.run.child import call
from spaces.errors import GatesearchError, InputError
from spaces.text import show


def installed_jobs() -> Path:
    """Return the folder of the claims' job files, which are installed with deploy."""
    return Path(str(files("deploy").joinpath("jobs", "claims")))


def known(job: str, root: Path) -> Results | None:
    """Return what is there of a claim's job; None where it has not begun a trial."""
    folder = root / f"{PREFIX}{job}"
    if not has_job(folder):
        return None
    try:
        return read_results(folder)
    except InputError:
        return None


def run_jobs(
    jobs: tuple[str, ...], files_of: Path, root: Path, tell: Callable[[str], None]
) -> None:
    """Run what has not been done, and go on with what was begun.

    files_of: the folder of their job files. tell: told of each job before it runs. Raises
    InputError where another job has a claim's name, and GatesearchError where a job does not come
    to its end: the same call goes on there.
    """
    for number, job in enumerate(jobs, 1):
        file = files_of / f"{job}.yaml"
        spec, found = JobSpec.load(file), known(job, root)
        if spec.name != f"{PREFIX}{job}":
            rule = f"the job must be named {PREFIX}{job}, not {show(spec.name)}"
            raise InputError.of(str(file), rule, "rename it")
        if found is not None:
            check_same_job(root / spec.name, spec)
            if found.phase == "done":
                continue
        tell(f"job {number} of {len(jobs)}: {PREFIX}{job}")
        code = call(["run", str(file), "--root", str(root)])
        found = known(job, root)
        if found is None or found.phase != "done":  # an arm of one that is may have nothing
            rule = f"{PREFIX}{job} has not come to its end (exit code {code})"
            raise GatesearchError(f"{rule}; the same command goes on there.")
