"""How much a job's checkpoints hold, and what follows from storage.limit_gb.

Over the limit, first the weights of complete trials go that are no finalists' and no arm's best.
Where that is not enough, nothing new begins and nothing paused goes on; what trains goes on until
it ends or is paused, and then the job ends with the reason. It resumes once its limit is raised.
"""

from collections.abc import Iterable
from typing import Any

from search.job.spec import JobSpec
from search.journal.replay import JobState
from search.results.format import full_storage
from search.run.retention import Retention
from spaces.errors import GatesearchError


class StorageFullError(GatesearchError):
    """The job's checkpoints hold more than its storage.limit_gb: nothing new may begin."""


class StorageLimit:
    """Counts what a job's checkpoints hold while it runs."""

    def __init__(self, job: JobSpec, job_state: JobState, retention: Retention) -> None:
        """Take in what the journal tells of the checkpoints that the job keeps."""
        self._name, self._limit_gb = job.name, job.storage.limit_gb
        self._retention = retention
        kept = retention.kept()
        self._sizes = {
            name: size
            for trial in job_state.trials.values()
            for name, size in trial.sizes.items()
            if name in kept
        }
        self.bytes = sum(self._sizes.values())  #: that they hold

    def stored(self, sizes: dict[str, int]) -> None:
        """Take in what a worker has stored, by name."""
        for name, size in sizes.items():
            self.bytes += size - self._sizes.get(name, 0)
            self._sizes[name] = size

    def released(self, names: Iterable[str]) -> None:
        """Take in what is needed no more."""
        for name in names:
            self.bytes -= self._sizes.pop(name, 0)

    @property
    def exceeded(self) -> bool:
        """Whether they hold more than the job may have."""
        return self._limit_gb is not None and self.bytes > self._limit_gb * 1e9

    def make_room(self) -> list[str]:
        """Return the names of what can go beyond storage.keep_best; nothing under the limit."""
        if not self.exceeded:
            return []
        gone = self._retention.tighten()
        self.released(gone)
        return gone

    def record(self) -> dict[str, Any]:
        """Return the record that the job ends for want of room."""
        return {"record": "full", "full": {"bytes": self.bytes, "limit_gb": self._limit_gb}}

    def error(self) -> StorageFullError:
        """Return why the job ends, and what to do."""
        assert self._limit_gb is not None
        return StorageFullError(f"{self._name}: {full_storage(self.bytes, self._limit_gb)}")
