"""Starts, watches and resumes jobs on the cluster: one step a second, each of them repeatable.

What is decided is written down before it is done. The id of a submission is among it: the cluster
takes an id once, and says which ids it knows. A job whose id it does not know was never submitted,
or was lost with a head: it is submitted, and goes on from its journal where that is begun.
"""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from deploy.client.cluster_job import ClusterJob
from deploy.client.package import Package
from deploy.errors import ClusterError, JobRefusedError, PackageGoneError, QueueAwayError
from deploy.queue.entry import Entry, State
from deploy.queue.fair import choose
from deploy.queue.packages import Packages
from deploy.queue.store import Store, as_waiting, milliseconds

STEP_SECONDS = 1.0
#: Failures in a row of the cluster to run one job, after which the job counts as failed.
MAX_FAILURES = 3
#: A submission that ran for so long ends the row: what failed after it is counted anew.
STEADY_MS = 3_600_000
#: A job fails that was refused so often, and for so long: a head that starts has no agent yet.
MAX_REFUSALS, REFUSED_MS = 3, 300_000
#: A resumed job that fails within this time may have met what its lost driver has left.
RESUMED_MS = 120_000


class Cluster(Protocol):
    """What the queue needs of a cluster; deploy.client.Client has it."""

    def ray_version(self) -> str:
        """Return the version of Ray on the head."""

    def jobs(self, *, every: bool = False) -> list[ClusterJob]:
        """Return the submissions that the cluster knows."""

    def start(
        self, submission_id: str, package: Package, *, name: str, root: str | None, digest: str
    ) -> bool:
        """Submit a job under an id; False where the cluster knows the id."""

    def ask_to_stop(self, submission_id: str) -> None:
        """Ask a submission to end in good order."""


class Dispatcher:
    """Carries out what the store says on one cluster."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        cluster: Cluster,
        limit: int,
        root: str | None,
        now: Callable[[], int] = milliseconds,
    ) -> None:
        """Do nothing yet. limit: jobs that may hold a slot at once. root: see Requests."""
        self._store, self._packages, self._cluster = store, packages, cluster
        self.limit = limit
        self._root = root
        self._now = now
        self._wake = threading.Event()
        self._over = False
        self._refusals: dict[str, tuple[int, int]] = {}  # of a submission: how often, since when
        self._read: tuple[str, bytes] | None = None  # the package that was read last
        self.known: dict[str, ClusterJob] = {}  #: what the cluster has listed last
        self.away: str | None = None  #: why the cluster does not answer, while it does not
        self.database_away: str | None = None  #: why the queue's database does not, likewise
        self.ray_version: str | None = None  #: of the head, since it answers

    def step(self) -> None:
        """Bring queue and cluster one step on. Does nothing while one of them does not answer."""
        try:
            if self.away is not None or self.ray_version is None:  # another head may have come
                self.ray_version = self._cluster.ray_version()
            self.known = known = {job.id: job for job in self._cluster.jobs(every=True)}
            for entry in self._store.active():
                self._watch(entry, known)
            while self._start_next(known):
                pass
            self.away = self.database_away = None
        except QueueAwayError as error:
            self.database_away = error.rule
        except ClusterError as error:
            self.away = error.rule

    def run(self, log: Callable[[str], None]) -> None:
        """Take steps until `end` is called, whatever a step meets: a full disk has room again."""
        told: dict[str, str | None] = {"cluster": None, "database": None}
        while not self._over:
            try:
                self.step()
            except Exception as error:
                self.away = f"{type(error).__name__}: {error}"
            for what, away in (("cluster", self.away), ("database", self.database_away)):
                if away != told[what]:
                    log(f"{what}: {away or 'answers'}")
                    told[what] = away
            self._wake.wait(STEP_SECONDS)
            self._wake.clear()

    def wake(self) -> None:
        """Take the next step at once."""
        self._wake.set()

    def end(self) -> None:
        """Have `run` return after its step."""
        self._over = True
        self._wake.set()

    def _start_next(self, known: Mapping[str, ClusterJob]) -> bool:
        """Give the next job a free slot; return False where there is no slot or no job."""
        store = self._store
        with store.alone():
            active = store.active()
            if len(active) >= self.limit:
                return False
            taken = self._taken(active, known)
            waiting = {
                entry.id: entry
                for entry in store.entries("queued")
                if (entry.name, entry.root) not in taken
            }
            users = [entry.user for entry in active]
            jobs = map(as_waiting, waiting.values())
            chosen = choose(jobs, users, store.shares(), self._now() / 1000)
            if chosen is None:
                return False
            entry = store.begin(waiting[chosen.id], _unknown(waiting[chosen.id], known))
        self._submit(entry)
        return True

    def _taken(
        self, active: list[Entry], known: Mapping[str, ClusterJob]
    ) -> set[tuple[str | None, str | None]]:
        """Return name and root of each job that runs past the queue: a folder has one job."""
        own = {entry.submission for entry in active}
        past = [job for job in known.values() if job.id not in own and not job.is_ended]
        return {(job.name, job.root or self._root) for job in past}

    def _watch(self, entry: Entry, known: Mapping[str, ClusterJob]) -> None:
        """Take in what the cluster says of a job that holds a slot."""
        assert entry.submission is not None
        job = known.get(entry.submission)
        if job is None:
            if entry.stopping:
                self._end(entry, "stopped", "stopped")
            elif entry.state == "starting":
                self._submit(entry)
            else:
                self._submit(self._store.begin(entry, _unknown(entry, known)))
        elif job.is_ended:
            self._take_end(entry, job, known)
        else:
            if job.state == "running" and entry.state == "starting":
                self._store.runs(entry)
            if entry.stopping:
                # Asked again each time, since Ray drops it while the job's supervisor starts.
                self._cluster.ask_to_stop(entry.submission)

    def _take_end(self, entry: Entry, job: ClusterJob, known: Mapping[str, ClusterJob]) -> None:
        if job.state == "failed" and not entry.stopping:
            lasted = self._now() - (entry.resumed or 0)
            failures = 1 + (0 if lasted >= STEADY_MS else entry.failures)
            resumed = entry.attempt > 1 and lasted < RESUMED_MS
            if (job.exit_code is None or resumed) and failures < MAX_FAILURES:
                number = _unknown(entry, known)
                self._submit(self._store.begin(entry, number, failure=(failures, job.message)))
                return
        state: State = "stopped"
        if job.state == "succeeded" or (job.state == "failed" and not entry.stopping):
            state = job.state
        self._end(entry, state, job.message, job.exit_code)

    def _submit(self, entry: Entry) -> None:
        """Submit a job under the id that was written down."""
        assert entry.submission is not None
        try:
            content = self._content(entry.package)
        except PackageGoneError as error:
            self._end(entry, "failed", error.rule)
            return
        try:
            package = Package(entry.job_path, entry.package, content)
            self._cluster.start(
                entry.submission, package, name=entry.name, root=entry.root, digest=entry.digest
            )
        except JobRefusedError as error:
            count, since = self._refusals.get(entry.submission, (0, self._now()))
            self._refusals[entry.submission] = count + 1, since
            if count + 1 >= MAX_REFUSALS and self._now() - since > REFUSED_MS:
                del self._refusals[entry.submission]
                self._end(entry, "failed", error.rule)
            elif error.rule != entry.message:
                self._store.refused(entry, error.rule)
        else:
            self._refusals.pop(entry.submission, None)
            self._read = None

    def _content(self, sha256: str) -> bytes:
        """Return a package's bytes, kept until its job is taken: a refused one asks each second."""
        if self._read is None or self._read[0] != sha256:
            self._read = sha256, self._packages.read(sha256)
        return self._read[1]

    def _end(self, entry: Entry, state: State, message: str, exit_code: int | None = None) -> None:
        end_entry(self._store, entry, state, message, exit_code)


def _unknown(entry: Entry, known: Mapping[str, Any]) -> int:
    """Return the number of the job's next submission: its id must be one that is not taken."""
    attempt = entry.attempt + 1
    while entry.submission_of(attempt) in known:
        attempt += 1
    return attempt


def end_entry(
    store: Store, entry: Entry, state: State, message: str, exit_code: int | None = None
) -> None:
    """Record a job's end and what its webhook is told: see notify.py."""
    notice = {
        "event": "gatesearch.job.ended",
        "id": entry.id,
        "name": entry.name,
        "user": entry.user,
        "state": state,
        "message": message,
        "exit_code": exit_code,
        "submitted": entry.submitted,
        "started": entry.started,
        "ended": milliseconds(),
    }
    store.end(entry, state, message, exit_code, json.dumps(notice))
