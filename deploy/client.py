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
import hashlib
import re
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from deploy import archive, outbound
from deploy.auth import Token, find_token
from deploy.connection import Connection, find_address, last_line, segment
from deploy.errors import ClusterError

__all__ = [
    "Client",
    "ClusterError",
    "ClusterJob",
    "State",
    "Submission",
    "Token",
    "find_address",
    "find_token",
]

State = Literal["pending", "running", "succeeded", "failed", "stopped"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "stopped")
#: On the cluster, for its shell: where job folders are if --root does not say otherwise.
DEFAULT_ROOT = '"${GATESEARCH_ROOT:-$HOME/gatesearch/runs}"'
#: What Ray gives a stopped job to end by itself before it kills it; its default is 3 s.
STOP_SECONDS = 30
PREFIX = "gatesearch-"
NAME, ROOT, DIGEST = "gatesearch_name", "gatesearch_root", "gatesearch_digest"
#: What Ray writes into a job's log, before or after the job's own first lines.
RAYS_OWN = re.compile(
    r"Running entrypoint for job |.* job_manager\.py:\d+ -- Runtime env is setting"
)
POLL_SECONDS = 0.5
RECONNECTS = 6  # about a minute


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

    @property
    def is_ended(self) -> bool:
        """Whether its state can change no more."""
        return self.state in ENDED


@dataclass(frozen=True)
class Submission:
    """What became of a submit."""

    id: str
    started: bool  #: False: the same job was submitted before, and nothing was started
    state: State
    continues: str | None = None  #: the ended submission whose work this one goes on with


class Client:
    """The Jobs API of one cluster. `warnings` holds what the user should be told once."""

    def __init__(self, address: str | None = None, token: Token | None = None) -> None:
        self._http = Connection(find_address(address), token)
        self.address = self._http.address
        self.warnings = self._http.warnings

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        submission_id: str | None = None,
        again: bool = False,
        entrypoint: str | None = None,
    ) -> Submission:
        """Send a job and start it, once.

        The id comes from the name, the content and the root folder. While such a submission runs,
        or after it succeeded, nothing is started and `started` is False. One that failed or was
        stopped, or any ended one with `again`, is followed by a new submission with a counter,
        which goes on in the same folder.

        `data_files` are written as in the job file, relative to its folder. `root` is a folder on
        the cluster ("/…" or "~/…") that outlives Ray's session; on more than one node's disk it is
        a shared volume. `entrypoint` replaces the command, "{job}" in it is the job file's path.
        """
        root_in_shell = _shell_root(root)
        package = outbound.pack(job_yaml, data_files)
        digest = hashlib.sha256(f"{package.digest}\0{root or ''}".encode()).hexdigest()
        first = submission_id or f"{PREFIX}{name}-{digest[:10]}"
        self._check_head()
        everything = self.jobs(every=True)
        latest = _latest(first, everything)
        _refuse_name_in_use(name, root, digest, everything)
        if latest is not None:
            done = latest.state == "succeeded" and not again
            if not latest.is_ended or done:
                return Submission(latest.id, False, latest.state)
        new = _next_id(first, latest)
        self._upload(package)
        body = {
            "entrypoint": (
                entrypoint.replace("{job}", shlex.quote(package.job_path))
                if entrypoint is not None
                else run_command(package.job_path, root_in_shell)
            ),
            "submission_id": new,
            "runtime_env": {
                "working_dir": package.uri,
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
            },
            "metadata": {NAME: name, DIGEST: digest, **({} if root is None else {ROOT: root})},
        }
        if not self._post_job(body):  # somebody was faster with the same job
            return Submission(new, False, self._job(new).state)
        return Submission(new, True, "pending", None if latest is None else latest.id)

    def _check_head(self) -> None:
        version = self._http.json("GET", "/api/version")
        if not isinstance(version, dict) or "ray_version" not in version:
            raise ClusterError.refused(
                self.address,
                "this is not a Ray head (its /api/version names no Ray)",
                "give the address of the Ray dashboard (port 8265 unless changed)",
            )

    def _upload(self, package: outbound.Package) -> None:
        path = f"/api/packages/gcs/{package.name}"
        if self._http.request("GET", path, accept=(404,)).status_code == 404:
            self._http.request("PUT", path, data=package.content)

    def _post_job(self, body: dict[str, Any]) -> bool:
        answer = self._http.request("POST", "/api/jobs/", body=body, accept=(400, 500))
        if answer.status_code < 300:
            return True
        text = str(answer.text)
        if "already exists" in text:
            return False
        raise ClusterError(
            self.address,
            f"the cluster refused the job: {last_line(text)}",
            "look at the head's dashboard_agent.log",
        )

    # Watch

    def jobs(self, *, every: bool = False) -> list[ClusterJob]:
        """Return this cluster's gatesearch submissions, newest first; `every`: others' as well."""
        listed = self._http.json("GET", "/api/jobs/")
        if not isinstance(listed, list):
            raise ClusterError(
                self.address, "the list of jobs cannot be read", "check the cluster's Ray version"
            )
        found = [_job(details) for details in listed if details.get("submission_id")]
        if not every:
            found = [job for job in found if job.name is not None]
        return sorted(found, key=lambda job: (job.submitted or 0, job.id), reverse=True)

    def find(self, id_or_name: str) -> ClusterJob:
        """Return the submission of that id, or the newest of the gatesearch job of that name."""
        answer = self._http.request("GET", f"/api/jobs/{segment(id_or_name)}", accept=(404,))
        if answer.status_code != 404:
            return _job(answer.json())
        known = self.jobs(every=True)
        for job in known:
            if job.name == id_or_name:
                return job
        names = [job.id for job in known] + [job.name for job in known if job.name]
        near = difflib.get_close_matches(id_or_name, names, n=1, cutoff=0.5)
        raise ClusterError.refused(
            id_or_name,
            "the cluster knows no submission or job of this name"
            + (f"; the nearest is {near[0]}" if near else ""),
            "`gatesearch jobs` lists them; a cluster that was started anew has forgotten its jobs, "
            "and submitting again goes on in the job's folder",
        )

    def status(self, id_or_name: str, *, lines: int = 20) -> ClusterJob:
        """Return a submission; for a failed one with the last `lines` lines of its log."""
        job = self.find(id_or_name)
        if job.state != "failed":
            return job
        log = [line for line in self.logs(job.id).rstrip().splitlines() if not RAYS_OWN.match(line)]
        return replace(job, last_lines=tuple(log[-lines:]))

    def logs(self, id_or_name: str) -> str:
        """Return what a submission has written so far."""
        job = self.find(id_or_name)
        return str(self._http.json("GET", f"/api/jobs/{segment(job.id)}/logs").get("logs") or "")

    def follow(self, id_or_name: str) -> Generator[str, None, None]:
        """Yield a submission's log in pieces, from its beginning until the submission has ended.

        A connection that breaks off is opened again where it ended.
        """
        job = self.find(id_or_name)
        seen = 0  # characters that were yielded
        problem: ClusterError | None = None
        fruitless = 0  # connections in a row that brought nothing
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
                if self._job(job.id).is_ended:
                    return
                raise EOFError
            except EOFError:
                problem = ClusterError(
                    job.id,
                    "the log's connection keeps breaking off",
                    "the job itself goes on: `gatesearch status` tells how it is",
                )
            except ClusterError as error:
                if problem is None or error.exit_code == 2:  # not even once, or never again
                    raise
                problem = error
            fruitless = 0 if seen > before else fruitless + 1
            if fruitless > RECONNECTS:
                raise problem
            time.sleep(POLL_SECONDS * 2**fruitless)

    def _job(self, submission_id: str) -> ClusterJob:
        return _job(self._http.json("GET", f"/api/jobs/{segment(submission_id)}"))

    def wait(
        self,
        submission_id: str,
        seconds: float,
        until: Callable[[ClusterJob], bool] = lambda job: job.is_ended,
    ) -> ClusterJob:
        """Return the submission as soon as `until` holds, or as it is after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            job = self._job(submission_id)
            if until(job) or time.monotonic() > deadline:
                return job
            time.sleep(POLL_SECONDS)

    # Stop

    def stop(self, id_or_name: str, *, seconds: float = STOP_SECONDS + 15) -> ClusterJob:
        """Ask a submission to end in good order and return it when it has, or after `seconds`.

        A submission that has ended already is returned as it is.
        """
        job = self.find(id_or_name)
        deadline = time.monotonic() + seconds
        while not job.is_ended and (left := deadline - time.monotonic()) > 0:
            # Asked again, since Ray drops the request while the job's supervisor is starting.
            self._http.json("POST", f"/api/jobs/{segment(job.id)}/stop")
            job = self.wait(job.id, min(left, 3.0))
        return job

    # Fetch

    def fetch(
        self,
        id_or_name: str,
        into: Path,
        *,
        checkpoints: bool = False,
        most_bytes: int = archive.MOST_BYTES,
    ) -> Path:
        """Bring a job's folder to `into` and return it as `into/<name>`.

        With `checkpoints`, what is needed to export other trials than the best comes as well.

        Works on a running job too, with what is there so far. An existing folder is replaced only
        by a later state of the same job.
        """
        job = self.find(id_or_name)
        if job.name is None or not re.fullmatch(r"[a-z0-9-]{1,63}", job.name):
            raise ClusterError.refused(
                job.id,
                "this submission is not a gatesearch job and has no results to fetch",
                "`gatesearch jobs` lists those that have",
            )
        fetch_id = f"{archive.FETCH_PREFIX}{secrets.token_hex(6)}"
        arguments = f"{_shell_root(job.root)}/{job.name} --most-bytes {int(most_bytes)}"
        if checkpoints:
            arguments += " --checkpoints"
        self._post_job(
            {
                "entrypoint": _module_command(arguments),
                "submission_id": fetch_id,
                "metadata": {},
            }
        )
        try:
            with (
                tempfile.TemporaryFile() as spool,
                contextlib.closing(self.follow(fetch_id)) as log,
            ):
                head = archive.read(log, f"{self.address} {job.id}", spool)
                return archive.unpack(spool, head, into, job.name)
        finally:
            self._forget(fetch_id)

    def _forget(self, submission_id: str) -> None:
        """Take a helper submission off the cluster's list; it is stopped first if need be."""
        path = f"/api/jobs/{segment(submission_id)}"
        try:
            if not self.wait(submission_id, 5.0).is_ended:
                self.stop(submission_id)
            self._http.request("DELETE", path)
        except ClusterError as error:
            self.warnings.append(f"{submission_id} is left on the cluster's list ({error.rule})")


def _job(details: dict[str, Any]) -> ClusterJob:
    metadata = details.get("metadata") or {}
    return ClusterJob(
        id=details["submission_id"],
        name=metadata.get(NAME),
        state=details["status"].lower(),
        message=(details.get("message") or "").partition("\n")[0].partition(", last available")[0],
        submitted=details.get("start_time"),
        ended=details.get("end_time"),
        root=metadata.get(ROOT),
        digest=metadata.get(DIGEST),
        exit_code=details.get("driver_exit_code"),
    )


def _shell_root(root: str | None) -> str:
    """Return the root folder as a word for the cluster's shell."""
    if root is None:
        return DEFAULT_ROOT
    if root.startswith("/") and root.strip("/"):
        return shlex.quote(root.rstrip("/"))
    if root.startswith("~/") and root.strip("~/"):
        return f'"$HOME"/{shlex.quote(root[2:].rstrip("/"))}'
    raise ClusterError.refused(
        "--root",
        f"{root!r} is not a folder of the cluster that outlives the job",
        "give it from the top (/data/runs) or from the cluster user's home (~/runs)",
    )


_MISSING = (
    "gatesearch is not installed for this cluster's user, or not on its PATH: "
    "start the cluster from an image that has it"
)


def run_command(job_path: str, root_in_shell: str) -> str:
    """Return the shell command that runs a job on the cluster; both are words for its shell."""
    return (
        f"command -v gatesearch >/dev/null || {{ echo {shlex.quote(_MISSING)} >&2; exit 127; }}; "
        f"exec gatesearch run {shlex.quote(job_path)} --root {root_in_shell}"
    )


def _module_command(arguments: str) -> str:
    # -P: nothing of the folder that Ray starts the job in is imported.
    return f"exec python -P -m deploy.archive {arguments}"


def _latest(first: str, jobs: Sequence[ClusterJob]) -> ClusterJob | None:
    """Return the last of the submissions `first`, `first-2`, `first-3`, …"""
    numbered = {
        int(match.group(1) or 1): job
        for job in jobs
        if (match := re.fullmatch(re.escape(first) + r"(?:-(\d+))?", job.id))
    }
    return numbered[max(numbered)] if numbered else None


def _next_id(first: str, latest: ClusterJob | None) -> str:
    if latest is None:
        return first
    number = int(latest.id.removeprefix(first).lstrip("-") or 1)
    return f"{first}-{number + 1}"


def _refuse_name_in_use(
    name: str, root: str | None, digest: str, jobs: Sequence[ClusterJob]
) -> None:
    """Two jobs cannot share a folder: refuse while another one of the same name runs in it."""
    for job in jobs:
        if job.name == name and job.root == root and job.digest != digest and not job.is_ended:
            raise ClusterError.refused(
                name,
                f"another job of this name is {job.state} on the cluster as {job.id}",
                f"give this one another name, or `gatesearch stop {job.id}` first",
            )
