"""Which folder a job's name means."""

from pathlib import Path

from spaces.errors import InputError


def job_folder(name: str, root: Path) -> Path:
    """Return a job's folder. Raises InputError, naming the jobs that there are."""
    folder = root.resolve() / name
    from search.job.folder import has_job  # late: help and light commands need no job's parts

    if not has_job(folder):
        from spaces.text import listed

        names = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        known = f"which holds {listed(names)}" if names else "which holds no jobs"
        rule = f"NAME must be a job in {root}, {known}"
        raise InputError.of(name, rule, "name one of them, or give another folder with --root")
    return folder
