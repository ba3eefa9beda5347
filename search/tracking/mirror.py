"""The MLflow mirror as its users see it: a process that sends a job's journal to MLflow.

The driver starts one with `start_mirror` and needs nothing of it from then on: a tracking server
that is slow, away or wrong stops no trial.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from search.job.server_sections import TrackingSection
from search.job.urls import same_server, url_fault
from search.journal.open import open_reader
from search.tracking.follower import ExitCode
from search.tracking.state import ALSO, TO, TRACKING, MirrorState, mirror_state
from spaces.errors import InputError
from spaces.text import mask, show
from trainables.files import open_own

_ERROR_SECONDS = 10.0  # that a driver waits for a mirror that has an error


class Mirror:
    """A mirror that runs beside a driver."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", folder: Path, name: str = TRACKING
    ) -> None:
        self._process = process
        self._folder = folder
        self._name = name

    def wait(self, seconds: float) -> bool:
        """Wait until everything is in MLflow, for at most this long. Returns whether it is.

        Call it when the journal says that the job is done. It waits only a few seconds for a mirror
        that has an error. A mirror that is behind goes on for two minutes more;
        `mirror_state(folder).error` is its reason.
        """
        began = time.monotonic()
        while (waited := time.monotonic() - began) < seconds:
            try:
                return self._process.wait(min(0.25, seconds)) == ExitCode.COMPLETE
            except subprocess.TimeoutExpired:
                if waited > _ERROR_SECONDS and self.error is not None:
                    break
        return self.complete

    @property
    def error(self) -> str | None:
        """Why the mirror is behind, if it is."""
        return mirror_state(self._folder, self._name).error

    @property
    def pid(self) -> int:
        """The number of the mirror's process."""
        return self._process.pid

    @property
    def complete(self) -> bool:
        """Whether the mirror has ended with everything in MLflow."""
        return self._process.poll() == ExitCode.COMPLETE

    @property
    def ended(self) -> bool:
        """Whether the mirror's process has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the mirror now. What is missing in MLflow then, a later mirror adds."""
        self._process.terminate()
        self._process.wait()


def start_mirrors(folder: Path, tracking: TrackingSection, driver_pid: int) -> list[Mirror]:
    """Start the mirrors of a job: that to its server, and that to a second one if it names one."""
    return [start_mirror(folder, uri, driver_pid, name=name) for uri, name in servers_of(tracking)]


def servers_of(tracking: TrackingSection, to: str | None = None) -> list[tuple[str | None, str]]:
    """Return the servers that a job's runs go to, each with the name of its mirror's files.

    None is SQLite in the runs folder. to: the one server that is meant in place of those. Raises
    InputError for an unfit URI, and for a server that has a mirror of the job anyway: two of them
    would double every run.
    """
    first = _server_of(tracking.uri)
    named = [(first, TRACKING)]
    if tracking.also is not None:
        if _is_among(tracking.also, named):
            rule = f"must be another server than GATESEARCH_TRACKING_URI, not {show(tracking.also)}"
            raise InputError.of("tracking.also", rule, "remove it: the runs go there without it")
        named.append((tracking.also, ALSO))
    if to is None:
        return named
    check_uri(to, "--to", "http", "https")
    if _is_among(to, named):
        rule = f"must be a server that the job does not name, not {show(to)}"
        raise InputError.of("--to", rule, "leave --to out: the runs go there without it")
    return [(to, TO)]


def _is_among(uri: str, servers: list[tuple[str | None, str]]) -> bool:
    return any(other is not None and same_server(uri, other) for other, _ in servers)


def start_mirror(folder: Path, uri: str | None, driver_pid: int, *, name: str = TRACKING) -> Mirror:
    """Start a mirror that follows a job for as long as its driver lives, and return at once.

    uri: http(s)://… of a server, or None for that of $GATESEARCH_TRACKING_URI; where that is not
    set, for the SQLite database in the runs folder (the parent of `folder`). User name and password
    come from MLFLOW_TRACKING_USERNAME and _PASSWORD or from MLFLOW_TRACKING_TOKEN alone. Raises
    InputError for an unfit URI, or one that carries them.
    """
    uri = _server_of(uri)
    command = _command(folder, uri, "--name", name, "--follow-pid", str(driver_pid))
    with os.fdopen(
        open_own(folder / f"{name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab"
    ) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is meant for the driver
        )
    return Mirror(process, folder, name)


def mirror_once(
    folder: Path, uri: str | None, *, name: str = TRACKING, rebuild: bool = False
) -> MirrorState:
    """Bring MLflow up to date with a job's journal and return how that went.

    rebuild: what MLflow holds of the job's runs is deleted first, and all of them are sent anew.

    It runs in a process of its own, which works in the runs folder and has its own environment.
    Raises InputError if there is no job, the URI is unfit, or another mirror is at work.
    """
    uri = _server_of(uri)
    if not open_reader(folder).exists():
        remedy = "name a job that was run here, or give the folder of its runs with --root"
        raise InputError.of(str(folder), "the folder must have a job's journal", remedy)
    command = _command(folder, uri, "--name", name, *(["--rebuild"] if rebuild else []))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode == ExitCode.BUSY:
        remedy = "nothing needs to be done: it brings MLflow up to date by itself"
        if (error := mirror_state(folder, name).error) is not None:
            remedy = f"see to what keeps it from that, and it goes on by itself: {error}"
        raise InputError.of(str(folder), "a mirror is already at work on this job", remedy)
    state = mirror_state(folder, name)
    if done.returncode not in (ExitCode.COMPLETE, ExitCode.BEHIND):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        state.error = mask(lines[-1]) if lines else "the mirror was killed"
        state.complete = False
    return state


def _server_of(uri: str | None) -> str | None:
    """Return where the runs of a job go that names `uri`, None for SQLite; see `start_mirror`."""
    check_uri(uri)
    if uri is not None or not (default := os.environ.get("GATESEARCH_TRACKING_URI")):
        return uri
    check_uri(default, "GATESEARCH_TRACKING_URI")
    return default


def check_uri(uri: str | None, place: str = "tracking.uri", *schemes: str) -> None:
    """Raise InputError unless a mirror can write to that address, of any scheme or of these."""
    fault = None if uri is None else url_fault(uri, *(schemes or ("http", "https", "sqlite")))
    if fault is not None:
        raise InputError.of(place, fault.rule, fault.remedy)


def _command(folder: Path, uri: str | None, *more: str) -> list[str]:
    # -P: nothing in the folder that the user happens to be in is imported.
    command = [sys.executable, "-P", "-m", "search.tracking.follower", str(folder.resolve()), *more]
    return command if uri is None else [*command, "--uri", uri]
