"""Ends the service: its own processes, found by their mark, and nothing else."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.errors import ClusterError
from deploy.files import TOKEN
from deploy.service import state

PATIENCE = 20.0  #: seconds that processes may take to end by themselves


def down() -> bool:
    """End what runs of this user's service; return whether anything did.

    Jobs that run end as by a fault of the machine, and the queue is kept: the next service goes on
    with both. A queue that `gatesearch queue serve` runs by itself is no part of it, and keeps its
    token.
    """
    try:
        service = state.last_service()
    except ClusterError:
        service = None
    found = state.processes()
    parts = service.parts if service is not None else set()
    first = [process for process in found if process.pid in parts]
    _end(first, kill=False)  # the head ends its own processes in order
    end_processes()
    ours = [state.folder() / state.STATE, state.folder() / TOKEN]
    for path in [*ours, *([state.queue_folder() / TOKEN] if found else [])]:
        path.unlink(missing_ok=True)
    return bool(found)


def end_processes() -> None:
    """End all processes of the service, and remove Ray's own folder."""
    _end(state.processes(), kill=True)
    if _is_own(state.scratch()):
        shutil.rmtree(state.scratch(), ignore_errors=True)


def _end(processes: list[psutil.Process], *, kill: bool) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    for process in left if kill else ():
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=PATIENCE)


def _is_own(folder: Path) -> bool:
    """Return whether a folder is there, is no link, and belongs to this user."""
    with suppress(OSError):
        return folder.is_dir() and not folder.is_symlink() and folder.lstat().st_uid == os.getuid()
    return False
