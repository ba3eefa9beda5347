"""Jobs of a queue, and a cluster that a test can lose, for tests of the queue's own rules."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from deploy.client.cluster_job import ClusterJob, metadata
from deploy.client.package import Package
from deploy.errors import ClusterError
from deploy.queue.database import SqliteDatabase
from deploy.queue.entry import Entry
from deploy.queue.store import TABLES, VERSION, Store

PLAIN = Entry(
    id="ann1",
    name="ann1",
    user="ann",
    priority=0,
    position=0,
    state="queued",
    root="/runs",
    digest=64 * "0",
    job_path="job/job.yaml",
    package=64 * "0",
    attempt=0,
    submission=None,
    stopping=False,
    failures=0,
    submitted=1,
    started=None,
    resumed=None,
    ended=None,
    exit_code=None,
    message="",
    notify=None,
)


def entry(name: str, **changes: object) -> Entry:
    """Return a job of that id; its user is the name without its number."""
    user = name.rstrip("0123456789")
    return replace(PLAIN, id=name, name=name, user=user, **changes)  # type: ignore[arg-type]


def file_store(folder: Path) -> Store:
    """Open the store of a queue in a folder."""
    return Store(SqliteDatabase(folder, TABLES, VERSION))


class Lost(BaseException):
    """The queue was killed: whatever it had in memory is gone."""


class Head:
    """A head of a cluster, kept to the Jobs API's promises: it takes an id once, and lists it.

    `folders` outlive it as the jobs' folders do: how often each job has been begun in it, and how
    often it came to its end. Two submissions of one job that run at once break a promise.
    """

    def __init__(self, folders: dict[str, list[str]]) -> None:
        self.folders = folders
        self.running: dict[str, str] = {}  # submission: name
        self.about: dict[str, dict[str, str]] = {}  # submission: what is stored with it
        self.listed: dict[str, ClusterJob] = {}
        self.away = False
        self.version = "2.60.0"
        self.most = 0  #: submissions that ran at once

    def ray_version(self) -> str:
        self._answer()
        return self.version

    def jobs(self, *, every: bool = False) -> list[ClusterJob]:
        self._answer()
        return list(self.listed.values())

    def start(
        self, submission_id: str, package: Package, *, name: str, root: str | None, digest: str
    ) -> bool:
        self._answer()
        if submission_id in self.listed:
            return False
        assert name not in self.running.values(), f"{name} runs twice"
        self.running[submission_id] = name
        self.most = max(self.most, len(self.running))
        self.about[submission_id] = metadata(name, root, digest)
        self._list(submission_id, "running", None)
        if "done" in self.folders.setdefault(name, []):
            self.finish(submission_id)  # `gatesearch run` says that the job is finished
        else:
            self.folders[name].append("begun")
        return True

    def ask_to_stop(self, submission_id: str) -> None:
        self._answer()
        self.finish(submission_id, "STOPPED", None)

    def finish(self, submission_id: str, status: str = "SUCCEEDED", code: int | None = 0) -> None:
        """End a submission."""
        name = self.running.pop(submission_id)
        self._list(submission_id, status, code)
        if status == "SUCCEEDED" and "done" not in self.folders[name]:
            self.folders[name].append("done")

    def _list(self, submission_id: str, status: str, code: int | None) -> None:
        details = {
            "submission_id": submission_id,
            "status": status.upper(),
            "message": status,
            "driver_exit_code": code,
            "metadata": self.about[submission_id],
        }
        self.listed[submission_id] = ClusterJob.of(details)

    def _answer(self) -> None:
        if self.away:
            raise ClusterError("head", "nobody answers", "wait")


def events(folder: Path) -> list[tuple[str, str, str]]:
    """Return the steps that a queue's folder tells, as (job's id, user, what), in order."""
    with closing(sqlite3.connect(folder / "queue.db")) as database:
        return database.execute("SELECT entry, user, event FROM events ORDER BY number").fetchall()


def check_order_and_shares(events: list[tuple[str, str, str]], limit: int) -> None:
    """Assert what the events say: each job once, the limit kept, users alike, each's own order."""
    slots: dict[str, str] = {}
    waiting: dict[str, str] = {}
    started: list[str] = []
    for name, user, event in events:
        if event == "queued":
            waiting[name] = user
        elif event == "starting":
            slots[name] = waiting.pop(name)
            started.append(name)
            assert len(slots) <= limit
            mine = [each for each in slots.values() if each == user]
            assert len(mine) == 1 or not set(waiting.values()) - set(slots.values())
        elif event in ("succeeded", "failed", "stopped"):
            slots.pop(name, None)
            waiting.pop(name, None)
    assert len(set(started)) == len(started)
    for user in ("ann", "bob"):
        own = [name for name in started if name.startswith(user)]
        assert own == sorted(own)
