"""A queue before a cluster, as its users speak with it; deploy/queue/ is the queue itself."""

import hashlib
from dataclasses import dataclass
from typing import Any

from deploy.client.cluster_job import ClusterJob, Submission
from deploy.client.connection import Connection, segment
from deploy.client.package import Package

VERSION = "gatesearch_queue"  #: what a queue's /api/version has beside Ray's


@dataclass(frozen=True)
class User:
    """Somebody who shares the queue."""

    name: str
    admin: bool
    weight: int
    slots: int  #: that their jobs hold


@dataclass(frozen=True)
class Listing:
    """A queue as it is."""

    limit: int  #: jobs that may hold a slot at once
    away: str | None  #: why the cluster does not answer, where it does not
    jobs: list[ClusterJob]  #: those that hold a slot, then those that wait, by place
    users: list[User]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Listing":
        """Return it from what a queue answers."""
        jobs = [ClusterJob.of(details) for details in told["jobs"]]
        return cls(told["limit"], told["away"], jobs, [User(**user) for user in told["users"]])

    @property
    def taken(self) -> int:
        """How many slots are taken, also by jobs of people who are users no more."""
        return sum(job.queue.slots for job in self.jobs if job.queue is not None)


class Queue:
    """One queue; everything that it refuses is a ClusterError."""

    def __init__(self, http: Connection) -> None:
        self._http = http

    def submit(
        self,
        package: Package,
        name: str,
        root: str | None,
        *,
        again: bool,
        priority: int | None,
        notify: str | None,
    ) -> Submission:
        """Queue a job, once; see Client.submit."""
        sha256 = hashlib.sha256(package.content).hexdigest()
        place = f"/queue/packages/{sha256}"
        if self._http.request("GET", place, accept=(404,)).status_code == 404:
            self._http.request("PUT", place, data=package.content)
        answer = self._http.json(
            "POST",
            "/queue/jobs",
            {
                "name": name,
                "root": root,
                "job_path": package.job_path,
                "digest": package.digest,
                "package": sha256,
                "again": again,
                "priority": priority or 0,
                "notify": notify,
            },
        )
        return Submission(**answer)

    def list(self) -> Listing:
        """Return the queue as it is."""
        return Listing.of(self._http.json("GET", "/queue"))

    def change(self, entry: str, **changes: int) -> None:
        """Give a job that waits another priority, or another place among its user's."""
        self._http.json("POST", f"/queue/jobs/{segment(entry)}", changes)

    def resume(self, entry: str) -> Submission:
        """Queue a job that was stopped, or failed, once more: it goes on where it ended."""
        return Submission(**self._http.json("POST", f"/queue/jobs/{segment(entry)}/resume"))

    def print(self, entry: str, what: str) -> str:
        """Have the cluster print something of a job; return the submission whose log has it."""
        return str(self._http.json("POST", f"/queue/jobs/{segment(entry)}/print/{what}")["id"])

    def add_user(self, name: str, *, admin: bool | None = None, weight: int | None = None) -> str:
        """Return a new token for a user, who is made where there is none of the name.

        admin, weight: None leaves them as they are; a new user is no admin and has weight 1.
        """
        told = {"name": name, "admin": admin, "weight": weight}
        return str(self._http.json("POST", "/queue/users", told)["token"])

    def remove_user(self, name: str) -> None:
        """End a user's token; their jobs stay."""
        self._http.json("DELETE", f"/queue/users/{segment(name)}")
