"""Jobs on a Ray cluster: submit, list, watch, stop, and bring the results home.

    with Client(address, find_token()) as cluster:
        submission = cluster.submit(Path("job.yaml"), [], name="vowels")
        for text in cluster.follow(submission.id): print(text, end="")
        folder = cluster.fetch(submission.id, Path("runs"))

It speaks Ray's Jobs REST API. The job runs on the head as `gatesearch run`, in a folder outside
Ray's working directory (which Ray removes with the job); what is sent is the job file and its data.
Everything that fails raises ClusterError.
"""

import contextlib
import difflib
import json
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from deploy.client import archive, submission_ids
from deploy.client.auth import Token
from deploy.client.cluster_job import ClusterJob, Submission, metadata
from deploy.client.commands import (
    STANDING,
    run_command,
    send_command,
    shell_root,
    standing_command,
)
from deploy.client.connection import Connection, find_address, segment
from deploy.client.nodes import LIST, Node, nodes_of
from deploy.client.package import Package, pack
from deploy.client.patience import PAUSES
from deploy.client.post import once_it_takes_jobs, post_job, upload
from deploy.client.queue import VERSION as QUEUE_VERSION
from deploy.client.queue import Queue
from deploy.errors import ClusterError

#: What Ray gives a stopped job to end by itself before it kills it; its default is 3 s.
STOP_SECONDS = 30
#: Lines of a failed job's log that its status shows.
LAST_LINES = 20
#: What Ray writes into a job's log, before or after the job's own first lines.
RAYS_OWN = re.compile(
    r"Running entrypoint for job |.* job_manager\.py:\d+ -- Runtime env is setting"
)
POLL_SECONDS = 0.5


class Client:
    """The Jobs API of one cluster. `warnings` holds what the user should read once."""

    def __init__(
        self,
        address: str | None = None,
        token: Token | None = None,
        beside: "Client | None" = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """beside: a client of the same cluster, which another thread has.

        tell: takes what is waited for, where that may take long.
        """
        self._tell: Callable[[str], None] | None = tell if beside is None else beside._tell
        own = Connection(find_address(address), token) if beside is None else beside._http.another()
        self._http: Connection = own
        self.address = self._http.address
        self.warnings = self._http.warnings

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; it opens again when it is used."""
        self._http.close()

    # Submit

    def submit(
        self,
        job_yaml: Path,
        data_files: Sequence[Path] = (),
        *,
        name: str,
        root: str | None = None,
        again: bool = False,
        content: bytes | None = None,
        priority: int | None = None,
        notify: str | None = None,
    ) -> Submission:
        """Send a job and start it, once.

        While the same job runs, or after it succeeded, nothing is started and `started` is False.
        A job that failed or was stopped, or with `again` any job that has ended, is submitted once
        more and goes on in the same folder.

        `data_files` are written as in the job file, relative to its folder. `content` is the job
        file's, where it was read already. `root` is a folder on
        the cluster ("/…" or "~/…") that outlives Ray's session; on more than one node's disk it is
        a shared volume.

        A queue before the cluster starts the job when its turn has come. `priority` and `notify`, a
        webhook that is told of its end, are a queue's alone.
        """
        shell_root(root)
        package = pack(job_yaml, data_files, content=content)
        if (queue := self.find_queue()) is not None:
            return queue.submit(package, name, root, again=again, priority=priority, notify=notify)
        if priority is not None or notify is not None:
            raise self._no_queue("--priority and --notify")
        digest = submission_ids.digest_of(package.digest, root)
        first = submission_ids.first_id(name, digest)
        everything = self.jobs(every=True)
        latest = submission_ids.latest(first, everything)
        submission_ids.refuse_name_in_use(name, root, digest, everything)
        if latest is not None and submission_ids.stands(latest, again=again):
            return Submission(latest.id, False, latest.state)
        new = submission_ids.next_id(first, latest)
        if not once_it_takes_jobs(
            lambda: self.start(new, package, name=name, root=root, digest=digest), self._tell
        ):
            return Submission(new, False, self._job(new).state)  # somebody else was first
        return Submission(new, True, "pending", None if latest is None else latest.id)

    def start(
        self, submission_id: str, package: Package, *, name: str, root: str | None, digest: str
    ) -> bool:
        """Submit a job under an id; return False where the cluster knows the id already.

        Raises JobRefusedError where the head answers and does not take it, or not yet.
        """
        upload(self._http, package)
        return post_job(
            self._http,
            {
                "entrypoint": run_command(package.job_path, shell_root(root)),
                "submission_id": submission_id,
                "runtime_env": {
                    "working_dir": package.uri,
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
                },
                "metadata": metadata(name, root, digest),
            },
        )

    def find_queue(self) -> Queue | None:
        """Return the queue that is before the cluster, or None where there is none."""
        about = self._about()
        return Queue(self._http) if QUEUE_VERSION in about else None

    def queue(self) -> Queue:
        """Return the queue that is before the cluster. Raises ClusterError where there is none."""
        if (found := self.find_queue()) is None:
            raise self._no_queue("the command")
        return found

    def _no_queue(self, what: str) -> ClusterError:
        return ClusterError.refused(
            self.address,
            f"{what} must go to a queue, and this is a cluster without one",
            "`gatesearch up` starts one on this machine, `gatesearch queue serve` one before a "
            "cluster; on Kubernetes Kueue does it",
        )

    # Look

    def ray_version(self) -> str:
        """Return the version of Ray on the head. ClusterError if the address is that of no head."""
        return str(self._about()["ray_version"])

    def _about(self) -> dict[str, Any]:
        version = self._http.json("GET", "/api/version")
        if not isinstance(version, dict) or "ray_version" not in version:
            raise ClusterError.refused(
                self.address,
                "the address must be that of a Ray head (its /api/version names no Ray)",
                "give the address of the Ray dashboard (port 8265 unless changed)",
            )
        return version

    def nodes(self) -> list[Node]:
        """Return the nodes that are up, the head first."""
        try:
            found = nodes_of(self._http.json("GET", LIST))
        except (KeyError, TypeError) as error:
            raise ClusterError(
                self.address, "the list of nodes cannot be read", "check the cluster's Ray version"
            ) from error
        return sorted(found, key=lambda node: (not node.head, node.address))

    # Watch

    def jobs(self, *, every: bool = False) -> list[ClusterJob]:
        """Return this cluster's gatesearch submissions, newest first; `every`: others' as well."""
        listed = self._http.json("GET", "/api/jobs/")
        if not isinstance(listed, list):
            raise ClusterError(
                self.address, "the list of jobs cannot be read", "check the cluster's Ray version"
            )
        found = [ClusterJob.of(details) for details in listed if details.get("submission_id")]
        if not every:
            found = [job for job in found if job.name is not None]
        return sorted(found, key=lambda job: (job.submitted or 0, job.id), reverse=True)

    def find(self, id_or_name: str) -> ClusterJob:
        """Return the submission of that id, or the newest of the gatesearch job of that name."""
        answer = self._http.request("GET", f"/api/jobs/{segment(id_or_name)}", accept=(404,))
        if answer.status_code != 404:
            return ClusterJob.of(answer.json())
        known = self.jobs(every=True)
        for job in known:
            if job.name == id_or_name:
                return job
        names = [job.id for job in known] + [job.name for job in known if job.name]
        near = difflib.get_close_matches(id_or_name, names, n=1, cutoff=0.5)
        raise ClusterError.refused(
            id_or_name,
            "a submission or job of this name must be on the cluster"
            + (f"; the nearest is {near[0]}" if near else ""),
            "`gatesearch jobs` lists them; a cluster that was started anew lists no earlier ones, "
            "and submitting again goes on in the job's folder",
        )

    def status(self, id_or_name: str) -> ClusterJob:
        """Return a submission; for a failed one with the last lines of its log."""
        job = self.find(id_or_name)
        if job.state != "failed":
            return job
        log = [line for line in self.logs(job.id).rstrip().splitlines() if not RAYS_OWN.match(line)]
        return replace(job, last_lines=tuple(log[-LAST_LINES:]))

    def logs(self, id_or_name: str) -> str:
        """Return what a submission has written so far."""
        job = self.find(id_or_name)
        return str(self._http.json("GET", f"/api/jobs/{segment(job.id)}/logs").get("logs") or "")

    def follow(self, id_or_name: str) -> Generator[str, None, None]:
        """Yield a submission's log in pieces, from its beginning until the submission has ended.

        A connection that breaks off is opened again, and goes on where it ended. A job that a queue
        has submitted anew, since its head was lost, has a new log.
        """
        job = self.find(id_or_name)
        seen = 0  # characters that were yielded
        problem: ClusterError | None = None
        empty = 0  # connections in a row that brought nothing
        while True:
            before, at = seen, 0
            try:
                for text in self._http.stream(f"/api/jobs/{segment(job.id)}/logs/tail"):
                    if not text and self._job(job.id).is_ended:
                        raise EOFError  # a living socket would have ended too
                    new = text[max(seen - at, 0) :]
                    at += len(text)
                    if new:
                        seen += len(new)
                        yield new
                now = self._job(job.id)
                if now.is_ended:
                    return
                seen, job = (seen if now.attempt == job.attempt else 0), now
                raise EOFError
            except EOFError:
                problem = ClusterError(
                    job.id,
                    "the log's connection keeps breaking off",
                    "the job itself goes on: `gatesearch status` shows its state",
                )
            except ClusterError as error:
                if problem is None or error.exit_code == 2:  # not even once, or never again
                    raise
                problem = error
            empty = 0 if seen > before else empty + 1
            if empty > len(PAUSES):
                raise problem
            time.sleep(PAUSES[empty - 1] if empty else POLL_SECONDS)

    def _job(self, submission_id: str) -> ClusterJob:
        return ClusterJob.of(self._http.json("GET", f"/api/jobs/{segment(submission_id)}"))

    def wait(self, submission_id: str, seconds: float) -> ClusterJob:
        """Return the submission as soon as it has ended, or as it is after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            job = self._job(submission_id)
            if job.is_ended or time.monotonic() > deadline:
                return job
            time.sleep(POLL_SECONDS)

    # Stop

    def stop(self, id_or_name: str) -> ClusterJob:
        """Ask a submission to end in good order; return it when it has, or as it is in the end.

        A submission that has ended already is returned as it is.
        """
        job = self.find(id_or_name)
        deadline = time.monotonic() + STOP_SECONDS + 15
        while not job.is_ended and (left := deadline - time.monotonic()) > 0:
            # Asked again, since Ray drops the request while the job's supervisor is starting.
            self.ask_to_stop(job.id)
            job = self.wait(job.id, min(left, 3.0))
        return job

    def ask_to_stop(self, submission_id: str) -> None:
        """Ask a submission to end in good order, and return at once."""
        self._http.json("POST", f"/api/jobs/{segment(submission_id)}/stop")

    # Fetch

    def fetch(self, id_or_name: str, into: Path, *, checkpoints: bool = False) -> Path:
        """Bring a job's folder to `into` and return it as `into/<name>`.

        With `checkpoints`, what is needed to export other trials than the best comes as well. A
        running job is fetched as far as it is. An existing folder is replaced only by a later state
        of the same job.
        """
        job = self.find(id_or_name)
        command = send_command(job.folder_in_shell, checkpoints=checkpoints)
        with (
            tempfile.TemporaryFile() as spool,
            self.printed(job, "checkpoints" if checkpoints else "folder", command) as log,
        ):
            head = archive.read(log, f"{self.address} {job.id}", spool)
            return archive.unpack(spool, head, into, job.folder_name)

    def standing(self, id_or_name: str) -> dict[str, Any] | None:
        """Return how far a job is, from its journal on the cluster; see search/run/standing.py.

        None where it has not begun its first trial, or the cluster cannot say it.
        """
        job = self.find(id_or_name)
        if job.name is None:
            return None
        command = standing_command(job.folder_in_shell)
        with self.printed(job, "standing", command) as log:
            for line in "".join(log).splitlines():
                word, _, rest = line.partition(" ")
                if word == STANDING:
                    found: dict[str, Any] | None = json.loads(rest)
                    return found
        return None

    @contextlib.contextmanager
    def printed(
        self, job: ClusterJob, what: str, command: str
    ) -> Iterator[Generator[str, None, None]]:
        """Yield what a command prints that runs on the cluster for a moment.

        A queue runs none but its own: it is asked by the name of what is wanted.
        """
        if (queue := self.find_queue()) is not None:
            submission = queue.print(job.id, what)
        else:
            submission = f"{archive.FETCH_PREFIX}{secrets.token_hex(6)}"
            once_it_takes_jobs(lambda: self.print(submission, command), self._tell)
        try:
            with contextlib.closing(self.follow(submission)) as log:
                yield log
        finally:
            self._forget(submission)

    def print(self, submission_id: str, command: str) -> None:
        """Run a command on the cluster for what it prints into its log."""
        post_job(
            self._http, {"entrypoint": command, "submission_id": submission_id, "metadata": {}}
        )

    def _forget(self, submission_id: str) -> None:
        """Remove a submission from the cluster's list; it is stopped first if it still runs."""
        path = f"/api/jobs/{segment(submission_id)}"
        try:
            if not self.wait(submission_id, 5.0).is_ended:
                self.stop(submission_id)
            self._http.request("DELETE", path)
        except ClusterError as error:
            self.warnings.append(f"{submission_id} is left on the cluster's list ({error.rule})")
