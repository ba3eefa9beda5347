"""What the cluster says about a submission, and what becomes of a submit."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from deploy.client.commands import shell_root
from deploy.errors import ClusterError

#: A queue's jobs are queued, starting and stopping; what a cluster has not begun is pending.
State = Literal[
    "queued", "starting", "pending", "running", "stopping", "succeeded", "failed", "stopped"
]
ENDED: tuple[State, ...] = ("succeeded", "failed", "stopped")
# Keys of a submission's metadata, which Ray stores and returns unchanged.
NAME, ROOT, DIGEST = "gatesearch_name", "gatesearch_root", "gatesearch_digest"


@dataclass(frozen=True)
class Queued:
    """What a queue says of one of its jobs."""

    place: int | None  #: its number among those that wait, from 1
    user: str
    priority: int
    slots: int  #: of the queue's, which it holds
    started: int | None  #: when it was given its slot, milliseconds since 1970
    attempt: int  #: how often it was submitted: more than once where a head was lost


@dataclass(frozen=True)
class ClusterJob:
    """One submission as the cluster knows it."""

    id: str  #: the submission id
    name: str | None  #: the gatesearch job's name; None for what others submitted
    state: State
    message: str  #: one line
    submitted: int | None  #: milliseconds since 1970
    ended: int | None  #: milliseconds since 1970
    root: str | None  #: the root folder asked for; None for the cluster's default
    digest: str | None  #: SHA-256 of what was sent
    exit_code: int | None
    last_lines: tuple[str, ...] = ()  #: of a failed job's log, from `status` only
    queue: Queued | None = None  #: where a queue is before the cluster

    @classmethod
    def of(cls, details: dict[str, Any]) -> "ClusterJob":
        """Return the record from what the Jobs API answers about one submission."""
        stored = details.get("metadata") or {}
        first_line = (details.get("message") or "").partition("\n")[0]
        return cls(
            id=details["submission_id"],
            name=stored.get(NAME),
            state=details["status"].lower(),
            message=first_line.partition(", last available")[0],
            submitted=details.get("start_time"),
            ended=details.get("end_time"),
            root=stored.get(ROOT),
            digest=stored.get(DIGEST),
            exit_code=details.get("driver_exit_code"),
            queue=None if details.get("queue") is None else Queued(**details["queue"]),
        )

    def as_details(self) -> dict[str, Any]:
        """Return what the Jobs API answers about it; see `of`."""
        stored = {NAME: self.name, ROOT: self.root, DIGEST: self.digest}
        queue = {} if self.queue is None else {"queue": asdict(self.queue)}
        return queue | {
            "submission_id": self.id,
            "status": self.state.upper(),
            "message": self.message,
            "start_time": self.submitted,
            "end_time": self.ended,
            "driver_exit_code": self.exit_code,
            "metadata": {name: text for name, text in stored.items() if text is not None},
        }

    @property
    def folder_name(self) -> str:
        """The name of the job's folder. Raises ClusterError for a name that is none of a job.

        Whoever may submit to the cluster can have stored any text as it.
        """
        if self.name is None or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", self.name):
            raise ClusterError.refused(
                self.id,
                "the submission must be a gatesearch job to have results",
                "`gatesearch jobs` lists those that have",
            )
        return self.name

    @property
    def folder_in_shell(self) -> str:
        """The job's folder as a word for the cluster's shell. Raises ClusterError as above."""
        return f"{shell_root(self.root)}/{self.folder_name}"

    @property
    def attempt(self) -> int:
        """Which of its submissions is the last or the next to come, from 1."""
        return 1 if self.queue is None else max(self.queue.attempt, 1)

    @property
    def is_ended(self) -> bool:
        """Whether its state can change no more."""
        return self.state in ENDED


def metadata(name: str, root: str | None, digest: str) -> dict[str, str]:
    """Return what a submission stores on the cluster, for ClusterJob.of to read."""
    return {NAME: name, DIGEST: digest} | ({} if root is None else {ROOT: root})


@dataclass(frozen=True)
class Submission:
    """The outcome of a submit."""

    id: str
    started: bool  #: False: the same job was submitted before, and nothing was started
    state: State
    continues: str | None = None  #: the ended submission that this one resumes
