"""A job in the queue, and the states that it goes through.

    queued -> starting -> running -> succeeded | failed | stopped

A job is `starting` from the moment in which its submission is decided until the cluster says that
it runs. One that the cluster has lost is starting again, in its old place.
"""

from dataclasses import dataclass
from typing import Any, Literal

from deploy.client.cluster_job import ClusterJob, Queued
from deploy.client.cluster_job import State as ShownState

State = Literal["queued", "starting", "running", "succeeded", "failed", "stopped"]
ACTIVE: tuple[State, ...] = ("starting", "running")  #: that hold a slot
PRIORITIES = range(-100, 101)


@dataclass(frozen=True)
class Entry:
    """One job as the queue knows it. Times are milliseconds since 1970."""

    id: str  #: chosen when it is queued; its first submission has the same
    name: str
    user: str
    priority: int  #: the higher, the sooner among the user's own
    position: int  #: the lower, the sooner among those of one priority
    state: State
    root: str | None  #: folder of the jobs' folders on the cluster
    digest: str  #: SHA-256 of the job, its data and its root
    job_path: str  #: of the job file, in the package
    package: str  #: SHA-256 of the package's bytes
    attempt: int  #: how often it was submitted
    submission: str | None  #: the id of its last submission, written down before that is sent
    stopping: bool  #: whether somebody wants it to end
    failures: int  #: of the cluster, in a row, to run it
    submitted: int
    started: int | None  #: when its slot was given to it
    resumed: int | None  #: when its last submission was decided
    ended: int | None
    exit_code: int | None
    message: str
    notify: str | None  #: webhook that is told of its end

    @property
    def active(self) -> bool:
        """Whether it holds one of the queue's slots."""
        return self.state in ACTIVE

    @property
    def is_ended(self) -> bool:
        """Whether it will not run any more, unless somebody resumes it."""
        return self.state != "queued" and not self.active

    @property
    def shown_state(self) -> ShownState:
        """The state as people see it."""
        return "stopping" if self.active and self.stopping else self.state

    def submission_of(self, attempt: int) -> str:
        """Return the id of the submission of that number, from 1."""
        return self.id if attempt == 1 else f"{self.id}-r{attempt}"

    def as_details(self, place: int | None) -> dict[str, Any]:
        """Return it in the form in which Ray's Jobs API answers, with what the queue adds.

        place: its number among those that wait, from 1.
        """
        return self.as_cluster_job(place).as_details()

    def as_cluster_job(self, place: int | None = None) -> ClusterJob:
        """Return it as the client has it; see as_details."""
        return ClusterJob(
            id=self.id,
            name=self.name,
            state=self.shown_state,
            message=self.message,
            submitted=self.submitted,
            ended=self.ended,
            root=self.root,
            digest=self.digest,
            exit_code=self.exit_code,
            queue=Queued(
                place=place,
                user=self.user,
                priority=self.priority,
                slots=int(self.active),
                started=self.started,
                attempt=self.attempt,
            ),
        )
