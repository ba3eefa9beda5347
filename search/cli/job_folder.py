"""Which folder a job's name means."""

from pathlib import Path

from deploy.errors import ClusterError
from search.job.commands import RUNS
from spaces.errors import InputError


def job_folder(name: str, root: Path) -> Path:
    """Return a job's folder: below a root, or below that of this machine's service.

    The service's is looked in where the usual root has no job of the name. Raises InputError,
    naming the jobs that there are.
    """
    folder = root.resolve() / name
    from search.job.folder import has_job  # late: help and light commands need no job's parts

    if not has_job(folder):
        from spaces.text import listed

        if root == RUNS and (served := _served()) is not None and has_job(served / name):
            return served / name

        names = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        known = f"which holds {listed(names)}" if names else "which holds no jobs"
        rule = f"NAME must be a job in {root}, {known}"
        raise InputError.of(name, rule, "name one of them, or give another folder with --root")
    return folder


def jobs_below(root: Path) -> list[Path]:
    """Return the folders of all jobs below a root, or below that of this machine's service.

    The service's is looked in where the usual root has no job. Raises InputError for no job at all.
    """
    found = sorted(path.parent for path in root.resolve().glob("*/job.yaml"))
    if not found and root == RUNS and (served := _served()) is not None:
        found = sorted(path.parent for path in served.glob("*/job.yaml"))
    if not found:
        raise InputError.of(str(root), "must hold jobs", "give another folder with --root")
    return found


def _served() -> Path | None:
    """Return the root of this machine's service, also where parts of it have died."""
    from deploy.service import last_service

    try:
        service = last_service()
    except ClusterError:
        return None
    return None if service is None else Path(service.root)
