"""Stops a job's driver, and starts it again: what the page's buttons do, with the token."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import psutil

from search.job.commands import command
from search.journal.at_work import is_driver_at_work
from search.watch.follow import Followed
from spaces.errors import GatesearchError, InputError
from trainables.files import open_own

LOG = "resumed.log"  #: in the job's folder: what a job says that was resumed from the page
_CLOCK = 2.0  # seconds by which the clock of records and that of processes may differ


class RefusedError(GatesearchError):
    """What was asked for cannot be done now; the text says why."""


class Control(Protocol):
    """What can be done to a job."""

    def stop(self) -> str:
        """Stop the job in a state that goes on; return what was done. Raises GatesearchError."""

    def resume(self) -> str:
        """Have the job go on; return what was done. Raises GatesearchError."""


class LocalControl:
    """Of a job whose folder is on this machine."""

    def __init__(self, folder: Path, followed: Followed) -> None:
        self._folder, self._followed = folder, followed
        self._resumed: subprocess.Popen[bytes] | None = None

    def stop(self) -> str:
        """Send the driver SIGTERM, which ends it so that it can go on. Raises RefusedError."""
        # In this order: a later driver's time must not let an earlier one's number pass.
        since = self._followed.driver_time
        driver = self._followed.job_state.driver
        again = command("stop", self._folder)
        if driver is None or not is_driver_at_work(self._followed.job_state, self._folder):
            raise RefusedError("the job does not run")
        pid, host = driver
        if host != socket.gethostname():
            raise RefusedError(f"the job runs on {host}; `{again}` stops one of a cluster")
        try:
            process = psutil.Process(pid)
            if 1000 * (process.create_time() - _CLOCK) > since:
                raise RefusedError("the job's process has ended, and another one has its number")
            process.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            raise RefusedError("the job does not run") from None
        except psutil.AccessDenied:
            rule = "the job's process is another user's, who alone may stop it"
            raise RefusedError(f"{rule}: `{again}`") from None
        return "The job is asked to stop. It goes on where it was once it is resumed."

    def resume(self) -> str:
        """Start `gatesearch resume`, which outlives the page. Raises RefusedError."""
        state = self._followed.job_state
        if state.phase == "done":
            raise RefusedError("the job is finished: `gatesearch extend` adds budget to it")
        if is_driver_at_work(state, self._folder):
            raise RefusedError("the job runs")
        try:
            log = open_own(self._folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except (OSError, InputError) as error:
            raise RefusedError(f"{LOG} cannot be written: {error}") from error
        arguments = ["resume", self._folder.name, "--root", str(self._folder.parent)]
        with os.fdopen(log, "ab") as output:
            self._resumed = subprocess.Popen(
                [sys.executable, "-P", "-m", "search.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return f"The job is being resumed; {LOG} in its folder has what it says."
