"""What is raised when a cluster cannot do what was asked.

ClusterError (Exception)    place, rule, remedy; exit_code 2: the user's input, 1: the cluster
  JobRefusedError           a head that answers does not take a job
    NoAgentError            it has begun a moment ago, and cannot take one yet
  QueueAwayError            the queue's own database does not answer, or another process has it
  PackageGoneError          what was sent with a job is no more
"""


class ClusterError(Exception):
    """A request to a cluster failed; the text never carries a token."""

    def __init__(self, place: str, rule: str, remedy: str, *, exit_code: int = 1) -> None:
        self.place = place  #: an address, a submission id, a file or a command-line option
        self.rule = rule  #: what went wrong, with the value that broke the rule
        self.remedy = remedy  #: what the user can do
        self.exit_code = exit_code  #: 2: the user's input was refused; 1: the cluster failed
        super().__init__(f"{place}: {rule}\n  remedy: {remedy}")

    @classmethod
    def refused(cls, place: str, rule: str, remedy: str) -> "ClusterError":
        """Return the error for the user's own mistake (exit code 2)."""
        return cls(place, rule, remedy, exit_code=2)


class JobRefusedError(ClusterError):
    """A head that answers does not take a job."""


class NoAgentError(JobRefusedError):
    """A head has begun a moment ago: what starts jobs on it is not up yet."""


class QueueAwayError(ClusterError):
    """The queue's own database does not answer, or another process has it."""


class PackageGoneError(ClusterError):
    """What was sent with a job is no more: the job cannot be started."""
