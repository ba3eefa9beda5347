"""Which id a submission gets, so that the same job is never started twice.

The id comes from the job's name, what is sent, and the root folder: `gatesearch-NAME-DIGEST`. A
later submission of the same job, after the one before has ended, adds a counter: `…-2`, `…-3`.
"""

import hashlib
import re
from collections.abc import Sequence

from deploy.client.cluster_job import ClusterJob
from deploy.errors import ClusterError

PREFIX = "gatesearch-"


def digest_of(package_digest: str, root: str | None) -> str:
    """Return the SHA-256 of a package and its root folder: the same for the same job alone."""
    return hashlib.sha256(f"{package_digest}\0{root or ''}".encode()).hexdigest()


def first_id(name: str, digest: str) -> str:
    """Return the id of a job's first submission."""
    return f"{PREFIX}{name}-{digest[:10]}"


def latest(first: str, jobs: Sequence[ClusterJob]) -> ClusterJob | None:
    """Return the last of the submissions `first`, `first-2`, `first-3`, …, or None."""
    numbered = {
        int(match.group(1) or 1): job
        for job in jobs
        if (match := re.fullmatch(re.escape(first) + r"(?:-(\d+))?", job.id))
    }
    return numbered[max(numbered)] if numbered else None


def stands(last: ClusterJob, *, again: bool = False) -> bool:
    """Return whether a job needs no new submission: its last one goes on, or has succeeded.

    again: whether one that has succeeded is wanted once more.
    """
    return not last.is_ended or (last.state == "succeeded" and not again)


def next_id(first: str, last: ClusterJob | None) -> str:
    """Return the id that follows that of the submission `last`."""
    if last is None:
        return first
    number = int(last.id.removeprefix(first).lstrip("-") or 1)
    return f"{first}-{number + 1}"


def refuse_name_in_use(
    name: str, root: str | None, digest: str, jobs: Sequence[ClusterJob]
) -> None:
    """Raise ClusterError while another job of the same name runs: both would share a folder."""
    for job in jobs:
        if job.name == name and job.root == root and job.digest != digest and not job.is_ended:
            raise ClusterError.refused(
                name,
                f"the name must not be that of another job that is {job.state} on the cluster "
                f"({job.id})",
                f"give this job another name, or `gatesearch stop {job.id}` first",
            )
