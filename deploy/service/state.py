"""What a service on this machine says of itself, for later commands.

$GATESEARCH_SERVICE, or $XDG_STATE_HOME/gatesearch/service, or ~/.local/state/gatesearch/service
    service.json    addresses and folders
    token           what opens the head, readable by its owner alone
    head.log, mlflow.log
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.errors import ClusterError

MARK = "GATESEARCH_SERVICE_OF"  #: environment of the service's processes: its folder
STATE, TOKEN, HEAD_LOG, MLFLOW_LOG = "service.json", "token", "head.log", "mlflow.log"


@dataclass(frozen=True)
class Service:
    """A service that was started: where it is, and what it uses."""

    address: str  #: of the Jobs API
    mlflow: str  #: of MLflow's pages
    root: str  #: folder of the jobs' folders
    head: int  #: pid
    pages: int  #: pid of MLflow's server

    @property
    def token_file(self) -> Path:
        """The file of the token."""
        return folder() / TOKEN


def folder() -> Path:
    """Return the folder of this user's service."""
    if chosen := os.environ.get("GATESEARCH_SERVICE"):
        return Path(chosen).absolute()
    standard = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG Base Directory Specification has relative paths ignored.
    states = standard if standard.is_absolute() else Path.home() / ".local" / "state"
    return states / "gatesearch" / "service"


def scratch() -> Path:
    """Return Ray's own folder: names of its Unix sockets may have 107 characters in all."""
    return Path("/tmp", f"gatesearch-up-{hashlib.sha256(str(folder()).encode()).hexdigest()[:12]}")


def written() -> Service | None:
    """Return what was written down, whether or not it still runs; None where there is nothing."""
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
    draft = folder() / f"{STATE}.draft"
    draft.write_text(json.dumps(asdict(service)))
    draft.replace(folder() / STATE)


def find_service() -> Service | None:
    """Return the service if both of its parts run."""
    service = written()
    if service is None:
        return None
    alive = {process.pid for process in processes()}
    return service if {service.head, service.pages} <= alive else None


def processes() -> list[psutil.Process]:
    """Return the processes that bear the mark of this user's service."""
    mark, found = str(folder()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.pid != os.getpid() and process.environ().get(MARK) == mark
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
