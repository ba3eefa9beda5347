"""What a service on this machine says of itself, for later commands.

$GATESEARCH_SERVICE, or $XDG_STATE_HOME/gatesearch/service, or ~/.local/state/gatesearch/service
    service.json    addresses and folders
    token           what opens the head, readable by its owner alone
    head.log, mlflow.log, queue.log
    queue/          the queue, which outlives the service: see deploy/queue/
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.errors import ClusterError
from deploy.files import TOKEN, write_whole

MARK = "GATESEARCH_SERVICE_OF"  #: environment of the service's processes: its folder
STATE = "service.json"
HEAD_LOG, MLFLOW_LOG, QUEUE_LOG = "head.log", "mlflow.log", "queue.log"


@dataclass(frozen=True)
class Service:
    """A service that was started: where it is, and what it uses."""

    address: str  #: of the Jobs API
    mlflow: str  #: of MLflow's pages
    root: str  #: folder of the jobs' folders
    head: int  #: pid
    pages: int  #: pid of MLflow's server
    queue: str  #: address of the queue, where jobs are submitted
    waits: int  #: pid of the queue

    @property
    def token_file(self) -> Path:
        """The file of the head's token."""
        return folder() / TOKEN

    @property
    def queue_token_file(self) -> Path:
        """The file of the token of the queue's owner."""
        return queue_folder() / TOKEN

    @property
    def tokens(self) -> dict[str, Path]:
        """The file of the token for each address."""
        return {self.queue: self.queue_token_file, self.address: self.token_file}

    @property
    def parts(self) -> set[int]:
        """The processes that a service has while it runs."""
        return {self.head, self.pages, self.waits}


def folder() -> Path:
    """Return the folder of this user's service."""
    if chosen := os.environ.get("GATESEARCH_SERVICE"):
        return Path(chosen).absolute()
    standard = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG Base Directory Specification has relative paths ignored.
    states = standard if standard.is_absolute() else Path.home() / ".local" / "state"
    return states / "gatesearch" / "service"


def queue_folder() -> Path:
    """Return the folder of this user's queue."""
    return folder() / "queue"


def scratch() -> Path:
    """Return Ray's own folder: names of its Unix sockets may have 107 characters in all."""
    return Path("/tmp", f"gatesearch-up-{hashlib.sha256(str(folder()).encode()).hexdigest()[:12]}")


def last_service() -> Service | None:
    """Return what was started last, unless it was ended; parts of it, or all, may have died."""
    try:
        return Service(**json.loads((folder() / STATE).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        rule = f"must be readable ({error})"
        place = str(folder() / STATE)
        raise ClusterError(place, rule, "end the service with `gatesearch down`") from error


def write(service: Service) -> None:
    """Write a service down, whole or not at all."""
    write_whole(folder() / STATE, json.dumps(asdict(service)).encode())


def find_service() -> Service | None:
    """Return the service if all of its parts run."""
    service = last_service()
    if service is None:
        return None
    alive = {process.pid for process in processes()}
    return service if service.parts <= alive else None


def processes() -> list[psutil.Process]:
    """Return the processes that bear the mark of this user's service."""
    mark, found = str(folder()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.pid != os.getpid() and process.environ().get(MARK) == mark
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
