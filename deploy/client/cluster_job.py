"""What the cluster says about a submission, and what becomes of a submit."""

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["pending", "running", "succeeded", "failed", "stopped"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "stopped")
# Keys of a submission's metadata, which Ray stores and returns unchanged.
NAME, ROOT, DIGEST = "gatesearch_name", "gatesearch_root", "gatesearch_digest"


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
        )

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
