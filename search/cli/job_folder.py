"""Which folder a job's name means."""

import os
from pathlib import Path

from deploy.errors import ClusterError
from search.environment import STORAGE
from search.job.commands import RUNS
from spaces.errors import InputError

_SHOWN = 20  # jobs that a message names


def job_folder(name: str, root: Path) -> Path:
    """Return a job's folder: below a root, or below that of this machine's service.

    The service's is looked in where the usual root has no job of the name. After it comes the
    database of $GATESEARCH_STORAGE: a job that it has gets a folder below the root. Raises
    InputError, naming the jobs that there are.
    """
    folder = root.resolve() / name
    from search.job.folder import has_job  # late: help and light commands need no job's parts

    if not has_job(folder):
        if root == RUNS and (served := _served()) is not None and has_job(served / name):
            return served / name

        if os.environ.get(STORAGE):
            from search.run.shared_storage import shared_folder, shared_names

            if (shared := shared_folder(name, root.resolve())) is not None:
                return shared
            elsewhere = f", or in the database of {STORAGE}, {_known(shared_names())}"
        else:
            elsewhere = ""
        names = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        rule = f"NAME must be a job in {root}, {_known(names)}{elsewhere}"
        raise InputError.of(name, rule, "name one of them, or give another folder with --root")
    return folder


def whole_folder(name: str, root: Path) -> Path:
    """Return a job's folder with what its end has written, which a job found by name has not."""
    from search.job.folder import VERDICT

    folder = job_folder(name, root)
    if not (folder / VERDICT).exists():
        from search.run.shared_storage import bring_results

        bring_results(folder)
    return folder


def _known(names: list[str]) -> str:
    from spaces.text import listed

    shown = [*names[:_SHOWN], *([f"{len(names) - _SHOWN:,} more"] if names[_SHOWN:] else [])]
    return f"which holds {listed(shown)}" if names else "which holds no jobs"


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
