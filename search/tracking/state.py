"""The state of a job's MLflow mirror: which run belongs to which trial, and its last error.

Only the mirror appends to `tracking.jsonl` in a job's folder (`tracking-also.jsonl` is that of a
second server); anybody may read it:

    {"server": masked URI, "experiment_id": …}    from here on, runs are those of this server
    {"key": "search/lstm/3", "run_id": …}
    {"error": text or null, "time": ms}           null: it works again
    {"complete": true or false}                   whether all that the journal held is in MLflow

The mirror finds its runs in MLflow by their tags: losing the file loses nothing.
"""

import json
import os
import re
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.tracking.saved_view import view_address
from spaces.errors import InputError
from trainables.files import is_inside, open_own

TRACKING = "tracking"  #: begins the names of a mirror's files in the job's folder
FILE_NAME = f"{TRACKING}.jsonl"
ALSO = "tracking-also"  #: those of the mirror to a second server
TO = "tracking-to"  #: those of `gatesearch mirror --to`
JOB_KEY = "job"  #: the key of the job's own run, the parent of all others

_SERVED = re.compile("https?://")


@dataclass
class MirrorState:
    """The state of a job's mirror."""

    server: str | None = None  #: without user name and password
    experiment_id: str | None = None
    runs: dict[str, str] = field(default_factory=dict)  #: run id by trial key, JOB_KEY's included
    error: str | None = None  #: why the mirror is behind, if it is
    complete: bool = False  #: whether everything up to the mirror's end is in MLflow

    @property
    def served(self) -> str | None:
        """The server, unless it is a database in the runs folder, which one machine alone has."""
        local = self.server is None or self.server.startswith("sqlite:")
        return None if local else self.server

    def address(self, view: str, server: str | None = None) -> str | None:
        """Return where MLflow shows a view of the job's runs, by its key in views.py.

        server: http://… that serves the runs of a local database; without one such have none. What
        is no http(s)://… has none either: a browser opens it, and files of jobs may be copied.
        """
        shown = server if self.served is None else self.served
        if shown is None or self.experiment_id is None or not _SERVED.match(shown):
            return None
        return view_address(shown, self.experiment_id, view)


def mirror_state(folder: Path, name: str = TRACKING) -> MirrorState:
    """Return the state of the mirror of the job in a folder; torn and damaged lines are skipped."""
    state = MirrorState()
    path = folder / f"{name}.jsonl"
    if not is_inside(path, folder):
        return state
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        match record:
            case {"server": str(server), "experiment_id": str(experiment)}:
                if (server, experiment) != (state.server, state.experiment_id):
                    state = MirrorState(server, experiment)
                state.complete = False
            case {"key": str(key), "run_id": str(run_id)}:
                state.runs[key] = run_id
            case {"error": str() | None as error}:
                state.error = error
            case {"complete": bool(complete)}:
                state.complete = complete
    return state


def run_ids(folder: Path) -> dict[str, str]:
    """Return the MLflow run id of every mirrored trial by its key, for example "search/lstm/3"."""
    return mirror_state(folder).runs


class StateFile:
    """The state of a job's mirror as the mirror itself writes it."""

    def __init__(self, folder: Path, name: str = TRACKING) -> None:
        self._path = folder / f"{name}.jsonl"
        self._state = mirror_state(folder, name)
        self._lock = threading.Lock()  # a server may be sent several runs at once
        # Another job may have a folder at this path one day, and no word of this one in it.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._folder)

    @property
    def runs(self) -> dict[str, str]:
        """The run ids recorded for the present server, by key."""
        return self._state.runs

    def record_server(self, uri: str, experiment_id: str) -> None:
        """Record where the runs are from here on. uri: without secrets."""
        self._append({"server": uri, "experiment_id": experiment_id})
        if (uri, experiment_id) != (self._state.server, self._state.experiment_id):
            self._state = MirrorState(uri, experiment_id)

    def record_run(self, key: str, run_id: str) -> None:
        """Record the run of a trial, or of the job under JOB_KEY."""
        if self._state.runs.get(key) != run_id:
            self._state.runs[key] = run_id
            self._append({"key": key, "run_id": run_id})

    def record_error(self, text: str | None) -> None:
        """Record why the mirror is behind; None: it is no longer."""
        if text != self._state.error:
            self._state.error = text
            self._append({"error": text, "time": time.time_ns() // 1_000_000})

    def record_end(self, complete: bool) -> None:
        """Record that the mirror ends, and whether everything is in MLflow."""
        self._append({"complete": complete})

    def _append(self, record: dict[str, Any]) -> None:
        """Append a record if the disk allows it: a mirror goes on without."""
        line = json.dumps(record).encode() + b"\n"
        with self._lock, suppress(OSError, InputError):
            file = open_own(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, dir_fd=self._folder)
            try:
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a torn last line must not swallow this one
                os.write(file, line)
            finally:
                os.close(file)
